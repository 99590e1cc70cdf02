// Object: what of the images counts as the product, seen on several of them at once, and how that is found.

import { h, svg } from "./dom.js";
import { get } from "./api.js";
import { state, change, listen } from "./state.js";
import * as controls from "./controls.js";
import { percent } from "./tiles.js";

const SIDE = 360;
const MOST = 8;
const REGIONS = ["roi", "exclude"];  // painted under Where
let panel, grid, told, refine, range, start = 0, asking = null, drawn = "", open_ = false, total = 0;

export function build(section) {
  panel = h("div", { class: "sections" });
  told = h("p", { class: "lead" });
  refine = h("button", { hidden: true });
  grid = h("div", { role: "group", class: "grid objects", "aria-label": "Images, with what counts as the object" });
  range = h("span", { class: "range" });
  section.append(
    h("aside", { class: "panel", "aria-label": "How the object is found" },
      h("p", { class: "lead" }, "Defects belong on the product, not beside it. Bright is what counts as the product."), told, refine, panel),
    h("div", { class: "stage" },
      h("div", { class: "tools", role: "toolbar", "aria-label": "Which images" }, h("span", { class: "space" }),
        h("button", { onclick: () => turn(-MOST), "aria-label": "Images before" }, "‹"), range, h("button", { onclick: () => turn(MOST), "aria-label": "Next images" }, "›")),
      grid));
  listen((what) => { if (what === "recipe" && open_ && section.checkVisibility()) draw(); });
}

export function open() {
  open_ = true;
  draw();
}

export function key(event) {
  if (event.key.toLowerCase() === "n") turn(MOST);
  else if (event.key.toLowerCase() === "p") turn(-MOST);
}

function turn(by) {
  start = Math.min(Math.max(0, start + by), Math.max(0, total - 1));
  drawn = "";
  draw();
}

async function draw() {
  if (!state.id) return;
  controls.show(panel, ["Object"]);
  panel.querySelector("details")?.setAttribute("open", "");
  const now = JSON.stringify([state.id, start]);
  if (now === drawn || state.error) return;
  drawn = now;
  asking?.abort();
  asking = new AbortController();
  const { signal } = asking;
  try {
    for (let k = 0; k < MOST; k += 1) {
      if (k && start + k >= total) break;
      const about = await get(`/api/normal/${state.id}/${start + k}`, signal);
      total = about.images;
      if (k === 0) tell(about);
      paint(k, about);
    }
    while (grid.children.length > Math.min(MOST, total - start)) grid.lastChild.remove();
    range.textContent = `${start + 1} – ${Math.min(start + MOST, total)} of ${total}`;
  } catch (error) {
    if (error.name !== "AbortError") told.textContent = error.message;
  }
}

function tell(about) {
  const { method, ...keys } = about.foreground;
  const words = Object.entries(keys).filter(([name, value]) => value != null && !REGIONS.includes(name)).map(([name, value]) => `${name} ${value}`).join(", ");
  const name = method.replaceAll("_", " ");
  if (about.chosen) told.replaceChildren("Chosen by looking at your images: ", h("b", {}, method === "none" ? "the whole image" : name), words && ` (${words})`);
  else told.textContent = method === "none" ? "The whole image counts as the object." : "";
  refine.hidden = !about.chosen || method === "none";
  refine.textContent = "Refine it by hand";
  refine.onclick = () => change("foreground", Object.fromEntries(Object.entries(about.foreground).filter(([, value]) => value != null)), "foreground");
}

function paint(k, about) {
  const { width, height } = about;
  let tile = grid.children[k];
  if (!tile) {
    tile = h("figure", { class: "tile" }, h("div", { class: "picture" }, h("img", { alt: "", decoding: "async" }),
      svg("svg", { class: "veil", "aria-hidden": "true" }, svg("path", { class: "rest", "fill-rule": "evenodd" }), svg("path", { class: "region" }), svg("path", { class: "rim" }))), h("figcaption", {}));
    grid.append(tile);
  }
  const image = tile.querySelector("img"), veil = tile.querySelector("svg");
  const address = `/normal/${state.id}/${start + k}.png?side=${SIDE}`;
  if (tile.dataset.name !== about.source_id) image.src = address;  // the image is the same however its object is found
  tile.dataset.name = about.source_id;
  image.alt = about.source_id;
  tile.firstChild.style.setProperty("--ratio", `${width} / ${height}`);
  veil.setAttribute("viewBox", `0 0 ${width} ${height}`);
  veil.children[0].setAttribute("d", about.outline == null ? "" : `M0 0H${width}V${height}H0Z${about.outline}`);
  veil.children[1].setAttribute("d", about.region ?? "");
  veil.children[2].setAttribute("d", about.outline ?? "");
  const share = about.area == null ? "all of it" : `${Math.round(100 * about.area)} % of the image`;
  const region = about.allowed != null && h("p", { class: "why" }, `Dashed: the region set under Where, which leaves ${percent(about.allowed)} for defects.`);
  tile.lastChild.replaceChildren(h("span", { class: "kind" }, about.source_id), h("span", { class: "number" }, share), region || "");
}
