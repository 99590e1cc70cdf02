// The recipe that is set: where it began, what was changed, what can be undone. Everybody who shows it listens.

import { post, isAbort } from "./api.js";

const KEPT = "anomgen-studio";
const listeners = new Set();
const past = [];
let pending = null;
let running = false;

export const state = { base: "defects", changes: {}, id: null, sections: [], problems: [], error: "", command: "", name: "", about: "" };

export function listen(listener) {
  listeners.add(listener);
}

function tell(what) {
  for (const listener of listeners) listener(what);
}

export function begin(recipes, saved) {
  let kept = {};
  try {
    kept = JSON.parse(localStorage.getItem(KEPT)) ?? {};
  } catch { /* nothing kept */ }
  const known = kept.base in recipes || saved.includes(kept.base);
  return known ? put(kept.base, kept.changes ?? {}) : put("defects", {});
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
  lastMerge = merge;
  Object.assign(state, { base, changes });
  localStorage.setItem(KEPT, JSON.stringify({ base, changes }));
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
      Object.assign(state, { ...told, problems: [], error: "" });
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
