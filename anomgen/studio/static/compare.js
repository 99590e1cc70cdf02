// All recipes on one of the images, side by side: the same row of each, which is of the same image.

import { h, say, segments } from "./dom.js";
import { get, post } from "./api.js";
import { state, put } from "./state.js";
import { VIEWS, fill, readable, show, tileOf } from "./tiles.js";

const view = { index: 0, kind: "image", names: [], images: [], of: "", drawn: "" };
let grid, image, list, toLook, waiting = [], working = false;

export function build(section, told, look) {
  view.names = Object.keys(told.recipes);
  toLook = look;
  list = h("datalist", { id: "compare-images" });
  image = h("input", { type: "text", id: "compare-image", list: "compare-images", autocomplete: "off", spellcheck: "false", onfocus: () => image.select(), onchange: () => {
    const found = view.images.indexOf(image.value.trim());
    if (found >= 0) { view.index = found; draw(); } else { say(`there is no image ${image.value}`, true); named(); }
  } });
  const views = segments("Picture", VIEWS, "image", (kind) => { view.kind = kind; for (const tile of grid.children) if (tile.row && !tile.row.error) show(tile, tile.source, kind); });
  grid = h("div", { role: "group", class: "grid outlined", "aria-label": "Recipes side by side" });
  const outline = h("button", { class: "toggle", "aria-pressed": "true", onclick: () => outline.setAttribute("aria-pressed", String(grid.classList.toggle("outlined"))) }, "Outline");
  const step = (by) => { view.index = Math.max(0, view.index + by); draw(); };
  section.append(h("div", { class: "stage" },
    h("div", { class: "tools", role: "toolbar", "aria-label": "How recipes are compared" }, views, outline, h("span", { class: "space" }),
      h("div", { class: "which" }, h("label", { for: "compare-image" }, "Image"), h("button", { onclick: () => step(-1), "aria-label": "Image before" }, "‹"), image, list,
        h("button", { onclick: () => step(1), "aria-label": "Next image" }, "›"))),
    h("p", { class: "lead" }, "The same image by every recipe, as it comes. Choose one to go on with."), grid));
  keys = { n: () => step(1), p: () => step(-1) };
}

let keys = {};

export function key(event) {
  keys[event.key.toLowerCase()]?.();
}

// Recipes are drawn when their tile comes into sight.
const sight = new IntersectionObserver((entries) => {
  for (const entry of entries) if (entry.isIntersecting && !entry.target.row) { sight.unobserve(entry.target); waiting.push(entry.target); }
  work();
}, { rootMargin: "200px" });

const shared = () => Object.fromEntries(Object.entries(state.changes).filter(([name]) => name === "seed" || name.startsWith("source.")));

export function open() {
  const now = JSON.stringify([view.index, shared()]);
  if (now !== view.drawn) draw();
  else for (const tile of grid.children) if (!tile.row) sight.observe(tile);
}

// What nobody looks at is not drawn.
export function close() {
  waiting = [];
  sight.disconnect();
}

// The images' names, in the order of the rows.
async function named() {
  try {
    const chosen = await post("/api/recipe", { base: "perlin", changes: { ...shared(), anomaly_ratio: 1 } });
    if (view.of !== chosen.id) {
      view.images = (await get(`/api/images/${chosen.id}`)).names;
      view.of = chosen.id;
      list.replaceChildren(...[...view.images].sort().map((name) => h("option", { value: name })));
    }
    image.value = view.images[view.index % view.images.length] ?? "";
  } catch (error) {
    say(error.message, true);
  }
}

function draw() {
  named();
  view.drawn = JSON.stringify([view.index, shared()]);
  waiting = [];
  sight.disconnect();
  grid.replaceChildren(...view.names.map((name) => {
    const tile = tileOf(() => take(name));
    tile.name = name;
    tile.caption.append(h("span", { class: "kind" }, readable(name)));
    return tile;
  }));
  for (const tile of grid.children) sight.observe(tile);
}

function take(name) {
  put(name, shared());
  toLook();
}

async function work() {
  if (working) return;
  working = true;
  while (waiting.length) {
    const tile = waiting.shift();
    if (!tile.isConnected) continue;
    try {
      const chosen = await post("/api/recipe", { base: tile.name, changes: { ...shared(), anomaly_ratio: 1 } });
      const told = await post("/api/rows", { id: chosen.id, indices: [view.index] });
      tile.source = (kind) => `/row/${chosen.id}/${view.index}/${kind}.png?side=320`;
      fill(tile, told.rows[0], tile.source, view.kind, readable(tile.name));
    } catch (error) {
      fill(tile, { index: view.index, error: error.message }, null, view.kind, readable(tile.name));
    }
    if (tile.row.error) grid.append(tile);  // what cannot be drawn comes last
  }
  working = false;
}
