// A picture to paint on: brush, eraser, area or polygon, wand; undo, zoom, keys. What is painted is a grey canvas.

import { h, svg } from "./dom.js";
import { drawOutline } from "./tiles.js";

const MOST_STEPS = 20;
const CLICK = 4;
const CLOSE = 9;

// label: what a screen reader calls it. wand: (x, y) when the wand is set down. changed: () after each change.
export function easelOf({ label, wand = null, changed = () => {} }) {
  const tool = { name: "brush", size: 28, strength: 255 };
  const paper = document.createElement("canvas");  // white where, grey how often, black never
  const shade = h("canvas", { class: "shade" });
  const photo = h("img", { alt: "", draggable: "false" });
  const outline = svg("svg", { class: "outline", "aria-hidden": "true" }, svg("path", { class: "halo" }), svg("path", {}));
  const brush = h("i", { class: "brush", hidden: true });
  const stage = h("div", { class: "easel", tabindex: "0", role: "application",
    "aria-label": `${label}. Arrows move the brush, Space sets it down, the brackets change its size, plus and minus zoom` }, photo, shade, outline, brush);
  const frame = h("div", { class: "frame" }, stage);
  const steps = [];
  let shape = null, down = false, start = null, last = null, lasso = [], polygon = false, grabbed = null, zoomed = 1;
  const ink = paper.getContext("2d", { willReadFrequently: true });
  const over = shade.getContext("2d");

  // --- what is on it

  // Show a picture; what was painted goes when it is of another shape, or when `anew`.
  function load({ src, alt, width, height, path = null, anew = false }) {
    photo.src = src;
    photo.alt = alt;
    drawOutline(outline, { width, height, outline: path });
    if (!shape || shape[0] !== width || shape[1] !== height || anew) {
      shape = [width, height];
      for (const canvas of [paper, shade]) { canvas.width = width; canvas.height = height; }
      ink.fillStyle = "#000";
      ink.fillRect(0, 0, width, height);
      steps.length = 0;
      paint();
    }
    stage.style.setProperty("--ratio", width / height);
    stage.ratio = width / height;
    zoom(1, true);
  }

  function keep() {
    steps.push(ink.getImageData(0, 0, ...shape));
    if (steps.length > MOST_STEPS) steps.shift();
  }

  function back() {
    lasso = [];
    const before = steps.pop();
    if (!before) return;
    ink.putImageData(before, 0, 0);
    paint();
    changed();
  }

  // Change all of it: `work` gets the context.
  function fill(work) {
    if (!shape) return;
    keep();
    ink.fillStyle = colour();
    work(ink, shape);
    ink.globalCompositeOperation = "source-over";
    paint();
    changed();
  }

  // Add what the wand found; `again` takes the place of what it found before.
  function stamp(bitmap, again) {
    if (again && steps.length) ink.putImageData(steps.at(-1), 0, 0);
    else keep();
    lay(bitmap);
    changed();
  }

  // How much of the picture is painted, 0 to 1.
  function share() {
    if (!shape) return 0;
    const { data } = ink.getImageData(0, 0, ...shape);
    let count = 0;
    for (let k = 0; k < data.length; k += 4) if (data[k]) count += 1;
    return count / (shape[0] * shape[1]);
  }

  const blob = () => new Promise((done) => paper.toBlob(done, "image/png"));
  const kept = () => ({ shape, data: paper.toDataURL("image/png") });

  // Put back what `kept` returned.
  async function restore(what) {
    if (!shape || !what || what.shape[0] !== shape[0] || what.shape[1] !== shape[1]) return;
    const bytes = Uint8Array.from(atob(what.data.split(",")[1]), (letter) => letter.charCodeAt(0));
    lay(await createImageBitmap(new Blob([bytes], { type: "image/png" })));
  }

  // Add a grey picture to what is painted, as the beginning.
  function lay(bitmap) {
    ink.globalCompositeOperation = "lighten";
    ink.drawImage(bitmap, 0, 0);
    ink.globalCompositeOperation = "source-over";
    paint();
  }

  // Show what is painted, over the picture: unpainted is dimmed. Only the given part has changed.
  function paint(x = 0, y = 0, width = shape[0], height = shape[1]) {
    const left = Math.max(Math.floor(x), 0), top = Math.max(Math.floor(y), 0);
    const w = Math.min(Math.ceil(x + width), shape[0]) - left, t = Math.min(Math.ceil(y + height), shape[1]) - top;
    if (w <= 0 || t <= 0) return;
    const part = ink.getImageData(left, top, w, t);
    const { data } = part;
    for (let k = 0; k < data.length; k += 4) {
      const value = data[k];
      data[k] = value ? 255 : 20;
      data[k + 1] = value ? 0 : 20;
      data[k + 2] = value ? 160 : 24;
      data[k + 3] = value ? 30 + value * 0.35 : stage.classList.contains("bright") ? 0 : 84;
    }
    over.putImageData(part, left, top);
  }

  // --- painting

  const point = (event) => {
    const box = shade.getBoundingClientRect();
    return [(event.clientX - box.left) * (shape[0] / box.width), (event.clientY - box.top) * (shape[1] / box.height)];
  };
  const unit = () => shape[0] / shade.getBoundingClientRect().width;
  const colour = () => (tool.name === "eraser" ? "#000" : `rgb(${tool.strength} ${tool.strength} ${tool.strength})`);

  function stroke(to) {
    ink.strokeStyle = colour();
    ink.lineWidth = tool.size;
    ink.lineCap = ink.lineJoin = "round";
    ink.beginPath();
    ink.moveTo(...last);
    ink.lineTo(to[0] + 0.01, to[1]);
    ink.stroke();
    const reach = tool.size / 2 + 2;
    paint(Math.min(last[0], to[0]) - reach, Math.min(last[1], to[1]) - reach, Math.abs(last[0] - to[0]) + 2 * reach, Math.abs(last[1] - to[1]) + 2 * reach);
    last = to;
  }

  function trace(points) {
    const path = new Path2D();
    points.forEach(([x, y], k) => (k ? path.lineTo(x, y) : path.moveTo(x, y)));
    return path;
  }

  function showLasso(to) {
    paint();
    over.lineWidth = 1.6 * unit();
    over.strokeStyle = "#fff";
    over.stroke(trace(to ? [...lasso, to] : lasso));
    over.fillStyle = "#fff";
    if (polygon) over.fillRect(lasso[0][0] - 3 * unit(), lasso[0][1] - 3 * unit(), 6 * unit(), 6 * unit());
  }

  function closeLasso() {
    const points = lasso;
    lasso = [];
    polygon = false;
    if (points.length > 2) fill((context) => context.fill(trace(points)));
    else paint();
  }

  function press(event) {
    if (!shape) return;
    if (event.button === 1 || event.button === 2) { grabbed = [event.clientX + frame.scrollLeft, event.clientY + frame.scrollTop]; event.preventDefault(); return; }
    const at = point(event);
    start = [event.clientX, event.clientY];
    if (tool.name === "wand") { wand?.(Math.floor(at[0]), Math.floor(at[1])); return; }
    down = true;
    if (tool.name === "area") {
      const near = polygon && Math.hypot(at[0] - lasso[0][0], at[1] - lasso[0][1]) < CLOSE * unit();
      if (near) { down = false; closeLasso(); return; }
      lasso.push(at);
    } else { keep(); last = at; stroke(at); }
  }

  function move(event) {
    if (!shape) return;
    if (grabbed) { frame.scrollLeft = grabbed[0] - event.clientX; frame.scrollTop = grabbed[1] - event.clientY; return; }
    cursor(event);
    if (tool.name === "area" && lasso.length && (polygon || down)) {
      const far = down && !polygon && Math.hypot(event.clientX - start[0], event.clientY - start[1]) > CLICK;
      if (far) lasso.push(point(event));
      showLasso(polygon ? point(event) : null);
    } else if (down && tool.name !== "area") {
      for (const one of event.getCoalescedEvents?.() ?? [event]) stroke(point(one));
    }
  }

  function release() {
    grabbed = null;
    if (!down) return;
    down = false;
    if (tool.name !== "area") { changed(); return; }
    if (lasso.length > 3 && !polygon) closeLasso();
    else { polygon = true; lasso = polygon ? lasso : [lasso[0]]; showLasso(null); }
  }

  // --- the brush, the keys, the zoom

  function cursor(event) {
    if (!shape) return;
    const box = shade.getBoundingClientRect(), outer = stage.getBoundingClientRect();
    brush.hidden = tool.name === "area" || tool.name === "wand" || !(event || brush.at);
    brush.style.width = brush.style.height = `${tool.size * (box.width / shape[0])}px`;
    if (event) { brush.at = point(event); }
    if (brush.at) {
      brush.style.left = `${brush.at[0] * (box.width / shape[0]) + box.left - outer.left}px`;
      brush.style.top = `${brush.at[1] * (box.height / shape[1]) + box.top - outer.top}px`;
    }
  }

  function zoom(by, anew = false) {
    zoomed = anew ? 1 : Math.min(Math.max(zoomed * by, 1), 16);
    stage.style.setProperty("--by", zoomed);
    stage.classList.toggle("pixels", zoomed >= 4);
    tool.zoomed?.(zoomed);
    cursor();
  }

  function zoomAt(by, event) {
    const before = stage.getBoundingClientRect();
    const at = [(event.clientX - before.left) / before.width, (event.clientY - before.top) / before.height];
    zoom(by);
    const after = stage.getBoundingClientRect();
    frame.scrollLeft += after.left + at[0] * after.width - event.clientX;
    frame.scrollTop += after.top + at[1] * after.height - event.clientY;
  }

  function keys(event) {
    if (!shape) return;
    const by = event.shiftKey ? 20 : 5;
    const moved = { ArrowLeft: [-by, 0], ArrowRight: [by, 0], ArrowUp: [0, -by], ArrowDown: [0, by] }[event.key];
    brush.at ??= [shape[0] / 2, shape[1] / 2];
    if (moved) brush.at = [Math.min(Math.max(brush.at[0] + moved[0], 0), shape[0]), Math.min(Math.max(brush.at[1] + moved[1], 0), shape[1])];
    else if (event.key === " ") {
      if (tool.name === "wand") wand?.(Math.floor(brush.at[0]), Math.floor(brush.at[1]));
      else if (tool.name === "area") { polygon = true; lasso.push([...brush.at]); showLasso(null); }
      else { keep(); last = brush.at; stroke([...brush.at]); changed(); }
    } else if (event.key === "Enter" && polygon) closeLasso();
    else if (event.key === "Escape" && polygon) { lasso = []; polygon = false; paint(); }
    else if (event.key === "[" || event.key === "]") resize(tool.size + (event.key === "]" ? 4 : -4));
    else if (event.key === "+" || event.key === "=") zoom(1.5);
    else if (event.key === "-") zoom(1 / 1.5);
    else return;
    event.preventDefault();
    event.stopPropagation();
    cursor();
  }

  function resize(size) {
    tool.size = Math.min(Math.max(size, 2), 160);
    tool.resized?.(tool.size);
    cursor();
  }

  stage.addEventListener("pointerdown", (event) => { if (event.isPrimary) { stage.setPointerCapture(event.pointerId); press(event); } });
  stage.addEventListener("pointermove", move);
  stage.addEventListener("pointerup", release);
  stage.addEventListener("pointercancel", release);
  stage.addEventListener("pointerleave", () => { brush.hidden = !down; });
  stage.addEventListener("contextmenu", (event) => event.preventDefault());
  stage.addEventListener("dblclick", () => polygon && closeLasso());
  stage.addEventListener("wheel", (event) => { event.preventDefault(); zoomAt(Math.exp(-event.deltaY / 400), event); }, { passive: false });
  stage.addEventListener("keydown", keys);

  return { element: frame, stage, tool, load, fill, back, stamp, share, blob, kept, restore, lay, zoom, resize, repaint: () => shape && paint(),
    canUndo: () => steps.length > 0, get shape() { return shape; } };
}
