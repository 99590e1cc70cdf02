// Draw: where defects may be, where the object is, and real defects, marked and put into a bank.

import { h, segments } from "./dom.js";
import * as where from "./where.js";
import * as object from "./object.js";
import * as mark from "./mark.js";

const PARTS = { where, object, mark };
const WORDS = { where: "Where", object: "Object", mark: "Real defects" };
const places = {};
let current = "where", chooser;

export function build(section, toLook) {
  chooser = segments("What to draw", WORDS, current, turn);
  chooser.classList.add("modes");
  section.append(h("div", { class: "modebar" }, chooser));
  for (const name of Object.keys(PARTS)) {
    places[name] = h("div", { class: "mode", hidden: name !== current });
    PARTS[name].build(places[name], toLook);
    section.append(places[name]);
  }
}

function turn(name) {
  current = name;
  chooser.paint(name);
  for (const other of Object.keys(PARTS)) places[other].hidden = other !== name;
  PARTS[name].open();
}

export const open = () => PARTS[current].open();

export const key = (event) => PARTS[current].key(event);

// Turn to a part from elsewhere; it is opened with the tab.
export function choose(name) {
  turn(name);
}
