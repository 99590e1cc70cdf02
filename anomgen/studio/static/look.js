// Look and set: the grid of samples of the recipe, and beside it the recipe's keys.

import { h, say, segments, prose, commandLine } from "./dom.js";
import { get, post, isAbort } from "./api.js";
import { state, listen, put, change, undo, canUndo, again } from "./state.js";
import * as controls from "./controls.js";
import { VIEWS, fill, fit, fitting, readable, show } from "./tiles.js";
import * as reading from "./reading.js";
import * as viewer from "./viewer.js";

const THUMBNAIL = 320;
const view = { kind: "image", outline: true, all: false, start: 0, count: 12, last: 0, rows: [], ended: false, id: null, ratio: 1 };
const pages = [];
let asking = null;
let toMark, place, out, root, papers, grid, range, panel, select, undoButton, trouble, about, notes, faint;

export function build(section, told, mark) {
  root = section;
  toMark = mark;
  [place, out] = [told.place, told.out];
  select = h("select", { id: "base", onchange: () => { view.start = 0; pages.length = 0; put(select.value, carried()); } });
  options(told);
  about = h("p", { class: "help" });
  papers = h("p", { class: "help papers" });
  undoButton = h("button", { onclick: undo, title: "Undo (Ctrl+Z)", disabled: true }, "Undo");
  panel = h("div", { class: "sections" });
  trouble = h("p", { class: "trouble", role: "alert" });
  notes = h("details", { class: "notes", hidden: true }, h("summary"), h("ul"));
  const settings = h("button", { class: "primary settings", "aria-expanded": "false", onclick: () => {
    const open = root.classList.toggle("setting");
    settings.setAttribute("aria-expanded", String(open));
    settings.textContent = open ? "Done" : "Settings";
  } }, "Settings");
  const aside = h("aside", { class: "panel", "aria-label": "Settings of the recipe" },
    h("div", { class: "field recipe" }, h("label", { for: "base" }, "Recipe"), h("div", { class: "row" }, select, undoButton), about, papers), settings, trouble, notes, panel);
  const views = segments("Picture", VIEWS, "image", (kind) => { view.kind = kind; refresh(); });
  const outline = h("button", { class: "toggle", "aria-pressed": "true", title: "Outline of the mask (O)", onclick: () => toggleOutline() }, "Outline");
  const all = h("button", { class: "toggle", "aria-pressed": "false", title: "Normal rows, too", onclick: () => {
    view.all = !view.all; all.setAttribute("aria-pressed", String(view.all)); view.start = 0; pages.length = 0; draw();
  } }, "Normal rows");
  const sizes = h("input", { type: "range", min: 110, max: 420, value: 190, "aria-label": "Size of the pictures", class: "size",
    oninput: () => grid.style.setProperty("--tile", `${sizes.value}px`), onchange: () => fitting(grid, view.ratio) > grid.children.length && draw() });
  range = h("span", { class: "range" });
  const before = h("button", { onclick: previous, title: "Rows before (P)", "aria-label": "Rows before" }, "‹");
  const after = h("button", { onclick: next, title: "New ones (N)" }, "New", h("span", { class: "word" }, " ones"), " ›");
  grid = h("div", { role: "group", class: "grid outlined", "aria-label": "Samples of the recipe" });
  faint = h("div", { class: "faint", role: "status", hidden: true });
  root.replaceChildren(aside, h("div", { class: "stage" },
    h("div", { class: "tools", role: "toolbar", "aria-label": "How samples are shown" }, views, outline, all, h("label", { class: "sizes" }, "Size ", sizes),
      h("span", { class: "space" }), before, range, after), faint, grid));
  function toggleOutline() {
    view.outline = !view.outline;
    outline.setAttribute("aria-pressed", String(view.outline));
    grid.classList.toggle("outlined", view.outline);
  }
  keys = { n: next, p: previous, o: toggleOutline, m: () => pick("mask"), d: () => pick("difference"), b: () => pick(view.kind === "normal" ? "image" : "normal"), a: () => pick("image") };
  function pick(kind) { view.kind = kind; views.paint(kind); refresh(); }
  listen(changed);
  fit(grid, fitting(grid), enlarge);
}

let keys = {};

export function key(event) {
  const act = keys[event.key.toLowerCase()];
  if (act) { event.preventDefault(); act(); }
}

// What stays when another recipe is taken: seed, size and other things that are not the generator's.
export function carried() {
  return Object.fromEntries(Object.entries(state.changes).filter(([name]) => name === "seed" || name.startsWith("source.")));
}

export function options(told) {
  const now = select.value || state.base;
  const group = (label, names) => names.length && h("optgroup", { label }, names.map((name) => h("option", { value: name, title: told.recipes[name] }, readable(name))));
  select.replaceChildren(...[group("Saved here", told.saved), group("Recipes", Object.keys(told.recipes))].filter(Boolean));
  select.value = now;
}

function changed(what) {
  if (what === "set") {
    performance.mark("set");
    undoButton.disabled = !canUndo();
    return;
  }
  select.value = state.base;
  if (state.aspect && !view.rows.length) shaped(state.aspect);
  about.replaceChildren(...prose(state.about.charAt(0).toUpperCase() + state.about.slice(1)), ".");
  papers.replaceChildren(...state.papers.flatMap((paper) => [h("span", {}, paper.replace(/\[([^\]]+)\]\([^)]*\)/g, "$1"))]));
  const keyed = state.problems.length > 0;
  controls.show(panel);
  trouble.textContent = state.error && keyed && !panel.querySelector(".wrong") ? state.error : "";
  grid.classList.toggle("stale", Boolean(state.error) && keyed);
  if (state.error && !keyed) { asking?.abort(); view.id = null; none(state.error); }
  if (!state.error && state.id !== view.id) open();
}

// The height of tiles that wait, in that of their width.
function shaped(aspect) {
  view.ratio = aspect;
  document.documentElement.style.setProperty("--ratio", String(1 / aspect));
}

// What nobody looks at is not drawn.
export function open() {
  if (root.checkVisibility() && state.id && !state.error && state.id !== view.id) draw();
}

const source = (row) => (kind, side = THUMBNAIL) => `/row/${view.id}/${row.index}/${kind}.png${side ? `?side=${side}` : ""}`;

async function draw() {
  asking?.abort();
  asking = new AbortController();
  const { signal } = asking;
  const id = state.id;
  view.count = fitting(grid, view.ratio);
  grid.querySelector(".empty")?.remove();
  let tiles = fit(grid, view.count, enlarge);
  for (const tile of tiles) tile.setAttribute("aria-busy", "true");
  view.id = id;
  view.rows = [];
  warned(null);
  grid.setAttribute("aria-busy", "true");
  reading.watch();
  try {
    let from = view.start;
    for (const most of [2, 6, 48]) {  // the first ones soon
      const count = Math.min(most, view.count) - view.rows.length;
      if (view.rows.length && !count) break;
      const question = view.all ? { indices: Array.from({ length: Math.max(Math.min(count, rows() - from), 0) }, (_, k) => from + k) } : { start: from, count };
      const told = await post("/api/rows", { id, ...question, resolved: most === 48 || view.ended }, signal);
      const [first, second] = told.rows;
      view.ended = told.rows.length < count;
      if (!view.rows.length && !first) { ended(); return; }
      if (!view.rows.length && !first.faint && first.error && (!second || first.error === second.error)) { none(first.error); return; }
      told.rows.forEach((row) => { fill(tiles[view.rows.length], row, source(row), view.kind); view.rows.push(row); });
      if (most === 2) {
        measure(tiles[0]);
        view.ratio = first.height / first.width || view.ratio;  // wide ones leave room for more
        view.count = fitting(grid, view.ratio);
        tiles = fit(grid, view.count, enlarge);
      }
      from = view.rows.at(-1).index + 1;
      warned(told.faint);
      if (view.ended) tiles = fit(grid, view.rows.length, enlarge);
      if (told.resolved) { controls.measured(told.resolved); noted(told.resolved.notes); }
    }
    view.last = from;
    grid.removeAttribute("aria-busy");
    range.replaceChildren(h("span", { class: "word" }, "rows "), `${view.rows[0].index} – ${view.rows.at(-1).index}${view.ended ? `, the last of ${rows()}` : ""}`);
  } catch (error) {
    if (isAbort(error)) return;
    if (error.status === 410) { again(); return; }
    none(error.message);
  }
}

// How many rows the dataset has.
const rows = () => state.sections.flatMap((section) => section.controls).find((control) => control.key === "count")?.value ?? Infinity;

// The rows before were the last ones: go back to them.
function ended() {
  say(`these are all ${rows()} rows of the dataset; Count, under Dataset, makes it longer`);
  view.start = pages.pop() ?? 0;
  draw();
}

// No row can be drawn: say why, once, and what to do.
function none(error) {
  const bank = state.sections.flatMap((section) => section.controls).find((control) => control.key.split(".").pop() === "bank" && control.value == null);
  const banks = bank?.options ?? [];
  grid.removeAttribute("aria-busy");
  range.textContent = "";
  view.last = view.start;
  const training = trained(error);
  grid.replaceChildren(training
    ? h("div", { class: "empty" }, h("h2", {}, "This recipe needs a trained model"),
      h("p", {}, "It draws with a model that has learnt from your photos. Train one in a terminal, which takes a while, then name its folder under Model."),
      commandLine(training))
    : bank
    ? h("div", { class: "empty" }, h("h2", {}, "This recipe needs real defects"),
      h("p", {}, "Mark a few on photos of defective products; they become a bank, and this recipe puts them on your good photos."),
      banks.map((path) => h("button", { onclick: () => change(bank.key, path) }, `Use ${bank.names[path]}`)),
      h("button", { class: "primary", onclick: toMark }, "Mark real defects"))
    : h("div", { class: "empty" }, h("h2", {}, "Nothing can be drawn like that"), h("p", { class: "why" }, prose(error)), remedies(error),
      h("button", { onclick: () => get("/api/start").then(again) }, "Look again")));
}

// The material cannot carry what is asked for: say it, and offer what it can.
function warned(told) {
  state.faint = told;
  faint.hidden = !told;
  if (told) faint.replaceChildren(h("p", {}, told.text), h("button", { class: "primary", onclick: () => change(told.key, told.value) }, controls.proposal(told)));
}

// The command that trains the model which an error misses, for these photos.
function trained(error) {
  const found = error.match(/generator\.(?:[\w.]+\.)?model[: ].*`(anomgen train [^`]+)`/s)?.[1];
  const given = (path) => (/^[\w./-]+$/.test(path) ? path : `'${path}'`);
  return found?.replace(/GOOD_IMAGES|NORMAL/, given(place || "PHOTOS")).replace(/(-o) \S+/, `$1 ${given(`${out}/${state.base}-model`)}`);
}

// What an error or a note advises to set, as buttons.
function remedies(text) {
  const known = new Set(state.sections.flatMap((section) => section.controls).map((control) => control.key));
  return [...text.matchAll(/--set ([\w.]+)=(\w+)/g)].filter(([, key, value]) => known.has(key) && !/^[A-Z]+$/.test(value) && state.changes[key] !== value)
    .map(([, key, value]) => h("button", { onclick: () => change(key, value) }, `Set ${key.split(".").pop().replaceAll("_", " ")} to ${value}`));
}

// What is to be known of the photos: files that were left out, images without an object.
function noted(texts) {
  notes.hidden = !texts.length;
  notes.lastElementChild.replaceChildren(...texts.map((text) => h("li", {}, prose(text), remedies(text))));
  notes.firstElementChild.textContent = texts.length === 1 ? "1 note on the images" : `${texts.length} notes on the images`;
}

// How long the first picture took after a change: read by the tests.
function measure(tile) {
  if (!performance.getEntriesByName("set").length) return;
  const done = () => { if (!performance.getEntriesByName("set").length) return; performance.measure("answer", "set"); performance.clearMarks("set"); };
  tile.image.addEventListener("load", done, { once: true });
}

function refresh() {
  view.rows.forEach((row, k) => { if (!row.error) show(grid.children[k], source(row), view.kind); });
}

function next() {
  if (grid.hasAttribute("aria-busy")) return;  // which rows come next is not known yet
  if (view.ended && view.rows.length) { say(`these are the last of the ${rows()} rows; Count, under Dataset, makes more`); return; }
  pages.push(view.start);
  view.start = view.last;
  draw();
}

function previous() {
  if (!pages.length) { say("these are the first rows"); return; }
  view.start = pages.pop();
  draw();
}

function enlarge(row) {
  const rows = view.rows.filter((other) => !other.error);
  viewer.open({ rows, at: rows.indexOf(row), source: (other) => source(other), record: async (other) => other });
}
