// The keys of a recipe as controls, made from its schema.

import { h, prose } from "./dom.js";
import { state, change, reset, settled } from "./state.js";
import { readable } from "./tiles.js";

const OFF = { auto: "auto", null: "usual" };
const OWN = { null: "by kind" };  // in place of a figure
const panels = new Map();
let updates = [];

// Show the controls of some sections in `root`, all by default; when only values differ, the elements stay, and with
// them the focus.
export function show(root, titles = null) {
  const sections = state.sections.filter((section) => !titles || titles.includes(section.title));
  const panel = panels.get(root) ?? { shape: "", updates: [] };
  panels.set(root, panel);
  const now = JSON.stringify(sections.map((section) =>
    [section.title, section.controls.map((control) => [control.key, control.type, control.options, "off" in control])]));
  updates = panel.updates;
  if (now !== panel.shape) {
    panel.shape = now;
    updates.length = 0;
    const open = new Set([...root.querySelectorAll("details[open]")].map((details) => details.dataset.title));
    root.replaceChildren(...sections.map((section, k) => sectionOf(section, open.size ? open.has(section.title) : k < 1)));
  }
  update(panel);
  problems(root);
}

const known = () => new Map(state.sections.flatMap((section) => section.controls).map((control) => [control.key, control]));

function update(panel) {
  const controls = known();
  for (const one of panel.updates) one(controls);
}

function sectionOf(section, open) {
  return h("details", { "data-title": section.title, open },
    h("summary", {}, section.title), h("div", { class: "controls" }, section.controls.map(controlOf)));
}

export function problems(root) {
  const wrong = new Map(state.problems.map((problem) => [problem.key, problem.text]));
  for (const element of root.querySelectorAll(".control")) {
    const key = element.dataset.key;
    const text = [...wrong].find(([name]) => name === key || name.startsWith(`${key}.`))?.[1] ?? "";
    element.classList.toggle("wrong", Boolean(text));
    element.querySelector(".problem").textContent = key.endsWith(".severity") ? text.replaceAll("severity", "visibility") : text;
    element.classList.toggle("changed", key in state.changes || (element.dataset.replaces ?? key) in state.changes);
  }
}

let number = 0;

function controlOf(control) {
  control.label = control.label.replace(/^[\w-]+(?=: )/, readable);  // a mixture's part, by its name
  const id = `c${(number += 1)}`;
  const make = { range, number: slider, chips, choice, switch: toggle, text: line, json: line }[control.type];
  const body = make(control, id);
  const off = "off" in control && control.type !== "choice" ? offOf(control) : null;
  return h("div", { class: `control of-${control.type}`, "data-key": control.key, "data-replaces": control.replaces },
    h("div", { class: "head" },
      control.type === "range" || control.type === "chips" || control.type === "choice"
        ? h("span", { class: "label", id: `${id}-label`, title: control.key }, control.label)
        : h("label", { class: "label", for: id, title: control.key }, control.label),
      h("button", { class: "reset", title: "Back to the recipe's value", "aria-label": `reset ${control.label}`,
        onclick: () => reset(control.replaces ?? control.key) }, "reset"),
      off),
    body,
    control.help && h("p", { class: "help", id: `${id}-help` }, prose(control.help)),
    h("p", { class: "problem", role: "alert" }));
}

const isOff = (control) => control.value === control.off || control.value == null;
const text = (value) => (typeof value !== "number" ? String(value) : Number.isInteger(value) ? String(value) : String(+value.toPrecision(4)));

function offOf(control) {
  const button = h("button", { class: "off", onclick: () => {
    if (button.getAttribute("aria-pressed") === "true") {
      const start = control.type === "range" ? [control.low, control.high] : control.type === "switch" ? true
        : control.type === "number" ? control.low : "";
      if (start !== "") change(control.key, control.measured ?? start);
    } else change(control.key, control.off);
  } }, OFF[control.off]);
  updates.push((controls) => {
    const now = controls.get(control.key);
    button.setAttribute("aria-pressed", String(isOff({ ...control, value: now.value })));
    button.setAttribute("aria-label", `${control.label}: ${OFF[control.off]}`);
  });
  return button;
}

// Two ends of a range: two sliders on one line, two numbers beside it.
function range(control, id) {
  const { low, high, step } = control;
  const names = ["low", "high"];
  const sliders = names.map((name) => h("input", { type: "range", min: low, max: high, step, "aria-label": `${control.label}, ${name}`,
    "aria-describedby": `${id}-help` }));
  const numbers = names.map((name) => h("input", { type: "number", step: control.integer ? 1 : "any", "aria-label": `${control.label}, ${name} in figures`, placeholder: OWN[control.off] }));
  const track = h("div", { class: "track" }, h("i"), sliders);
  const paint = (pair) => {
    track.style.setProperty("--from", (pair[0] - low) / (high - low));
    track.style.setProperty("--to", (pair[1] - low) / (high - low));
  };
  const send = (pair) => { paint(pair); change(control.key, pair, null, true); };
  sliders.forEach((input, k) => {
    input.addEventListener("input", () => {
      const pair = sliders.map((other) => +other.value);
      if (pair[0] > pair[1]) { pair[1 - k] = pair[k]; sliders[1 - k].value = pair[k]; }
      numbers.forEach((other, end) => { other.value = text(pair[end]); });
      send(pair);
    });
    input.addEventListener("change", settled);
  });
  numbers.forEach((input) => input.addEventListener("change", () => { send(numbers.map((other) => +other.value)); settled(); }));
  updates.push((controls) => {
    const value = controls.get(control.key).value;
    const pair = Array.isArray(value) ? value : typeof value === "number" ? [value, value] : control.measured ?? [low, high];
    const off = !Array.isArray(value) && typeof value !== "number";
    numbers[0].parentElement.classList.toggle("idle", off);
    pair.forEach((end, k) => {
      if (document.activeElement !== sliders[k]) sliders[k].value = end;
      if (document.activeElement !== numbers[k]) numbers[k].value = off && !control.measured ? "" : text(end);
    });
    paint(pair);
  });
  return h("div", { class: "row", role: "group", "aria-labelledby": `${id}-label` }, numbers[0], control.slider ? track : "–", numbers[1]);
}

function slider(control, id) {
  const { low, high, step } = control;
  const figure = h("input", { type: "number", id, step: control.integer ? 1 : "any", min: control.slider ? undefined : low, placeholder: OWN[control.off] });
  const input = control.slider && h("input", { type: "range", min: low, max: high, step, "aria-label": `${control.label}, slider`,
    "aria-describedby": `${id}-help` });
  const track = input && h("div", { class: "track one" }, h("i"), input);
  const paint = (value) => {
    if (!track) return;
    if (value > +input.max) input.max = 2 * value;  // what was measured may lie beyond what was expected
    track.style.setProperty("--to", (value - low) / (input.max - low));
  };
  if (input) {
    input.addEventListener("input", () => { figure.value = text(+input.value); paint(+input.value); change(control.key, +input.value, null, true); });
    input.addEventListener("change", settled);
  }
  figure.addEventListener("change", () => figure.value !== "" && change(control.key, +figure.value));
  const row = h("div", { class: "row" }, track, figure);
  updates.push((controls) => {
    const value = controls.get(control.key).value;
    const known = typeof value === "number" ? value : control.measured;
    row.classList.toggle("idle", typeof value !== "number");
    if (document.activeElement !== figure) figure.value = known == null ? "" : text(known);
    paint(known ?? low);
    if (input && document.activeElement !== input) input.value = known ?? low;
  });
  return row;
}

function chips(control, id) {
  const group = h("div", { class: "chips", role: "group", "aria-labelledby": `${id}-label` });
  const chosen = () => [...group.children].filter((chip) => chip.getAttribute("aria-pressed") === "true").map((chip) => chip.dataset.value);
  const send = (names) => {
    for (const chip of group.children) if (chip.dataset.value) chip.setAttribute("aria-pressed", String(names.includes(chip.dataset.value)));
    change(control.key, names);
  };
  for (const option of control.options) {
    group.append(h("button", { "data-value": option, title: "Shift-click: this one alone", onclick: (event) => {
      const now = chosen();
      send(event.shiftKey ? [option] : now.includes(option) ? now.filter((name) => name !== option) : control.options.filter((name) => name === option || now.includes(name)));
    } }, option.replaceAll("_", " ")));
  }
  const all = h("button", { class: "all", onclick: () => send(chosen().length === control.options.length ? [control.options[0]] : control.options) }, "all");
  group.append(all);
  updates.push((controls) => {
    const value = controls.get(control.key).value ?? [];
    const names = Array.isArray(value) ? value : Object.keys(value);
    for (const chip of group.children) if (chip.dataset.value) chip.setAttribute("aria-pressed", String(names.includes(chip.dataset.value)));
    const every = names.length === control.options.length;
    all.textContent = every ? "only one" : "all";
  });
  return group;
}

function choice(control, id) {
  const options = "off" in control && !control.options.includes(control.off) ? [control.off, ...control.options] : control.options;
  const name = (option) => control.names?.[option] ?? (option === null ? "none" : String(option).replaceAll("_", " "));
  if (options.length > 6) {
    const select = h("select", { id, "aria-labelledby": `${id}-label`, onchange: () => change(control.key, options[select.selectedIndex], control.replaces) },
      options.map((option) => h("option", {}, name(option))));
    updates.push((controls) => { select.selectedIndex = options.indexOf(controls.get(control.key).value ?? null); });
    return select;
  }
  const group = h("div", { class: "chips", role: "radiogroup", "aria-labelledby": `${id}-label` });
  options.forEach((option) => group.append(h("button", { role: "radio", onclick: () => change(control.key, option, control.replaces) }, name(option))));
  updates.push((controls) => {
    const value = controls.get(control.key).value ?? null;
    [...group.children].forEach((button, k) => button.setAttribute("aria-checked", String(options[k] === value)));
  });
  return group;
}

function toggle(control, id) {
  const input = h("input", { type: "checkbox", id, role: "switch", onchange: () => change(control.key, input.checked) });
  updates.push((controls) => {
    const { value, off } = controls.get(control.key);
    const idle = off !== undefined && (value === off || value == null);
    input.checked = idle ? control.measured === true : value === true;
    input.classList.toggle("idle", idle);
  });
  return input;
}

// A word, or, where nothing simpler will do, a value in JSON.
function line(control, id) {
  const raw = control.type === "json";
  const input = h("input", { type: "text", id, disabled: control.fixed, spellcheck: "false", autocomplete: "off",
    onchange: () => {
      let value = input.value;
      if (raw) try { value = JSON.parse(value); } catch { /* the studio says what is wrong with the text */ }
      if (value === "" && "off" in control) value = control.off;
      change(control.key, value);
    } });
  updates.push((controls) => {
    const value = controls.get(control.key).value;
    if (document.activeElement !== input) input.value = value == null ? "" : raw || typeof value === "object" ? JSON.stringify(value) : value;
  });
  return input;
}

// What a button says that sets a key to a value.
export function proposal({ key, value }) {
  const label = known().get(key)?.label ?? key.split(".").pop().replaceAll("_", " ");
  return `Set ${label} to ${(Array.isArray(value) ? [...new Set(value)] : [value]).map(text).join(" – ")}`;
}

// Tell the controls that stand on auto what was measured in its place.
export function measured(resolved) {
  for (const control of known().values()) {
    const found = control.key.split(".").reduce((value, part) => value?.[part], resolved);
    const fits = { range: Array.isArray(found), switch: typeof found === "boolean" }[control.type] ?? typeof found === "number";
    if ("off" in control && isOff(control) && fits) control.measured = found;
  }
  for (const [root, panel] of panels) if (root.isConnected && !panel.shape.startsWith("[]")) update(panel);
}
