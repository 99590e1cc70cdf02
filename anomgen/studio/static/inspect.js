// Inspect: train a detector on the photos and the recipe's anomalies, drop images on it; compare recipes, open reports.

import { h, svg, ask, say } from "./dom.js";
import { get, post, upload } from "./api.js";
import { state } from "./state.js";
import { drawOutline, percent, readable } from "./tiles.js";
import { free, itemOf, time as duration } from "./datasets.js";

let detectors, reports, broken, stage, empty, results, current = "", known = [], taken = [], data = [], choices = [], opening = "", timer = 0, seen = "";

export function build(section) {
  detectors = h("ul", { class: "made" });
  reports = h("ul", { class: "made" });
  broken = h("div");
  results = h("div", { class: "inspections", "aria-live": "polite" });
  const file = h("input", { type: "file", accept: "image/*,.tif,.tiff,.bmp", multiple: true, class: "hidden", "aria-label": "Images to inspect",
    onchange: () => { look([...file.files]); file.value = ""; } });
  empty = h("div", { class: "empty" }, h("h2"), h("p"), h("button", { class: "primary", onclick: () => (current ? file.click() : train()) }));
  stage = h("div", { class: "stage" }, h("div", { class: "tools", hidden: true }, h("h2"), h("span", { class: "space" }),
    h("button", { onclick: () => file.click() }, "Open images…"), h("button", { onclick: () => { results.replaceChildren(); paint(); } }, "Clear")), empty, results);
  section.append(h("aside", { class: "panel", "aria-label": "Inspectors and reports" },
    h("h2", {}, "Inspectors"), h("p", { class: "help" }, "A detector that has learnt from your good photos and the recipe's anomalies on them."), detectors,
    h("button", { class: "wide", onclick: train }, "Train one with this recipe"),
    h("h2", { class: "later" }, "Reports"), h("p", { class: "help" }, "Which recipe helps to find real defects: detectors are trained on each and tested on real ones."), reports,
    h("button", { class: "wide", onclick: compare }, "Compare recipes on real data"), broken), stage, file);
  for (const name of ["dragover", "dragenter"]) stage.addEventListener(name, (event) => { event.preventDefault(); stage.classList.add("over"); });
  for (const name of ["dragleave", "drop"]) stage.addEventListener(name, (event) => { event.preventDefault(); stage.classList.remove("over"); });
  stage.addEventListener("drop", (event) => look([...event.dataTransfer.files]));
}

export const key = () => {};

export async function open() {
  clearTimeout(timer);
  let told;
  try {
    told = await get("/api/inspectors");
  } catch (error) {
    say(error.message, true);
    return;
  }
  list(told);
  if (told.runs.some((run) => run.state === "running" || run.state === "stopping")) timer = setTimeout(open, 800);
}

function list(told) {
  data = told.data;
  choices = told.choices;
  opening = told.opening;
  taken = [...told.detectors, ...told.reports, ...told.runs].map((one) => one.name);
  known = told.detectors;
  if (!known.some((one) => one.name === current)) current = known[0]?.name ?? "";
  const now = JSON.stringify([told, current]);
  if (now === seen) return;
  seen = now;
  const items = (kind, finished) => {
    const going = told.runs.filter((run) => run.kind === kind && !(run.state === "finished" && finished.some((one) => one.name === run.name)));
    return [...going, ...finished.filter((one) => !going.some((run) => run.name === one.name)).map((one) => ({ ...one, kind, state: "finished" }))];
  };
  const options = { look: open, current };
  const none = (text) => [h("li", { class: "none" }, text)];
  const inspectors = items("detector", known).map((item) => itemOf(item, { ...options, opens: (name) => { current = name; seen = ""; list(told); } }));
  detectors.replaceChildren(...(inspectors.length ? inspectors : none("None yet.")));
  const written = items("report", told.reports.map((report) => ({ ...report, about: "open ↗" })))
    .map((item) => itemOf(item, { ...options, current: "", opens: (name) => window.open(`/report/${encodeURIComponent(name)}`, "_blank", "noopener") }));
  reports.replaceChildren(...(written.length ? written : none("None yet.")));
  broken.replaceChildren(...told.broken.map((text) => h("p", { class: "problem" }, text)));
  paint();
}

function paint() {
  const any = results.children.length > 0;
  empty.hidden = any;
  stage.firstChild.hidden = !any;
  stage.querySelector(".tools h2").textContent = current;
  const [head, text, button] = empty.children;
  const going = detectors.querySelector(".running .name")?.textContent;
  button.hidden = Boolean(going && !current);
  head.textContent = current ? "Drop images here" : going ? `${going} is being trained` : "No inspector yet";
  text.textContent = current ? `${current} says of each how unusual it is, whether it should be flagged, and where it looks wrong. They stay on this machine.`
    : going ? "It can be tried here when it is finished. You can go on meanwhile, or close the page."
    : "Train one: it learns what is normal from your photos, and what a defect may look like from the recipe that is set. It takes some minutes.";
  button.textContent = current ? "Open images…" : "Train one with this recipe";
}

async function train() {
  if (!state.id || state.error) { say("first mend what is wrong with the recipe", true); return; }
  const given = await ask({ title: "Train an inspector", yes: "Train it", text: `On your photos and the anomalies of ${state.name}, as they are set. It takes some minutes and goes on when this page is closed.`,
    fields: [{ name: "name", label: "Name", value: free(`${state.name}-inspector`, taken) }] });
  if (!given) return;
  try {
    list(await post("/api/fit", { id: state.id, name: given.name }));
    open();
  } catch (error) {
    say(error.message, true);
  }
}

async function compare() {
  if (!data.length) {
    await ask({ title: "This needs real defects with masks", command: opening,
      text: "Recipes are compared on good photos and real defects with their masks: a bank of eight defects or more that you mark under Draw will do, or a folder such as a category of MVTec AD. Of a folder, end the studio and start it with this line:" });
    return;
  }
  const usual = [...new Set([state.base, "none", "perlin", "nsa"])];
  const given = await ask({ title: "Compare recipes on real data", yes: "Begin", sum: effort,
    text: "Detectors are trained on what each recipe draws, and tested on the real defects; for comparison on flat rectangles and on good photos alone, too.",
    fields: [{ name: "data", label: "Real defects", value: data[0], options: data, help: "With a bank of yours, your photos are the good ones." },
      { name: "recipes", label: "Recipes", value: usual, options: [...new Set([...usual, ...choices])],
        several: (name) => ({ none: "None: without anomalies", real: "The real defects themselves" })[name] ?? readable(name) },
      { name: "seeds", label: "Trainings of each recipe", type: "number", min: 1, value: 3, help: "Three or more to rank them; one for a first look." },
      { name: "steps", label: "Steps of each training", type: "number", min: 1, value: 300, help: "300 as usual; 50 for a first look." },
      { name: "name", label: "Name of the report", value: free("report", taken) }] });
  if (!given) return;
  try {
    list(await post("/api/score", { ...given, seeds: whole(given.seeds, 3), steps: whole(given.steps, 300) }));
    open();
  } catch (error) {
    say(error.message, true);
  }
}

const SECONDS = 0.3, AROUND = 5;  // a step takes on two processor cores, about; and what is around a training
const ALWAYS = ["none", "boxes"];  // what every recipe is held against

const whole = (text, otherwise) => Math.max(1, Math.round(+text) || otherwise);

export function effort({ recipes, seeds, steps }) {
  if (!recipes.length) return "Choose at least one recipe.";
  const count = new Set([...ALWAYS, ...recipes]).size * whole(seeds, 3);
  return `${count} trainings, about ${duration(count * (AROUND + whole(steps, 300) * SECONDS))} on a machine without a GPU. It goes on when this page is closed.`;
}

// --- images

async function look(files) {
  if (!current) { say("first train an inspector", true); return; }
  const cards = files.map((one) => h("figure", { class: "inspection", "aria-busy": "true" }, h("div", { class: "picture" }),
    h("figcaption", {}, h("b", {}, one.name), h("span", { class: "range" }, "waits for the detector, which needs some seconds to begin"))));
  results.prepend(...cards);
  paint();
  for (const [k, one] of files.entries()) {
    const card = cards[k];
    try {
      show(card, await upload(`/api/inspect/${encodeURIComponent(current)}?name=${encodeURIComponent(one.name)}`, one));
    } catch (error) {
      card.removeAttribute("aria-busy");
      card.classList.add("failed");
      card.lastChild.replaceChildren(h("b", {}, one.name), h("p", { class: "problem" }, error.message));
    }
  }
}

function show(card, told) {
  const image = (view, alt) => h("img", { src: `/inspection/${told.id}/${view}.png`, alt, decoding: "async" });
  const outline = svg("svg", { class: "outline", "aria-hidden": "true" }, svg("path", { class: "halo" }), svg("path", {}));
  drawOutline(outline, told);
  const framed = (...children) => {
    const frame = h("div", { class: "picture" }, children);
    frame.style.setProperty("--ratio", `${told.width} / ${told.height}`);
    return frame;
  };
  const share = Math.min(told.score / (2 * told.threshold || 1), 1);
  const needle = h("i");
  needle.style.left = `${100 * share}%`;
  card.removeAttribute("aria-busy");
  card.classList.toggle("flagged", told.anomalous);
  card.classList.toggle("doubtful", !told.anomalous && told.area > 0);
  card.replaceChildren(
    h("div", { class: "findings" }, h("b", {}, told.anomalous ? "Anomalous" : told.area ? "Normal, with a mark" : "Normal"), h("span", { class: "name" }, told.name)),
    h("div", { class: "pair" }, framed(image("image", told.name), outline), framed(image("map", `where ${told.name} is unusual`))),
    h("figcaption", {}, h("div", { class: "gauge", role: "img", "aria-label": `score ${told.score.toPrecision(3)}, flagged from ${told.threshold.toPrecision(3)}` }, needle),
      h("span", { class: "range" }, `score ${told.score.toPrecision(3)} · flagged from ${told.threshold.toPrecision(3)}${told.area ? ` · ${percent(told.area)} ${told.anomalous ? "marked" : "marked, but as a whole it is no more unusual than good ones: look at it"}` : ""}`)));
}
