// A sample enlarged: before and after under a slider, zoom, pan, the next one.
"use strict";
const dialog = document.querySelector("dialog");
const stage = dialog.querySelector(".stage");
const slider = dialog.querySelector("input");
const pictures = [...document.querySelectorAll(".picture")];
let shown = 0, zoom = 1, x = 0, y = 0, held = null;

function place() {
  if (zoom === 1) x = y = 0;
  stage.style.transform = `translate(${x}px, ${y}px) scale(${zoom})`;
}

function scale(factor, toX = 0, toY = 0) {
  const next = Math.min(Math.max(zoom * factor, 1), 32);
  x = toX - (toX - x) * next / zoom;
  y = toY - (toY - y) * next / zoom;
  zoom = next;
  place();
}

function slide() {
  stage.style.setProperty("--split", `${slider.value}%`);
}

function show(index) {
  shown = (index + pictures.length) % pictures.length;
  const figure = pictures[shown].closest("figure");
  stage.replaceChildren(...[...pictures[shown].children].map(part => part.cloneNode(true)));
  const image = stage.querySelector(".image");
  stage.style.setProperty("--ratio", image.getAttribute("width") / image.getAttribute("height"));
  dialog.querySelector("p").textContent = figure.querySelector("figcaption").textContent;
  slider.disabled = !stage.querySelector(".normal");
  slider.value = 0;
  slide();
  zoom = 1;
  place();
}

const doings = {
  previous: () => show(shown - 1),
  next: () => show(shown + 1),
  closer: () => scale(1.5),
  farther: () => scale(1 / 1.5),
  close: () => dialog.close(),
};
const keys = { ArrowLeft: "previous", ArrowRight: "next", "+": "closer", "-": "farther" };

pictures.forEach((picture, index) => picture.addEventListener("click", () => { show(index); dialog.showModal(); }));
for (const [name, act] of Object.entries(doings)) dialog.querySelector(`[name=${name}]`).addEventListener("click", act);
slider.addEventListener("input", slide);
dialog.addEventListener("close", () => pictures[shown].focus());
dialog.addEventListener("keydown", event => {
  if (event.target !== slider && event.key in keys) { doings[keys[event.key]](); event.preventDefault(); }
});
const frame = dialog.querySelector(".frame");
frame.addEventListener("wheel", event => {
  const box = frame.getBoundingClientRect();
  scale(Math.exp(-event.deltaY / 400), event.clientX - box.left - box.width / 2, event.clientY - box.top - box.height / 2);
  event.preventDefault();
}, { passive: false });
frame.addEventListener("pointerdown", event => { held = [event.clientX - x, event.clientY - y]; frame.setPointerCapture(event.pointerId); });
frame.addEventListener("pointermove", event => { if (held && zoom > 1) { x = event.clientX - held[0]; y = event.clientY - held[1]; place(); } });
for (const name of ["pointerup", "pointercancel"]) frame.addEventListener(name, () => { held = null; });
