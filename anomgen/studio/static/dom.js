// Elements in short: h("button", {class: "primary", onclick: f}, "text").

export function h(name, attributes = {}, ...children) {
  const element = document.createElement(name);
  put(element, attributes);
  element.append(...children.flat().filter((child) => child != null && child !== false));
  return element;
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
    else element.setAttribute(key, value === true ? "" : value);
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

// Ask for a name; resolves to what the form holds, or null. fields: [{name, label, value, help, options}]. instead:
// {text, act}, what can be done in place of it.
export function ask({ title, text, fields = [], yes, instead = null }) {
  const dialog = $("ask");
  const inputs = fields.map((field) => field.options
    ? h("select", { id: `ask-${field.name}`, name: field.name }, field.options.map((option) => h("option", {}, option)))
    : h("input", { id: `ask-${field.name}`, name: field.name, value: field.value, type: field.type ?? "text", min: field.min,
      autocomplete: "off", spellcheck: "false" }));
  return new Promise((resolve) => {
    const done = (value) => { dialog.close(); resolve(value); };
    const form = h("form", { onsubmit: (event) => {
      event.preventDefault();
      done(Object.fromEntries(inputs.map((input) => [input.name, input.value.trim()])));
    } },
      h("h2", { id: "ask-title" }, title),
      text && h("p", {}, text),
      fields.map((field, k) => h("div", { class: "field" }, h("label", { for: `ask-${field.name}` }, field.label), inputs[k],
        field.help && h("p", { class: "help" }, field.help))),
      h("div", { class: "buttons" },
        instead && h("button", { type: "button", onclick: () => { done(null); instead.act(); } }, instead.text),
        h("button", { type: "button", onclick: () => done(null) }, "Cancel"), h("button", { class: "primary" }, yes)));
    dialog.setAttribute("aria-labelledby", "ask-title");
    dialog.replaceChildren(form);
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
