"use strict";
// Tables are sorted by a click on a heading; one field shows only entries of some name.

const figure = (cell) => {
  const text = cell.textContent.trim().replace("−", "-");
  const number = Number.parseFloat(text.replace(/^[✓✗+]\s*/, ""));
  return text === "–" || text === "" ? null : Number.isNaN(number) ? text : number;
};

const compare = (a, b) => {
  if (a === null || b === null) return (a === null) - (b === null); // what has no figure stands last, both ways
  return typeof a === "number" && typeof b === "number" ? a - b : String(a).localeCompare(String(b));
};

for (const table of document.querySelectorAll("figure.table table")) {
  const body = table.tBodies[0];
  if (body.rows.length < 3) continue;
  const heads = [...table.tHead.rows[0].cells];
  heads.forEach((head, column) => {
    const button = document.createElement("button");
    button.type = "button";
    button.append(...head.childNodes);
    head.append(button);
    button.addEventListener("click", () => {
      const falling = head.ariaSort ? head.ariaSort === "ascending" : column > 0;
      for (const other of heads) other.ariaSort = null;
      head.ariaSort = falling ? "descending" : "ascending";
      const rows = [...body.rows].map((row) => [figure(row.cells[column]), row]);
      const known = rows.filter(([value]) => value !== null).sort(([a], [b]) => (falling ? compare(b, a) : compare(a, b)));
      body.append(...[...known, ...rows.filter(([value]) => value === null)].map(([, row]) => row));
    });
  });
}

const named = [];
for (const table of document.querySelectorAll("figure.table table")) {
  if (table.tHead.rows[0].cells[0].textContent !== "entry") continue;
  for (const row of table.tBodies[0].rows) named.push([row.cells[0].textContent, row]);
}
for (const part of document.querySelectorAll("[data-entry]")) named.push([part.dataset.entry, part]);
const filter = document.querySelector(".filter");
if (new Set(named.map(([name]) => name)).size > 3) {
  filter.hidden = false;
  filter.querySelector("input").addEventListener("input", ({ target }) => {
    const words = target.value.toLowerCase().split(/[\s,]+/).filter(Boolean);
    for (const [name, part] of named) {
      const shown = words.length === 0 || words.some((word) => name.toLowerCase().includes(word));
      part.toggleAttribute("data-hidden", !shown);
    }
  });
}
