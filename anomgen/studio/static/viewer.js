// One sample, large: zoom and pan on the pixels, before and after, mask, difference, outline, and all that is known.

import { $, h, svg, segments } from "./dom.js";
import { VIEWS, drawOutline, kindOf, percent, visibility } from "./tiles.js";

const MOST = 40;
let shown = null;
let dialog, stage, layers, outline, split, facts, heading, views, position, zoomText, acts;
const place = { scale: 1, x: 0, y: 0, fitted: 1 };

export function build() {
  dialog = $("viewer");
  layers = { normal: picture("normal image"), top: picture("") };
  for (const name of ["load", "error"]) layers.top.addEventListener(name, () => stage.removeAttribute("aria-busy"));
  outline = svg("svg", { class: "outline", "aria-hidden": "true" }, svg("path", { class: "halo" }), svg("path", {}));
  const canvas = h("div", { class: "canvas" }, layers.normal, layers.top, outline);
  stage = h("div", { class: "zoom", tabindex: "0", role: "img", "aria-label": "The picture; plus and minus zoom, Shift with the arrows moves" }, canvas);
  stage.canvas = canvas;
  split = h("input", { type: "range", min: 0, max: 1000, value: 0, class: "split", "aria-label": "Before and after: how much of the normal image is shown",
    oninput: () => divide() });
  views = segments("Picture", VIEWS, "image", (view) => { shown.view = view; paint(); });
  const lines = h("button", { class: "toggle", "aria-pressed": "true", onclick: () => {
    const on = dialog.classList.toggle("outlined");
    lines.setAttribute("aria-pressed", String(on));
  } }, "Outline");
  dialog.classList.add("outlined");
  zoomText = h("span", { class: "range" });
  heading = h("h2");
  position = h("span", { class: "range" });
  facts = h("dl");
  acts = h("div", { class: "acts" });
  dialog.append(
    h("div", { class: "tools" }, heading, position, h("span", { class: "space" }), views, lines,
      h("button", { onclick: () => zoom(1 / 1.5), "aria-label": "Smaller" }, "−"), zoomText, h("button", { onclick: () => zoom(1.5), "aria-label": "Larger" }, "+"),
      h("button", { onclick: fit }, "Fit"),
      h("button", { onclick: () => step(-1), "aria-label": "Sample before" }, "‹"), h("button", { onclick: () => step(1), "aria-label": "Next sample" }, "›"),
      h("button", { onclick: () => dialog.close(), "aria-label": "Close" }, "Close")),
    h("div", { class: "body" }, h("div", { class: "left" }, stage, h("label", { class: "splitter" }, h("span", {}, "after"), split, h("span", {}, "before"))),
      h("div", { class: "facts", tabindex: "0", role: "region", "aria-label": "What is known of this sample" }, acts, facts)));
  gestures();
  dialog.addEventListener("keydown", key);
}

const picture = (alt) => h("img", { alt, draggable: "false" });

export function open(what) {
  shown = { view: "image", ...what };
  if (!dialog.open) dialog.showModal();
  split.value = 0;
  views.paint(shown.view);
  load().then(fit);
}

async function load() {
  const row = shown.rows[shown.at];
  const source = shown.source(row);
  layers.normal.src = row.label === 0 || row.label === "normal" ? source("image", null) : source("normal", null);
  heading.textContent = kindOf(row);
  position.textContent = `row ${row.index} · ${shown.at + 1} of ${shown.total?.() ?? `${shown.rows.length} shown`}`;
  acts.replaceChildren(...(shown.actions?.(row) ?? []));
  paint();
  const record = await shown.record(row);
  size(record);
  drawOutline(outline, record);
  tell(record);
}

function size(row) {
  stage.canvas.style.width = `${row.width}px`;
  stage.canvas.style.height = `${row.height}px`;
  place.width = row.width;
  place.height = row.height;
}

function paint() {
  const row = shown.rows[shown.at];
  const plain = row.label === 0 || row.label === "normal";
  stage.setAttribute("aria-busy", "true");
  layers.top.src = shown.source(row)(plain && shown.view !== "mask" ? "image" : shown.view, null);
  layers.top.alt = `${kindOf(row)}, ${VIEWS[shown.view]}`;
  divide();
}

function divide() {
  stage.style.setProperty("--split", `${split.value / 10}%`);
  stage.classList.toggle("divided", split.value > 0);
}

function tell(row) {
  const plain = row.label === 0 || row.label === "normal";
  const anomaly = plain ? [] : [["type", kindOf(row)], ["visibility", visibility(row)], ["mean change", percent(row.severity)], ["area", percent(row.area)], ["boxes", row.boxes?.length]];
  const facts_ = [["row", row.index], ["label", plain ? "normal" : "anomaly"], ...anomaly,
    ["image", row.source_id], ["size", `${row.width} × ${row.height}`], ["draws before it", row.attempt || null]];
  const { severity, reached, ...params } = row.params ?? {};  // what is shown as the visibility
  if (!params.strength) delete params.strength;  // of kinds that cover what is below them
  facts.replaceChildren(...entries(facts_), ...entries(Object.entries(reached == null ? row.params ?? {} : params).sort(([one], [other]) => one.localeCompare(other)), "drawn"));
}

function entries(pairs, group) {
  const known = pairs.filter(([, value]) => value != null);
  const head = group && known.length ? [h("dt", { class: "group" }, group), h("dd")] : [];
  return [...head, ...known.flatMap(([name, value]) => [h("dt", {}, name.replaceAll("_", " ")), h("dd", {}, worded(value))])];
}

// Lists and mappings in words, which break between them.
function worded(value) {
  if (typeof value === "number") return String(+value.toPrecision(4));
  if (Array.isArray(value)) return value.map((inner) => (Array.isArray(inner) ? `(${worded(inner)})` : worded(inner))).join(", ");
  if (value !== null && typeof value === "object") return Object.entries(value).map(([name, inner]) => `${name.replaceAll("_", " ")} ${worded(inner)}`).join(", ");
  return String(value);
}

async function step(by) {
  if (shown.at + by >= shown.rows.length) await shown.more?.();
  shown.at = (shown.at + by + shown.rows.length) % shown.rows.length;
  load();
}

// --- zoom and pan

function fit() {
  const { clientWidth, clientHeight } = stage;
  place.fitted = Math.min(clientWidth / place.width, clientHeight / place.height) || 1;
  place.scale = place.fitted;
  place.x = (clientWidth - place.width * place.scale) / 2;
  place.y = (clientHeight - place.height * place.scale) / 2;
  apply();
}

function zoom(by, x = stage.clientWidth / 2, y = stage.clientHeight / 2) {
  const scale = Math.min(Math.max(place.scale * by, Math.min(place.fitted, 1) / 2), MOST);
  place.x = x - (x - place.x) * (scale / place.scale);
  place.y = y - (y - place.y) * (scale / place.scale);
  place.scale = scale;
  apply();
}

function apply() {
  stage.canvas.style.transform = `translate(${place.x}px, ${place.y}px) scale(${place.scale})`;
  stage.canvas.style.setProperty("--zoom", place.scale / 1.4);
  stage.classList.toggle("pixels", place.scale >= 2);
  zoomText.textContent = `${Math.round(100 * place.scale)} %`;
}

function gestures() {
  const points = new Map();
  let before = null;
  stage.addEventListener("wheel", (event) => {
    event.preventDefault();
    const box = stage.getBoundingClientRect();
    zoom(Math.exp(-event.deltaY / 400), event.clientX - box.left, event.clientY - box.top);
  }, { passive: false });
  stage.addEventListener("pointerdown", (event) => { points.set(event.pointerId, event); stage.setPointerCapture(event.pointerId); before = null; });
  stage.addEventListener("pointermove", (event) => {
    if (!points.has(event.pointerId)) return;
    const last = points.get(event.pointerId);
    points.set(event.pointerId, event);
    if (points.size === 1) { place.x += event.clientX - last.clientX; place.y += event.clientY - last.clientY; apply(); return; }
    const [a, b] = [...points.values()];
    const box = stage.getBoundingClientRect();
    const now = Math.hypot(a.clientX - b.clientX, a.clientY - b.clientY);
    if (before) zoom(now / before, (a.clientX + b.clientX) / 2 - box.left, (a.clientY + b.clientY) / 2 - box.top);
    before = now;
  });
  for (const name of ["pointerup", "pointercancel"]) stage.addEventListener(name, (event) => { points.delete(event.pointerId); before = null; });
  stage.addEventListener("dblclick", fit);
  new ResizeObserver(() => dialog.open && place.width && fit()).observe(stage);
}

function key(event) {
  if (event.target === split) return;
  const pan = { ArrowLeft: [40, 0], ArrowRight: [-40, 0], ArrowUp: [0, 40], ArrowDown: [0, -40] }[event.key];
  if (event.shiftKey && pan) { place.x += pan[0]; place.y += pan[1]; apply(); }
  else if (event.key === "ArrowLeft") step(-1);
  else if (event.key === "ArrowRight") step(1);
  else if (event.key === "+" || event.key === "=") zoom(1.5);
  else if (event.key === "-") zoom(1 / 1.5);
  else if (event.key === "0") fit();
  else if (event.key.toLowerCase() === "b") { split.value = +split.value > 500 ? 0 : 1000; divide(); }
  else return;
  event.preventDefault();
}
