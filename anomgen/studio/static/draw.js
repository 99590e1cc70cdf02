// Draw: paint where defects may be, or how often, on one of the images, and save that as a picture for the recipe.

import { h, svg, ask, say, segments } from "./dom.js";
import { get, upload } from "./api.js";
import { state, change } from "./state.js";
import { drawOutline } from "./tiles.js";

const KEPT = "anomgen-studio-drawing";
const MOST_STEPS = 30;
const TOOLS = { brush: "Brush", eraser: "Eraser", area: "Area" };
const tool = { name: "brush", size: 28, strength: 255 };
const steps = [];
let at = 0, shape = null, stage, photo, shade, outline, paper, brush, where, lasso = [], down = false, last = null, undoButton, named;

export function build(section) {
  paper = document.createElement("canvas");  // what is saved: white where, grey how often, black never
  shade = h("canvas", { class: "shade" });
  photo = h("img", { alt: "", draggable: "false" });
  outline = svg("svg", { class: "outline", "aria-hidden": "true" }, svg("path", { class: "halo" }), svg("path", {}));
  brush = h("i", { class: "brush" });
  stage = h("div", { class: "easel", tabindex: "0", role: "application", "aria-label": "Picture to paint on. Arrows move the brush, Space paints, the brackets change its size" },
    photo, shade, outline, brush);
  const tools = segments("Tool", TOOLS, "brush", (name) => { tool.name = name; });
  const size = h("input", { type: "range", min: 2, max: 160, value: tool.size, id: "brush-size", oninput: () => { tool.size = +size.value; cursor(); } });
  const strength = h("input", { type: "range", min: 5, max: 100, step: 5, value: 100, id: "brush-strength", oninput: () => { tool.strength = Math.round(2.55 * strength.value); } });
  stage.sizes = size;
  undoButton = h("button", { onclick: back, disabled: true }, "Undo");
  where = h("span", { class: "range" });
  section.append(
    h("aside", { class: "panel", "aria-label": "Tools" },
      h("div", { class: "field" }, h("p", { class: "lead" }, "Paint where defects may be. What stays unpainted gets none; paler paint gets fewer."), tools),
      h("div", { class: "field" }, h("label", { for: "brush-size" }, "Size"), size),
      h("div", { class: "field" }, h("label", { for: "brush-strength" }, "How often"), strength),
      h("div", { class: "buttons" }, undoButton, h("button", { onclick: () => all(255) }, "Fill"), h("button", { onclick: () => all(0) }, "Clear"),
        h("button", { onclick: invert }, "Invert"), h("button", { onclick: object }, "Fill the object")),
      named = h("div", { class: "field targets" }),
      h("button", { class: "primary wide", onclick: save }, "Save the mask")),
    h("div", { class: "stage" },
      h("div", { class: "tools", role: "toolbar", "aria-label": "Which image" }, h("span", { class: "name" }), h("span", { class: "space" }),
        h("button", { onclick: () => turn(-1), "aria-label": "Image before" }, "‹"), where, h("button", { onclick: () => turn(1), "aria-label": "Next image" }, "›")),
      stage));
  stage.name = section.querySelector(".name");
  stage.addEventListener("pointerdown", (event) => { stage.setPointerCapture(event.pointerId); begin(event); });
  stage.addEventListener("pointermove", move);
  stage.addEventListener("pointerup", end);
  stage.addEventListener("pointercancel", end);
  stage.addEventListener("pointerleave", () => { brush.hidden = !down; });
  stage.addEventListener("keydown", byKeys);
}

export function open() {
  if (!state.id) return;
  targets();
  load();
}

export function key(event) {
  const pressed = event.key.toLowerCase();
  if (pressed === "z" && (event.ctrlKey || event.metaKey)) back();
  else if (pressed === "n") turn(1);
  else if (pressed === "p") turn(-1);
}

// Which keys of the recipe take a picture of where: those that name one in their schema.
const TARGETS = { weights: "Weights of the defects", roi: "Where defects may be", exclude: "Where defects may not be" };

function targets() {
  const found = state.sections.flatMap((section) => section.controls).filter((control) => control.key.split(".").pop() in TARGETS);
  const choices = found.map((control, k) => h("label", { class: "choice" },
    h("input", { type: "radio", name: "target", value: control.key, checked: k === 0 }), TARGETS[control.key.split(".").pop()], h("code", {}, control.key)));
  named.replaceChildren(h("p", { class: "label" }, "Used as"), ...(choices.length ? choices
    : [h("p", { class: "help" }, "This recipe takes no picture of where; the recipe defects does. The mask is saved all the same.")]));
}

async function load() {
  try {
    const told = await get(`/api/normal/${state.id}/${at}`);
    photo.src = `/normal/${state.id}/${at}.png`;
    photo.alt = `normal image ${told.source_id}`;
    stage.name.textContent = told.source_id;
    where.textContent = `image ${at + 1}`;
    drawOutline(outline, told);
    stage.outlinePath = told.outline;
    if (!shape || shape[0] !== told.width || shape[1] !== told.height) resize(told.width, told.height);
    stage.style.setProperty("--ratio", `${told.width} / ${told.height}`);
  } catch (error) {
    if (at > 0) { at = 0; say("that was the last image"); load(); } else say(error.message, true);
  }
}

function turn(by) {
  at = Math.max(0, at + by);
  load();
}

function resize(width, height) {
  shape = [width, height];
  for (const canvas of [paper, shade]) { canvas.width = width; canvas.height = height; }
  const context = paper.getContext("2d", { willReadFrequently: true });
  context.fillStyle = "#000";
  context.fillRect(0, 0, width, height);
  steps.length = 0;
  restore();
  paint();
}

// --- painting

const point = (event) => {
  const box = shade.getBoundingClientRect();
  return [(event.clientX - box.left) * (shape[0] / box.width), (event.clientY - box.top) * (shape[1] / box.height)];
};

const ink = () => (tool.name === "eraser" ? "#000" : `rgb(${tool.strength} ${tool.strength} ${tool.strength})`);

function begin(event) {
  if (!shape) return;
  down = true;
  keep();
  last = point(event);
  lasso = [last];
  if (tool.name !== "area") stroke(last);
}

function move(event) {
  if (!shape) return;
  cursor(event);
  if (!down) return;
  const now = point(event);
  if (tool.name === "area") { lasso.push(now); paint(); } else { stroke(now); last = now; }
}

function end() {
  if (!down) return;
  down = false;
  if (tool.name === "area" && lasso.length > 2) {
    const context = paper.getContext("2d");
    context.fillStyle = ink();
    context.fill(trace());
  }
  lasso = [];
  paint();
  remember();
}

function stroke(to) {
  const context = paper.getContext("2d");
  context.strokeStyle = ink();
  context.lineWidth = tool.size;
  context.lineCap = context.lineJoin = "round";
  context.beginPath();
  context.moveTo(...last);
  context.lineTo(to[0] + 0.01, to[1]);
  context.stroke();
  paint();
}

function trace() {
  const path = new Path2D();
  lasso.forEach(([x, y], k) => (k ? path.lineTo(x, y) : path.moveTo(x, y)));
  path.closePath();
  return path;
}

// What is painted, over the picture: unpainted is dimmed.
function paint() {
  const from = paper.getContext("2d").getImageData(0, 0, ...shape);
  for (let k = 0; k < from.data.length; k += 4) {
    const value = from.data[k];
    from.data[k] = value ? 255 : 20;
    from.data[k + 1] = value ? 0 : 20;
    from.data[k + 2] = value ? 160 : 24;
    from.data[k + 3] = value ? 30 + value * 0.35 : 84;
  }
  const context = shade.getContext("2d");
  context.putImageData(from, 0, 0);
  if (down && tool.name === "area" && lasso.length > 1) {
    context.strokeStyle = "#fff";
    context.lineWidth = 1.5;
    context.stroke(trace());
  }
}

function keep() {
  steps.push(paper.getContext("2d").getImageData(0, 0, ...shape));
  if (steps.length > MOST_STEPS) steps.shift();
  undoButton.disabled = false;
}

function back() {
  const before = steps.pop();
  if (!before) return;
  paper.getContext("2d").putImageData(before, 0, 0);
  undoButton.disabled = !steps.length;
  paint();
  remember();
}

function fillWith(work) {
  if (!shape) return;
  keep();
  const context = paper.getContext("2d");
  context.fillStyle = ink();
  work(context);
  paint();
  remember();
}

const all = (value) => fillWith((context) => { context.fillStyle = `rgb(${value} ${value} ${value})`; context.fillRect(0, 0, ...shape); });

const invert = () => fillWith((context) => {
  const data = context.getImageData(0, 0, ...shape);
  for (let k = 0; k < data.data.length; k += 4) for (let c = 0; c < 3; c += 1) data.data[k + c] = 255 - data.data[k + c];
  context.putImageData(data, 0, 0);
});

function object() {
  if (!stage.outlinePath) { say("the whole image is the object; set the foreground first"); return; }
  fillWith((context) => context.fill(new Path2D(stage.outlinePath), "evenodd"));
}

// --- the brush and the keys

function cursor(event) {
  if (!shape) return;
  const box = shade.getBoundingClientRect();
  const outer = stage.getBoundingClientRect();
  const scale = box.width / shape[0];
  brush.hidden = tool.name === "area";
  brush.style.width = brush.style.height = `${tool.size * scale}px`;
  if (event) { brush.style.left = `${event.clientX - outer.left}px`; brush.style.top = `${event.clientY - outer.top}px`; brush.at = point(event); }
}

function byKeys(event) {
  if (!shape) return;
  const by = event.shiftKey ? 20 : 5;
  const moved = { ArrowLeft: [-by, 0], ArrowRight: [by, 0], ArrowUp: [0, -by], ArrowDown: [0, by] }[event.key];
  brush.at ??= [shape[0] / 2, shape[1] / 2];
  if (moved) brush.at = [Math.min(Math.max(brush.at[0] + moved[0], 0), shape[0]), Math.min(Math.max(brush.at[1] + moved[1], 0), shape[1])];
  else if (event.key === " ") { keep(); last = brush.at; stroke(brush.at); remember(); }
  else if (event.key === "[" || event.key === "]") { tool.size = Math.min(Math.max(tool.size + (event.key === "]" ? 4 : -4), 2), 160); stage.sizes.value = tool.size; }
  else return;
  event.preventDefault();
  const box = shade.getBoundingClientRect();
  const outer = stage.getBoundingClientRect();
  cursor();
  brush.style.left = `${brush.at[0] * (box.width / shape[0]) + box.left - outer.left}px`;
  brush.style.top = `${brush.at[1] * (box.height / shape[1]) + box.top - outer.top}px`;
}

// --- keeping and saving

function remember() {
  try {
    localStorage.setItem(KEPT, JSON.stringify({ shape, data: paper.toDataURL("image/png") }));
  } catch { /* too large to keep; it is still on the page */ }
}

function restore() {
  let kept = null;
  try {
    kept = JSON.parse(localStorage.getItem(KEPT));
  } catch { /* nothing kept */ }
  if (!kept || kept.shape[0] !== shape[0] || kept.shape[1] !== shape[1]) return;
  const bytes = Uint8Array.from(atob(kept.data.split(",")[1]), (letter) => letter.charCodeAt(0));
  createImageBitmap(new Blob([bytes], { type: "image/png" })).then((image) => { paper.getContext("2d").drawImage(image, 0, 0); paint(); });
}

async function save() {
  if (!shape) return;
  const given = await ask({ title: "Save the mask", text: "It is written beside your datasets and can be used by any recipe.", yes: "Save",
    fields: [{ name: "name", label: "Name", value: "where" }] });
  if (!given) return;
  const blob = await new Promise((done) => paper.toBlob(done, "image/png"));
  try {
    await send(given.name, blob, "");
  } catch (error) {
    if (!/is there already/.test(error.message)) { say(error.message, true); return; }
    if (await ask({ title: "Replace it?", text: error.message, yes: "Replace" })) await send(given.name, blob, "&overwrite=1").catch((other) => say(other.message, true));
  }
}

async function send(name, blob, more) {
  const told = await upload(`/api/mask?name=${encodeURIComponent(name)}${more}`, blob);
  const target = named.querySelector("input:checked");
  if (target) { await change(target.value, told.path); say(`${told.path}, used as ${target.value}`); } else say(`saved: ${told.path}`);
}
