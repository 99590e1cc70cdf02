// The page: tabs, keys, and what the buttons on top do.

import { $, ask, plain, say } from "./dom.js";
import { get, post } from "./api.js";
import { keepFor } from "./kept.js";
import { state, begin, undo, listen } from "./state.js";
import * as look from "./look.js";
import * as compare from "./compare.js";
import * as draw from "./draw.js";
import * as datasets from "./datasets.js";
import * as inspect from "./inspect.js";
import * as reading from "./reading.js";
import * as viewer from "./viewer.js";

const TABS = { look, compare, draw, datasets, inspect };
let current = "look";

function turnTo(name, focus = false) {
  if (begun && name !== current) TABS[current].close?.();
  current = name;
  for (const other of Object.keys(TABS)) {
    const tab = $(`tab-${other}`);
    tab.setAttribute("aria-selected", String(other === name));
    tab.tabIndex = other === name ? 0 : -1;
    $(other).hidden = other !== name;
  }
  if (focus) $(`tab-${name}`).focus();
  if (begun) TABS[name].open?.();
}

function tabs() {
  const names = Object.keys(TABS);
  for (const name of names) {
    $(`tab-${name}`).addEventListener("click", () => turnTo(name));
    $(`tab-${name}`).addEventListener("keydown", (event) => {
      const by = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
      if (by) turnTo(names[(names.indexOf(name) + by + names.length) % names.length], true);
    });
  }
}

function keys() {
  document.addEventListener("keydown", (event) => {
    if (document.querySelector("dialog[open]") || /^(INPUT|SELECT|TEXTAREA)$/.test(event.target.tagName)) {
      if (!((event.ctrlKey || event.metaKey) && event.key.toLowerCase() === "z" && event.target.type === "range")) return;
    }
    if ((event.ctrlKey || event.metaKey) && event.key.toLowerCase() === "z" && current !== "draw") { event.preventDefault(); undo(); return; }
    if (event.altKey || ((event.ctrlKey || event.metaKey) && current !== "draw")) return;
    const number = "12345".indexOf(event.key);
    if (number >= 0 && event.key) turnTo(Object.keys(TABS)[number]);
    else if (begun) TABS[current].key(event);
  });
}

async function copy() {
  try {
    await navigator.clipboard.writeText(state.command);
    say("copied: the command that makes this dataset");
  } catch {
    await ask({ title: "The command that makes this dataset", command: state.command });
  }
}

async function save() {
  const given = await ask({ title: "Save recipe", text: "A YAML file that anomgen make, preview and score take.", yes: "Save",
    fields: [{ name: "name", label: "Name", value: state.name === state.base ? `my-${state.name}` : state.name }] });
  if (!given) return;
  const send = (overwrite) => post("/api/save", { id: state.id, name: given.name, overwrite });
  try {
    const told = await send(false).catch(async (error) => {
      if (!/is there already/.test(error.message)) throw error;
      return (await ask({ title: "Replace it?", text: error.message, yes: "Replace" })) ? send(true) : null;
    });
    if (!told) return;
    begun.saved = told.saved;
    look.options(begun);
    say(`saved: ${told.path}`);
  } catch (error) {
    say(error.message, true);
  }
}

let begun = null;

async function start() {
  tabs();
  keys();
  begun = await get("/api/start");
  keepFor(begun.place);
  $("photos").textContent = plain(begun.photos ?? "built-in textures");
  $("photos").title = begun.photos ? "your photos" : "start with `anomgen studio FOLDER` to see your own";
  viewer.build();
  look.build($("look"), begun, () => { turnTo("draw"); draw.choose("mark"); });
  compare.build($("compare"), begun, () => turnTo("look"));
  draw.build($("draw"), () => turnTo("look"));
  datasets.build($("datasets"));
  inspect.build($("inspect"));
  $("copy").addEventListener("click", copy);
  $("save").addEventListener("click", save);
  $("make").addEventListener("click", () => datasets.make(() => turnTo("datasets")));
  listen(() => { $("make").disabled = $("save").disabled = $("copy").disabled = Boolean(state.error) || !state.id; });
  begin(begun.recipes, begun.saved);
  datasets.look();
  reading.begin(begun);
  if (current !== "look") TABS[current].open?.();  // somebody was faster
}

start().catch((error) => say(error.message, true));
