// The tools of an easel: which one, how large, how strong, undo; and its zoom.

import { h, segments } from "./dom.js";

let count = 0;

// names: tool → word. strength: whether paint can be paler.
export function toolbox(easel, names, { strength = false, extra = {} } = {}) {
  const id = `easel${(count += 1)}`;
  const { tool } = easel;
  tool.name = Object.keys(names)[0];
  const parts = {};
  const choose = (name) => {
    tool.name = name;
    for (const [part, element] of Object.entries(parts)) element.hidden = element.off || !element.tools.includes(name);
    hint.textContent = HINTS[name];
  };
  const part = (key, tools, ...children) => {
    parts[key] = h("div", { class: "field" }, children);
    parts[key].tools = tools;
    return parts[key];
  };
  const size = h("input", { type: "range", min: 2, max: 160, value: tool.size, id: `${id}-size`, oninput: () => easel.resize(+size.value) });
  tool.resized = (value) => { size.value = value; };
  const often = h("input", { type: "range", min: 5, max: 100, step: 5, value: 100, id: `${id}-often`, oninput: () => { tool.strength = Math.round(2.55 * often.value); } });
  const undo = h("button", { disabled: true, onclick: () => { easel.back(); update(); }, title: "Undo (Ctrl+Z)" }, "Undo");
  const hint = h("p", { class: "help" });
  const words = segments("Tool", names, tool.name, choose);
  const rows = [part("size", ["brush", "eraser"], h("label", { for: `${id}-size` }, "Size"), size)];
  if (strength) rows.push(part("strength", ["brush", "area"], h("label", { for: `${id}-often` }, "How often"), often));
  for (const [key, [tools, ...children]] of Object.entries(extra)) rows.push(part(key, tools, ...children));
  const element = h("div", { class: "toolbox" }, h("div", { class: "field" }, words, h("div", { class: "row" }, hint, undo)), rows);
  const update = () => { undo.disabled = !easel.canUndo(); };
  const show = (key, on) => { parts[key].off = !on; choose(tool.name); };
  choose(tool.name);
  return { element, update, show };
}

const HINTS = {
  brush: "Paint with the mouse, a pen or a finger.",
  eraser: "Take paint away.",
  area: "Draw around it, or click corner by corner; a double click, or Enter, closes.",
  wand: "Click on the defect: what looks alike around that pixel is taken.",
};

export function zooms(easel) {
  const text = h("span", { class: "range zoomed" }, "100 %");
  easel.tool.zoomed = (by) => { text.textContent = `${Math.round(100 * by)} %`; };
  return h("span", { class: "zooms", role: "group", "aria-label": "Zoom; the wheel zooms, the right button moves" },
    h("button", { onclick: () => easel.zoom(1 / 1.5), "aria-label": "Smaller" }, "−"), text, h("button", { onclick: () => easel.zoom(1.5), "aria-label": "Larger" }, "+"));
}
