// The recipe that is set: where it began, what was changed, what can be undone. Everybody who shows it listens.

import { post, isAbort } from "./api.js";
import { say } from "./dom.js";
import { keep, kept } from "./kept.js";

const KEPT = "anomgen-studio";
const MOST_PAST = 50;
const listeners = new Set();
let past = [];
let pending = null;
let running = false;

export const state = { base: "defects", changes: {}, id: null, sections: [], problems: [], error: "", command: "", name: "", about: "", papers: [], faint: null };

export function listen(listener) {
  listeners.add(listener);
}

function tell(what) {
  for (const listener of listeners) listener(what);
}

export function begin(recipes, saved) {
  const before = kept(KEPT) ?? {};
  const known = (base) => base in recipes || saved.includes(base);
  past = (before.past ?? []).filter((one) => known(one.base));
  return known(before.base) ? begun(before.base, before.changes ?? {}) : put("defects", {});
}

// Go on with settings of another day; what is refused by now is dropped.
async function begun(base, changes) {
  await put(base, changes);
  if (!state.error) return;
  const wrong = state.problems.map((problem) => problem.key);
  const good = Object.entries(changes).filter(([key]) => !wrong.some((name) => name === key || name.startsWith(`${key}.`)));
  const why = state.error;
  await put(base, Object.fromEntries(good.length < Object.keys(changes).length ? good : []), null, true);
  say(`some settings of last time were dropped: ${why}`, true);
}

// Change one key; what `replaces` names, and what lies below it, goes.
export function change(key, value, replaces = null, merge = false) {
  const changes = { ...state.changes };
  if (replaces) for (const other of Object.keys(changes)) if (other === replaces || other.startsWith(`${replaces}.`)) delete changes[other];
  changes[replaces ?? key] = value;
  return put(state.base, changes, merge ? key : null);
}

export function reset(key) {
  const changes = { ...state.changes };
  delete changes[key];
  return put(state.base, changes);
}

let lastMerge = null;

export function put(base, changes, merge = null, undoing = false) {
  if (!undoing && state.id && !(merge && merge === lastMerge)) past.push({ base: state.base, changes: state.changes });
  past = past.slice(-MOST_PAST);
  lastMerge = merge;
  Object.assign(state, { base, changes });
  keep(KEPT, { base, changes, past });
  tell("set");
  pending = { base, changes };
  return send();
}

export function settled() {
  lastMerge = null;
}

export const canUndo = () => past.length > 0;

export function undo() {
  const before = past.pop();
  if (before) put(before.base, before.changes, null, true);
}

// One question at a time; of those that come meanwhile only the last is asked.
async function send() {
  if (running) return;
  running = true;
  while (pending) {
    const asked = pending;
    pending = null;
    try {
      const told = await post("/api/recipe", asked);
      Object.assign(state, { ...told, problems: [], error: "", faint: told.id === state.id ? state.faint : null });
    } catch (error) {
      if (isAbort(error)) continue;
      Object.assign(state, { problems: error.problems ?? [], error: error.message });
    }
    tell("recipe");
  }
  running = false;
}

// Ask again after the studio was started anew.
export function again() {
  pending = { base: state.base, changes: state.changes };
  return send();
}
