// Where: paint the region in which defects may be, or how often, and save it as a picture for the recipe.

import { h, ask, plain, say } from "./dom.js";
import { get, upload } from "./api.js";
import { state, change, reset } from "./state.js";
import { easelOf } from "./easel.js";
import { keep, kept } from "./kept.js";
import { toolbox, zooms } from "./tools.js";

const KEPT = "anomgen-studio-drawing";
const TARGETS = { roi: "Where defects may be", exclude: "Where defects may not be", weights: "How often, place by place" };
let at = 0, easel, path = null, named, title, position, asking = null, box, lead;

export function build(section) {
  easel = easelOf({ label: "Picture to paint on", changed: remember });
  box = toolbox(easel, { brush: "Brush", eraser: "Eraser", area: "Area" }, { strength: true });
  title = h("span", { class: "name" });
  position = h("span", { class: "range" });
  lead = h("p", { class: "lead" });
  named = h("fieldset", { class: "field targets" });
  section.append(
    h("aside", { class: "panel", "aria-label": "Tools" },
      lead,
      box.element,
      h("div", { class: "buttons" }, h("button", { onclick: () => all(255) }, "Fill"), h("button", { onclick: () => all(0) }, "Clear"),
        h("button", { onclick: invert }, "Invert"), h("button", { onclick: object }, "Fill the object")),
      named, h("button", { class: "primary wide", onclick: save }, "Save the mask")),
    h("div", { class: "stage" },
      h("div", { class: "tools", role: "toolbar", "aria-label": "Which image" }, title, h("span", { class: "space" }), zooms(easel),
        h("button", { onclick: () => turn(-1), "aria-label": "Image before" }, "‹"), position, h("button", { onclick: () => turn(1), "aria-label": "Next image" }, "›")),
      easel.element));
}

export function open() {
  if (!state.id) return;
  targets();
  load();
}

export function key(event) {
  const pressed = event.key.toLowerCase();
  if (pressed === "z" && (event.ctrlKey || event.metaKey)) { event.preventDefault(); easel.back(); }
  else if (pressed === "n") turn(1);
  else if (pressed === "p") turn(-1);
}

function targets() {
  const found = state.sections.flatMap((section) => section.controls).filter((control) => control.key.split(".").pop() in TARGETS);
  const keys = [...new Set(["foreground.roi", "foreground.exclude", ...found.map((control) => control.key)])];
  const before = named.querySelector("input:checked")?.value;
  named.replaceChildren(h("legend", { class: "label" }, "Used as"), ...keys.map((key, k) => h("label", { class: "choice" },
    h("input", { type: "radio", name: "target", value: key, onchange: strength, checked: before ? key === before : k === 0 }), TARGETS[key.split(".").pop()],
    key in state.changes && h("button", { class: "badge", title: `${state.changes[key]}: take it away`, "aria-label": `take away: ${TARGETS[key.split(".").pop()]}`, onclick: () => reset(key).then(targets) }, "set ×"))));
  strength();
}

// Only weights know more or less; elsewhere paint is there or not.
function strength() {
  const weighted = named.querySelector("input:checked")?.value.endsWith(".weights") ?? false;
  box.show("strength", weighted);
  if (!weighted) easel.tool.strength = 255;
  lead.textContent = weighted ? "Paint where defects fall: strong paint for many, pale paint for few, none where nothing is painted."
    : "Paint a region. It is the same place on every photo and holds for every recipe; where products lie differently, set Object instead.";
}

async function load() {
  asking?.abort();
  asking = new AbortController();
  try {
    const told = await get(`/api/normal/${state.id}/${at}`, asking.signal);
    const first = !easel.shape;
    path = told.outline;
    easel.load({ src: `/normal/${state.id}/${at}.png`, alt: `normal image ${told.source_id}`, width: told.width, height: told.height, path });
    title.textContent = plain(told.source_id);
    position.textContent = `${at + 1} of ${told.images}`;
    if (first) easel.restore(kept(KEPT));
  } catch (error) {
    if (error.name === "AbortError") return;
    if (at > 0) { at = 0; say("that was the last image"); load(); } else say(error.message, true);
  }
}

function turn(by) {
  at = Math.max(0, at + by);
  load();
}

const all = (value) => easel.fill((context, shape) => { context.fillStyle = `rgb(${value} ${value} ${value})`; context.fillRect(0, 0, ...shape); });

const invert = () => easel.fill((context, shape) => {
  context.globalCompositeOperation = "difference";
  context.fillStyle = "#fff";
  context.fillRect(0, 0, ...shape);
});

function object() {
  if (!path) { say("the whole image is the object; set it under Object first"); return; }
  easel.fill((context) => context.fill(new Path2D(path), "evenodd"));
}

function remember() {
  box.update();
  keep(KEPT, easel.kept());
}

async function save() {
  if (!easel.shape) return;
  if (!easel.share()) { say("nothing is painted yet", true); return; }
  const given = await ask({ title: "Save the mask", text: "It is written beside your datasets and can be used by any recipe.", yes: "Save",
    fields: [{ name: "name", label: "Name", value: "where" }] });
  if (!given) return;
  const blob = await easel.blob();
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
  await change(target.value, told.path);
  if (state.error) say(state.error, true);
  else say(`${told.path}, used as ${TARGETS[target.value.split(".").pop()].toLowerCase()}`);
  targets();
}
