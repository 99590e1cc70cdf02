// Datasets: what is being made, with its progress, and what is finished, to be filtered and looked through.

import { h, say, ask, segments } from "./dom.js";
import { get, post } from "./api.js";
import { change, state } from "./state.js";
import { proposal } from "./controls.js";
import { VIEWS, fill, fit, show } from "./tiles.js";
import * as viewer from "./viewer.js";

const view = { name: "", kind: "image", filters: {}, rows: [], total: 0 };
let list, stage, empty, none, grid, head, count, type, more, timer = 0, seen = "", onMade = () => {};

export function build(section) {
  list = h("ul", { class: "made" });
  grid = h("div", { role: "group", class: "grid outlined", "aria-label": "Rows of the dataset" });
  head = h("h2", {}, "");
  count = h("span", { class: "range", role: "status" });
  type = h("select", { id: "filter-type", onchange: () => filter("type", type.value) });
  const bound = (name) => (
    h("input", { type: "number", min: 0, max: 100, step: "any", placeholder: name.endsWith("low") ? "0" : "100", "aria-label": `${name.replace("_", ", ")} end, percent`,
      onchange: (event) => filter(name, event.target.value === "" ? "" : String(+event.target.value / 100)) }));
  const between = (label, name) => h("span", { class: "bound" }, `${label} %`, bound(`${name}_low`), "–", bound(`${name}_high`));
  const label = segments("Rows", { "": "All", anomaly: "Anomalous", normal: "Normal" }, "", (value) => filter("label", value));
  const views = segments("Picture", VIEWS, "image", (kind) => { view.kind = kind; for (const tile of grid.children) show(tile, source(tile.row), kind); });
  const outline = h("button", { class: "toggle", "aria-pressed": "true", onclick: () => outline.setAttribute("aria-pressed", String(grid.classList.toggle("outlined"))) }, "Outline");
  more = h("button", { class: "more", onclick: () => page(view.rows.length) }, "More");
  stage = h("div", { class: "stage", hidden: true },
    h("div", { class: "tools" }, head, count, h("span", { class: "space" }), views, outline),
    h("div", { class: "tools filters", role: "group", "aria-label": "Which rows" }, label, h("label", { for: "filter-type" }, "Type"), type,
      between("Change", "severity"), between("Area", "area")),
    grid, none = h("p", { class: "lead", hidden: true }, "No row is like that."), h("p", { class: "foot" }, more));
  empty = h("div", { class: "stage" }, h("div", { class: "empty" }, h("h2", {}, "No dataset is open"), h("p")));
  section.append(h("aside", { class: "panel", "aria-label": "Datasets" }, h("h2", {}, "Datasets"), list), stage, empty);
}

export const key = () => {};

export function open() {
  look();
}

// Look at the runs, again and again while one is going on.
export async function look() {
  clearTimeout(timer);
  let told;
  try {
    told = await get("/api/made");
  } catch (error) {
    say(error.message, true);
    timer = setTimeout(look, 4000);
    return;
  }
  paint(told);
  if (told.runs.some((run) => run.state === "running" || run.state === "stopping")) timer = setTimeout(look, 400);
}

function paint({ runs: all, datasets }) {
  const runs = all.filter((run) => run.kind === "dataset");
  const names = new Set(runs.map((run) => run.name));
  const others = datasets.filter((dataset) => !names.has(dataset.name));
  const items = [...runs, ...others.map((dataset) => ({ ...dataset, state: dataset.finished ? "finished" : "unfinished", total: dataset.rows, done: dataset.rows }))];
  taken = items.map((item) => item.name);
  const going = items.find((item) => item.state === "running" || item.state === "stopping");
  const finished = items.filter((item) => item.state === "finished");
  if (list.checkVisibility() && !view.name && !going && !waitingFor && finished.length === 1) choose(finished[0].name);
  const now = JSON.stringify(items.map((item) => [item.name, item.state, item.done, item.note, item.error]));
  if (now === seen) return;
  seen = now;
  const focused = document.activeElement?.dataset?.act;
  empty.querySelector("h2").textContent = going ? `${going.name} is being made` : "No dataset is open";
  empty.querySelector("p").textContent = going ? "It opens here when it is finished. You can go on meanwhile, or close the page." : items.some((item) => item.state === "finished") ? "Choose a finished one in the list to look through its rows, replay one, or throw one out."
    : "Set a recipe under Look, then press Make dataset. It is made in the background; you can go on meanwhile.";
  list.replaceChildren(...(items.length ? items.map((item) => itemOf(item)) : [h("li", { class: "none" }, "Nothing yet.")]));
  if (focused) list.querySelector(`[data-act="${CSS.escape(focused)}"]`)?.focus();
  for (const run of runs) if (run.state === "finished" && run.name === waitingFor) { waitingFor = ""; choose(run.name); }
}

let waitingFor = "", taken = [];

// A run, or what one has made, in a list. opens: what a click on a finished one does.
export function itemOf(item, { opens = choose, look: after = look, current = view.name } = {}) {
  const going = item.state === "running" || item.state === "stopping";
  const act = (name, text, question) => h("button", { "data-act": `${name} ${item.name}`, onclick: () => post(`/api/${name}`, { name: item.name, ...question }).then(after, fail) }, text);
  const rate = item.done && item.seconds ? item.done / item.seconds : 0;
  const unit = { detector: "steps", report: "trainings" }[item.kind] ?? "rows";
  const words = {
    running: item.note ? `${item.note}${item.done ? ` · ${item.done} of ${item.total}` : ""}`
      : item.done ? `${item.done} of ${item.total} ${unit}${rate ? `, ${time((item.total - item.done) / rate)} left` : ""}` : "getting ready",
    stopping: "stopping", stopped: item.note || !item.done ? "stopped while getting ready" : `stopped at ${item.done} of ${item.total} ${unit}`, failed: "failed", finished: item.about ?? `${item.total ?? "?"} ${unit}`, unfinished: "unfinished",
  }[item.state];
  return h("li", { class: `item ${item.state}`, "aria-current": item.name === current ? "true" : undefined },
    item.state === "finished" ? h("button", { class: "name", "data-act": `open ${item.name}`, onclick: () => opens(item.name) }, item.name) : h("span", { class: "name" }, item.name),
    h("span", { class: "words" }, words),
    going && h("progress", { max: item.total, value: item.done || undefined, "aria-label": `progress of ${item.name}` }),
    item.error && h("p", { class: "problem" }, item.error),
    h("div", { class: "buttons" }, item.state === "running" && act("stop", "Stop"),
      ENDED.includes(item.state) && act("resume", item.kind === "detector" ? "Train again" : "Resume"),
      ENDED.includes(item.state) && h("button", { "data-act": `forget ${item.name}`, onclick: () => forget(item, after) }, "Remove")));
}

const ENDED = ["stopped", "failed", "unfinished"];

async function forget(item, after) {
  const made = item.kind === undefined || item.kind === "dataset";
  if (made && !(await ask({ title: `Remove ${item.name}?`, text: "What there is of it so far is deleted.", yes: "Remove" }))) return;
  post("/api/forget", { name: item.name }).then(after, fail);
}

// A name that none of some has yet.
export function free(name, taken) {
  let number = 1;
  while (taken.includes(number > 1 ? `${name}-${number}` : name)) number += 1;
  return number > 1 ? `${name}-${number}` : name;
}

export const time = (seconds) => (seconds < 90 ? `${Math.ceil(seconds)} s` : seconds < 5400 ? `${Math.round(seconds / 60)} min` : `${(seconds / 3600).toFixed(1)} h`);

const fail = (error) => say(error.message, true);

const wanted = () => state.sections.at(-1).controls.find((control) => control.key === "count").value;

export async function make(toHere) {
  if (!state.id || state.error) { say("first mend what is wrong with the recipe", true); return; }
  const { faint } = state;
  const warning = faint ? `${faint.text} Making it may take long, and stops at the first row that nothing is found for.\n\n` : "";
  const given = await ask({ title: "Make a dataset", yes: faint ? "Make it all the same" : "Make it",
    instead: faint && { text: proposal(faint), act: () => change(faint.key, faint.value) },
    text: `${warning}It goes on when this page is closed.`,
    fields: [{ name: "name", label: "Name", value: free(state.name, taken) }, { name: "rows", label: "Rows", type: "number", min: 1, value: wanted() },
      { name: "workers", label: "Workers", type: "number", min: 1, value: 1, help: "Processes side by side; the result is the same." }] });
  if (!given) return;
  const rows = Math.round(+given.rows) || wanted();
  if (rows !== wanted()) await change("count", rows);
  if (state.error || rows !== wanted()) { say(state.error || "the recipe was being changed; try again", true); return; }
  try {
    await post("/api/make", { id: state.id, name: given.name, workers: Math.max(1, Math.round(+given.workers) || 1) });
    waitingFor = given.name;
    toHere();
    look();
  } catch (error) {
    fail(error);
  }
}

// --- looking through one

const source = (row) => { const name = view.name; return (kind, side = 320) => `/dataset/${encodeURIComponent(name)}/${row.index}/${kind}.png${side ? `?side=${side}` : ""}`; };

function choose(name) {
  Object.assign(view, { name, filters: {} });
  grid.replaceChildren();
  for (const tile of fit(grid, 12, () => {})) tile.setAttribute("aria-busy", "true");
  count.textContent = "";
  more.hidden = true;
  stage.hidden = false;
  empty.hidden = true;
  head.textContent = name;
  for (const input of stage.querySelectorAll(".filters input")) input.value = "";
  stage.querySelector(".filters .segments").paint("");
  type.replaceChildren();
  seen = "";
  look();
  page(0);
}

function filter(name, value) {
  if (value === "") delete view.filters[name];
  else view.filters[name] = value;
  page(0);
}

async function page(start) {
  try {
    const told = await get(`/api/dataset/${encodeURIComponent(view.name)}?${new URLSearchParams({ ...view.filters, start })}`);
    if (start) view.rows.push(...told.rows);
    else view.rows = told.rows;
    if (!type.children.length) type.append(h("option", { value: "" }, "any"), ...told.types.map((name) => h("option", { value: name }, name.replaceAll("_", " "))));
    Object.assign(view, { total: told.total, all: told.all, left_out: told.left_out });
    counts();
    more.hidden = view.rows.length >= told.total;
    if (!start) grid.replaceChildren();
    const tiles = fit(grid, view.rows.length, openRow);
    none.hidden = view.rows.length > 0;
    view.rows.forEach((row, k) => k >= start && fillLater(tiles[k], row));
  } catch (error) {
    fail(error);
  }
}

function counts() {
  const rows = view.total === view.all ? `${view.all} rows` : `${view.total} of ${view.all} rows`;
  count.textContent = view.left_out ? `${rows}, ${view.left_out} thrown out` : rows;
}

// The outline comes with the row's record, when the tile is seen.
const sight = new IntersectionObserver((entries) => {
  for (const { isIntersecting, target } of entries) {
    if (!isIntersecting) continue;
    sight.unobserve(target);
    const row = target.row;
    record(row).then((told) => target.row === row && fill(target, { ...row, ...told }, source(row), view.kind), fail);
  }
}, { rootMargin: "300px" });

function fillLater(tile, row) {
  fill(tile, { ...row, outline: "" }, source(row), view.kind);
  tile.row = row;
  tile.classList.toggle("out", row.left_out);
  sight.unobserve(tile);
  sight.observe(tile);
}

const record = async (row) => ({ ...(await get(`/api/dataset/${encodeURIComponent(view.name)}/${row.index}`)), label: row.label });

function openRow(row) {
  viewer.open({ rows: view.rows, at: view.rows.findIndex((other) => other.index === row.index), source, record, actions, total: () => view.total,
    more: () => (view.rows.length < view.total ? page(view.rows.length) : null) });
}

// What can be done with a row: draw it again and compare, throw it out or take it back.
function actions(row) {
  const told = h("p", { class: "help", role: "status" });
  const again = h("button", { onclick: async () => {
    again.disabled = out.disabled = true;
    told.className = "help";
    told.textContent = "drawing it again …";
    try {
      const found = await post("/api/replay", { name: view.name, index: row.index });
      told.className = found.identical ? "good" : "problem";
      told.textContent = found.identical ? "Drawn again: equal, bit for bit."
        : `Drawn again: different in ${found.different.join(", ")}.${found.notes.length ? ` ${found.notes.join("; ")}.` : ""}`;
    } catch (error) {
      told.className = "problem";
      told.textContent = error.message;
    }
    again.disabled = out.disabled = false;
  } }, "Replay");
  const out = h("button", { onclick: async () => {
    again.disabled = out.disabled = true;
    told.className = "help";
    told.textContent = "waiting …";
    try {
      const found = await post("/api/throw", { name: view.name, index: row.index, out: !row.left_out });
      row.left_out = !row.left_out;
      view.left_out = found.left_out;
      told.className = "help";
      told.textContent = row.left_out ? "Thrown out: exports and pushes leave it out." : "Taken back.";
      name();
      counts();
      const tile = [...grid.children].find((other) => other.row.index === row.index);
      tile?.classList.toggle("out", row.left_out);
    } catch (error) {
      told.textContent = "";
      fail(error);
    }
    again.disabled = out.disabled = false;
  } });
  const name = () => { out.textContent = row.left_out ? "Take it back" : "Throw it out"; };
  name();
  return [h("div", { class: "buttons" }, again, out), told];
}
