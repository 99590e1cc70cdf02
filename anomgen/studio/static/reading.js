// How far the photos are read: shown beside their name for as long as something is waited for.

import { $ } from "./dom.js";
import { get } from "./api.js";
import { again } from "./state.js";

const EVERY = 400;
let timer = 0, stamp = 0;

export function begin(told) {
  stamp = told.stamp;
  watch();
}

export function watch() {
  clearTimeout(timer);
  timer = setTimeout(look, EVERY);
}

async function look() {
  let told;
  try {
    told = await get("/api/reading");
  } catch {
    paint({ total: 0 });
    return;
  }
  paint(told);
  if (told.stamp !== stamp) { stamp = told.stamp; again(); }  // the check found other images than were shown
  if (told.checking || told.total || document.querySelector("#look [aria-busy]")) watch();
}

function paint({ total, done, what }) {
  const text = $("reading"), bar = text.firstElementChild;
  text.hidden = !total;
  Object.assign(bar, { max: total || 1, value: done ?? 0 });
  text.lastElementChild.textContent = total ? `${what} · ${done.toLocaleString("en")} of ${total.toLocaleString("en")}` : "";
}
