// Elements in short: h("button", {class: "primary", onclick: f}, "text").

export function h(name, attributes = {}, ...children) {
  const element = document.createElement(name);
  put(element, attributes);
  element.append(...children.flat().filter((child) => child != null && child !== false).map(plain));
  return element;
}

// A text with what would turn the text around it, or is no character, written out: a file may be called anything.
export function plain(text) {
  const written = (letter) => `\\u${letter.charCodeAt(0).toString(16).padStart(4, "0")}`;
  return typeof text === "string" ? text.replace(/[\0-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]/g, written) : text;
}

export function svg(name, attributes = {}, ...children) {
  const element = document.createElementNS("http://www.w3.org/2000/svg", name);
  put(element, attributes);
  element.append(...children);
  return element;
}

function put(element, attributes) {
  for (const [key, value] of Object.entries(attributes)) {
    if (value == null || value === false) continue;
    if (key.startsWith("on")) element.addEventListener(key.slice(2), value);
    else if (key === "value") element.value = value;
    else element.setAttribute(key, value === true ? "" : plain(value));
  }
}

export const $ = (id) => document.getElementById(id);

// Text in which `words` between backticks become code.
export function prose(text) {
  return text.split("`").map((part, k) => (k % 2 ? h("code", {}, part) : part));
}

let hide = 0;

export function say(text, bad = false) {
  const said = $("said");
  said.textContent = text;
  said.classList.toggle("bad", bad);
  said.classList.add("shown");
  clearTimeout(hide);
  hide = setTimeout(() => said.classList.remove("shown"), bad ? 9000 : 4500);
}

// One field of a question: words to choose one or, with `several`, some of, or a line to write.
function inputOf({ name, value, options, several, type, min }) {
  const id = `ask-${name}`;
  if (several) {
    const boxes = options.map((option) => h("input", { type: "checkbox", value: option, checked: value.includes(option) }));
    const group = h("div", { class: "several", id, role: "group", tabindex: "-1" }, boxes.map((box, k) => h("label", { class: "choice" }, box, several(options[k]))));
    return Object.assign(group, { read: () => boxes.filter((box) => box.checked).map((box) => box.value) });
  }
  const input = options ? h("select", { id, name }, options.map((option) => h("option", { value: option }, option)))
    : h("input", { id, name, value, type: type ?? "text", min, autocomplete: "off", spellcheck: "false" });
  return Object.assign(input, { read: () => input.value.trim() });
}

// A line for a terminal, with a button that copies it.
export function commandLine(text) {
  const button = h("button", { type: "button", onclick: async () => {
    try {
      await navigator.clipboard.writeText(text);
      button.textContent = "Copied";
    } catch {
      getSelection().selectAllChildren(line);
    }
  } }, "Copy");
  const line = h("code", {}, text);
  return h("div", { class: "command" }, line, button);
}

// Ask for something; resolves to what the form holds, or null. fields: as `inputOf` takes them, with label and help.
// yes: what is done; without it there is nothing to confirm. instead: {text, act}, what can be done in place of it. command: a line to copy. sum: what is said of what is chosen.
export function ask({ title, text, fields = [], yes, instead = null, command = null, sum = null }) {
  const dialog = $("ask");
  const inputs = fields.map(inputOf);
  const read = () => Object.fromEntries(fields.map((field, k) => [field.name, inputs[k].read()]));
  const summed = h("p", { class: "help", role: "status" });
  const add = () => { if (sum) summed.textContent = sum(read()); };
  return new Promise((resolve) => {
    const done = (value) => { dialog.close(); resolve(value); };
    const form = h("form", { oninput: add, onsubmit: (event) => { event.preventDefault(); done(read()); } },
      h("h2", { id: "ask-title" }, title),
      text && h("p", {}, text),
      command && commandLine(command),
      fields.map((field, k) => h("div", { class: "field" }, h("label", { for: `ask-${field.name}` }, field.label), inputs[k],
        field.help && h("p", { class: "help" }, field.help))),
      sum && summed,
      h("div", { class: "buttons" },
        instead && h("button", { type: "button", onclick: () => { done(null); instead.act(); } }, instead.text),
        yes && h("button", { type: "button", onclick: () => done(null) }, "Cancel"), h("button", { class: "primary" }, yes ?? "Close")));
    dialog.setAttribute("aria-labelledby", "ask-title");
    dialog.replaceChildren(form);
    add();
    dialog.oncancel = () => resolve(null);
    dialog.showModal();
    (inputs[0] ?? form.querySelector(".primary")).focus();
    inputs[0]?.select?.();
  });
}

// One of several words as buttons side by side.
export function segments(label, words, chosen, choose) {
  const group = h("div", { class: "segments", role: "group", "aria-label": label });
  const paint = (value) => {
    for (const button of group.children) button.setAttribute("aria-pressed", String(button.dataset.value === value));
  };
  for (const [value, text] of Object.entries(words)) {
    group.append(h("button", { "data-value": value, onclick: () => { paint(value); choose(value); } }, text));
  }
  paint(chosen);
  group.paint = paint;
  return group;
}
