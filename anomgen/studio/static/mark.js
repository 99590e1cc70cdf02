// Real defects: open their pictures, mark what of them is the defect, put it into a bank, use the bank at once.

import { h, ask, say } from "./dom.js";
import { get, post, bitmap, upload } from "./api.js";
import { state, put } from "./state.js";
import { easelOf } from "./easel.js";
import { toolbox, zooms } from "./tools.js";
import { carried } from "./look.js";
import { keep, kept } from "./kept.js";
import { percent } from "./tiles.js";

const KEPT = "anomgen-studio-marking";
const LARGE = 0.03;  // of the picture: more is rarely the defect alone
let easel, box, strip, empty, stage, kind, kinds, bankName, list, tolerance, title, putButton, marked, toLook;
let pictures = [], current = null, seed = null, flooding = null, banks = [], broken = [];

export function build(section, look) {
  toLook = look;
  easel = easelOf({ label: "Picture of a defect", wand: (x, y) => flood({ x, y }, false), changed: remember });
  easel.stage.classList.add("bright");
  tolerance = h("input", { type: "range", min: 0, max: 128, value: 16, id: "tolerance", oninput: () => seed && flood(seed, true) });
  box = toolbox(easel, { wand: "Wand", brush: "Brush", area: "Area", eraser: "Eraser" },
    { extra: { tolerance: [["wand"], h("label", { for: "tolerance" }, "Tolerance"), tolerance] } });
  const file = h("input", { type: "file", accept: "image/*,.tif,.tiff,.bmp", multiple: true, class: "hidden", "aria-label": "Pictures of defects",
    onchange: () => { add([...file.files]); file.value = ""; } });
  const opener = () => h("button", { class: "primary", onclick: () => file.click() }, "Open pictures…");
  kind = h("input", { type: "text", id: "mark-type", value: kept(KEPT)?.kind ?? "defect", list: "mark-types", autocomplete: "off", spellcheck: "false", onchange: told });
  kinds = h("datalist", { id: "mark-types" });
  bankName = h("input", { type: "text", id: "mark-bank", value: kept(KEPT)?.bank ?? "bank", autocomplete: "off", spellcheck: "false", onchange: () => { told(); paintBank(); } });
  putButton = h("button", { class: "primary wide", onclick: putIn }, "Put into the bank");
  marked = h("p", { class: "help", role: "status" });
  list = h("div", { class: "bank" });
  strip = h("div", { class: "strip", role: "listbox", "aria-label": "Opened pictures" });
  title = h("span", { class: "name" });
  empty = h("div", { class: "empty" }, h("h2", {}, "Mark a real defect"),
    h("p", {}, "Drop photos of defective products here, or open them. Mark what is wrong on each; the marks become a bank, and transplant puts these defects on your good photos."),
    opener(), h("p", { class: "help" }, "They stay on this machine, with what you mark, until you take them away."));
  stage = h("div", { class: "stage" },
    h("div", { class: "tools", role: "toolbar", "aria-label": "Which picture", hidden: true }, title, h("span", { class: "space" }), zooms(easel),
      h("button", { onclick: takeAway }, "Take away"), h("button", { onclick: () => file.click() }, "Open more…")), strip, empty, easel.element);
  section.append(h("aside", { class: "panel", "aria-label": "Tools" }, box.element,
    h("div", { class: "field" }, h("label", { for: "mark-type" }, "What it is"), kind, kinds),
    h("div", { class: "field" }, h("label", { for: "mark-bank" }, "Bank"), bankName), putButton, marked, list), stage, file);
  for (const name of ["dragover", "dragenter"]) stage.addEventListener(name, (event) => { event.preventDefault(); stage.classList.add("over"); });
  for (const name of ["dragleave", "drop"]) stage.addEventListener(name, (event) => { event.preventDefault(); stage.classList.remove("over"); });
  stage.addEventListener("drop", (event) => add([...event.dataTransfer.files]));
  easel.element.hidden = true;
}

export async function open() {
  try {
    const told = await get("/api/pictures");
    for (const one of told.pictures) if (!pictures.some((other) => other.id === one.id)) pictures.push(one);
    ({ banks, broken } = await get("/api/banks"));
  } catch (error) {
    say(error.message, true);
  }
  paint();
  paintBank();
  if (!current && pictures.length) choose(pictures.find((picture) => !picture.banked) ?? pictures[0]);
}

export function key(event) {
  const pressed = event.key.toLowerCase();
  if (pressed === "z" && (event.ctrlKey || event.metaKey)) { event.preventDefault(); easel.back(); box.update(); }
  else if (pressed === "n" || pressed === "p") step(pressed === "n" ? 1 : -1);
}

function step(by) {
  if (pictures.length) choose(pictures[(pictures.indexOf(current) + by + pictures.length) % pictures.length]);
}

async function add(files) {
  let first = null;
  for (const [k, one] of files.entries()) {
    if (files.length > 1) say(`opening ${k + 1} of ${files.length}: ${one.name}`);
    try {
      const told = await upload(`/api/picture?name=${encodeURIComponent(one.name)}`, one);
      pictures = [...pictures.filter((other) => other.id !== told.id), told];
      first ??= told;
    } catch (error) {
      say(error.message, true);
    }
  }
  if (first) choose(first);
}

function choose(picture) {
  current = picture;
  seed = null;
  flooding?.abort();
  easel.load({ src: `/picture/${picture.id}.png`, alt: `picture of a defect, ${picture.name}`, width: picture.width, height: picture.height, anew: true });
  easel.resize(Math.max(4, Math.round(Math.max(picture.width, picture.height) / 50)));
  named(picture);
  begun(picture);
  paint();
}

// What a picture is in the bank as; of one that is in none, what was marked last stays.
function named(picture) {
  const own = banks.find((bank) => bank.name === bankName.value.trim())?.defects.findLast((defect) => defect.picture === picture.id);
  if (own) kind.value = own.defect_type.replaceAll("_", " ");
}

// Lay on the easel what was marked before.
async function begun(picture) {
  try {
    const blob = unsaved.get(picture);
    const before = blob ? await createImageBitmap(blob) : picture.marked ? await bitmap(`/mark/${picture.id}.png`) : null;
    if (before && picture === current) easel.lay(before);
  } catch (error) {
    say(error.message, true);
  }
  ready();
}

function paint() {
  const any = pictures.length > 0;
  empty.hidden = any;
  easel.element.hidden = !any;
  stage.firstChild.hidden = !any;
  title.textContent = current ? current.name : "";
  strip.hidden = pictures.length < 2;
  const at = strip.scrollLeft;
  strip.replaceChildren(...pictures.map((picture) => h("button", { role: "option", class: "thumb", "aria-selected": String(picture === current), title: picture.name,
    "aria-label": [picture.name, stateOf(picture)].filter(Boolean).join(", "), onclick: () => choose(picture) },
    h("img", { src: `/picture/${picture.id}.png?side=96`, alt: "", loading: "lazy" }), stateOf(picture) && h("span", { class: "tick", "aria-hidden": "true" }, stateOf(picture)))));
  strip.scrollLeft = at;
  ready();
}

const stateOf = (picture) => (picture.banked ? "in bank" : picture.marked ? "marked" : "");

function ready() {
  const share = current ? easel.share() : 0;
  putButton.disabled = !share;
  marked.textContent = !share ? "" : share < LARGE ? `${percent(share)} of the picture is marked.`
    : `${percent(share)} of the picture is marked. Is that the defect alone, without shadows? If not, lower the tolerance or take the eraser.`;
  marked.classList.toggle("problem", share >= LARGE);
  box.update();
}

async function flood(at, again) {
  seed = at;
  flooding?.abort();
  flooding = new AbortController();
  const { signal } = flooding;
  try {
    const found = await bitmap(`/api/wand/${current.id}?x=${at.x}&y=${at.y}&tolerance=${tolerance.value}`, signal);
    if (!signal.aborted) { easel.stamp(found, again && at.stamped); at.stamped = true; }
  } catch (error) {
    if (error.name !== "AbortError") say(error.message, true);
  }
}

// Keep the words for the next visit.
const told = () => keep(KEPT, { kind: kind.value.trim(), bank: bankName.value.trim() });

async function putIn() {
  const asked = new URLSearchParams({ bank: bankName.value.trim(), type: kind.value.trim().replaceAll(" ", "_") });
  putButton.disabled = true;
  told();
  try {
    const blob = await easel.blob();
    const send = async () => (await upload(`/api/bank/${current.id}?${asked}`, blob)).banks;
    banks = await send().catch(async (error) => {
      const before = error.message.match(/this mark is in .* already, as (.*)/)?.[1];
      if (!before) throw error;
      asked.set("replace", "1");
      const yes = await ask({ title: `It is in ${bankName.value.trim()} as ${before}`, text: `The same mark on the same picture. Shall it be ${kind.value.trim()} instead?`, yes: "Replace it" });
      return yes ? send() : null;
    });
    if (!banks) { banks = (await get("/api/banks")).banks; ready(); return; }
    Object.assign(current, { marked: true, banked: true });
    const own = banks.find((bank) => bank.name === bankName.value.trim());
    say(`${kind.value.trim()} is in ${bankName.value.trim()}, which holds ${own.defects.length} now`);
    paint();
    paintBank();
    const next = pictures.find((picture) => !picture.banked);
    if (next) choose(next);
  } catch (error) {
    say(error.message, true);
    ready();
  }
}

function paintBank() {
  const own = banks.find((bank) => bank.name === bankName.value.trim());
  kinds.replaceChildren(...Object.keys(own?.types ?? {}).map((name) => h("option", { value: name })));
  const damaged = broken.map((text) => h("p", { class: "problem" }, text));
  if (!own) { list.replaceChildren(h("p", { class: "help" }, "A few marked defects are enough to begin with; ten or more are better."), ...damaged); return; }
  list.replaceChildren(
    h("h2", {}, own.name, h("span", { class: "range" }, ` · ${own.defects.length} ${own.defects.length === 1 ? "defect" : "defects"}`)),
    h("div", { class: "defects" }, own.defects.map((defect, k) => h("figure", {},
      h("img", { src: `/bank/${encodeURIComponent(own.name)}/${k}.png?at=${own.stamp}`, alt: `${defect.defect_type} on ${defect.item}`, loading: "lazy" }),
      h("figcaption", {}, defect.defect_type.replaceAll("_", " ")),
      own.defects.length > 1 && h("button", { class: "remove", "aria-label": `take ${defect.defect_type} on ${defect.item} out`, title: "Take it out", onclick: () => remove(own, defect) }, "×")))),
    h("button", { class: "wide", onclick: () => use(own) }, "Put them on my photos"), ...damaged);
}

async function remove(own, defect) {
  try {
    banks = (await post("/api/unbank", { bank: own.name, item: defect.item })).banks;
    paintBank();
  } catch (error) {
    say(error.message, true);
  }
}

async function use(own) {
  toLook();
  await put("transplant", { ...carried(), "generator.bank": own.path, "generator.with_defects": 0 });
  if (state.error) say(state.error, true);
}

// --- what is marked is kept by the studio, beside the picture

const unsaved = new Map();  // picture → what is marked on it, until the studio has it
let sending = false;

async function remember() {
  ready();
  const picture = current;
  if (!picture) return;
  unsaved.set(picture, await easel.blob());
  if (sending) return;
  sending = true;
  try {
    while (unsaved.size) {
      const [one, blob] = [...unsaved][0];
      Object.assign(one, await upload(`/api/mark/${one.id}`, blob));
      if (unsaved.get(one) === blob) unsaved.delete(one);  // nothing more was marked meanwhile
      paint();
    }
  } catch (error) {
    say(`what is marked is not kept yet: ${error.message}`, true);
  }
  sending = false;
}

async function takeAway() {
  const picture = current;
  const text = picture.banked || !picture.marked ? "Its photo is taken from the list; what is in a bank stays there." : "What is marked on it is in no bank yet, and goes with it.";
  if (!(await ask({ title: `Take ${picture.name} away?`, text, yes: "Take it away" }))) return;
  try {
    await post(`/api/take-away/${picture.id}`, {});
    const at = pictures.indexOf(picture);
    pictures = pictures.filter((other) => other !== picture);
    current = null;
    if (pictures.length) choose(pictures[Math.min(at, pictures.length - 1)]);
    else paint();
  } catch (error) {
    say(error.message, true);
  }
}
