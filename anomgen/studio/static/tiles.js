// A grid of samples: a picture, the outline of its mask, what it is. Tiles are kept and filled anew.

import { h, svg } from "./dom.js";

export const VIEWS = { image: "Anomaly", normal: "Normal", mask: "Mask", difference: "Difference" };

const TOO_FAINT = "Nothing as visible as asked for was found here.";

export function tileOf(open) {
  const image = h("img", { alt: "", loading: "lazy", decoding: "async", draggable: "false" });
  const path = svg("path", {});
  const outline = svg("svg", { class: "outline", "aria-hidden": "true", preserveAspectRatio: "none" }, svg("path", { class: "halo" }), path);
  const button = h("button", { class: "picture", "aria-label": "not drawn yet", onclick: () => tile.row && !tile.row.error && open(tile.row, button) }, image, outline);
  const caption = h("figcaption");
  const tile = h("figure", { class: "tile", "aria-busy": "true" }, button, caption);
  Object.assign(tile, { image, outline, button, caption, row: null });
  image.addEventListener("load", () => tile.removeAttribute("aria-busy"));
  image.addEventListener("error", () => tile.removeAttribute("aria-busy"));
  return tile;
}

// Fill a tile. source: view → address. note: what stands in place of the row's number.
export function fill(tile, row, source, view, note = "") {
  tile.row = row;
  tile.classList.toggle("failed", Boolean(row.error));
  if (row.error) {
    tile.removeAttribute("aria-busy");
    tile.image.removeAttribute("src");
    drawOutline(tile.outline, null);
    tile.caption.replaceChildren(h("span", { class: "kind" }, note || `row ${row.index}`), h("p", { class: "why", title: row.error }, row.faint ? TOO_FAINT : row.error));
    return;
  }
  if (row.width) {
    tile.button.style.setProperty("--ratio", `${row.width} / ${row.height}`);
    document.documentElement.style.setProperty("--ratio", `${row.width} / ${row.height}`);  // of those that wait
  }
  show(tile, source, view);
  drawOutline(tile.outline, row);
  tile.image.alt = describe(row);
  tile.button.setAttribute("aria-label", `${note} ${describe(row)}. Open.`.trim());
  const moved = row.moved && h("p", { class: "why" }, `On another image, ${row.source_id}: its own took none in ten draws.`);
  tile.caption.replaceChildren(
    h("span", { class: "kind" }, note || kindOf(row)), h("span", { class: "number" }, note ? other(kindOf(row), note) : `row ${row.index}`), h("p", { class: "measures" }, meters(row)), moved || "");
}

const NAMES = { fpi: "FPI", pii: "PII", nsa: "NSA", sdas: "SDAS", sia: "SIA", realnet: "RealNet", cyclegan: "CycleGAN", cutpaste: "CutPaste", "cutpaste-3way": "CutPaste, 3-way" };

// A recipe's name as one reads it.
export function readable(name) {
  const text = name.replace(/\.yaml$/, "");
  return NAMES[text] ?? text.charAt(0).toUpperCase() + text.slice(1).replaceAll("-", " ");
}

const other = (kind, name) => (kind === name || readable(kind.replaceAll(" ", "-")) === name ? "" : kind);

export function show(tile, source, view) {
  tile.setAttribute("aria-busy", "true");
  const wanted = view === "normal" || view === "image" ? view : tile.row.label === 0 || tile.row.label === "normal" ? "image" : view;
  tile.image.src = source(wanted);
}

export function drawOutline(outline, row) {
  if (row?.width) outline.setAttribute("viewBox", `0 0 ${row.width} ${row.height}`);
  for (const path of outline.children) path.setAttribute("d", row?.outline ?? "");
}

export const kindOf = (row) => (row.label === 0 ? "normal" : NAMES[row.defect_type] ?? row.defect_type.replaceAll("_", " "));

export const percent = (share) => `${(100 * share).toPrecision(share >= 0.995 ? 3 : 2)} %`;

function meters(row) {
  if (row.label === 0 || row.label === "normal") return [];
  const found = [h("span", { class: "measure", title: "Mean change inside the mask, a share of white" }, "change ", h("b", {}, percent(row.severity)))];
  const seen = visibility(row);
  if (seen) found.unshift(h("span", { class: "measure", title: "Visibility, as asked for and as reached; 1: as unusual as one normal pixel in a hundred" }, "visibility ", h("b", {}, seen)));
  return found;
}

// How visible an anomaly is: what was asked for, where that was not reached, and what was.
export function visibility(row) {
  if (row.detectability == null) return null;
  const asked = row.params?.reached == null ? null : row.params.severity;
  const told = (value) => String(+value.toPrecision(2));
  return asked == null || row.detectability > 0.9 * asked ? told(row.detectability) : `${told(asked)} → ${told(row.detectability)}`;
}

function describe(row) {
  if (row.label === 0 || row.label === "normal") return `Row ${row.index}: a normal image`;
  return `Row ${row.index}: ${kindOf(row)}, change ${percent(row.severity)}, ${percent(row.area)} of the image`;
}

// Bring the number of tiles in a grid to `count`; the others stay as they are.
export function fit(grid, count, open) {
  while (grid.children.length > count) grid.lastChild.remove();
  while (grid.children.length < count) grid.append(tileOf(open));
  return [...grid.children];
}

// How many tiles, of a height that is `ratio` of their width, fill whole lines of a grid, and about what is seen.
export function fitting(grid, ratio = 1, most = 48) {
  const columns = getComputedStyle(grid).gridTemplateColumns.split(" ").length;
  const width = grid.clientWidth / columns;
  const lines = Math.max(Math.ceil((window.innerHeight - 110) / (width * ratio + 62)), 2);
  return Math.min(Math.max(columns * lines, 6), most);
}
