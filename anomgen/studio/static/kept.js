// What this browser keeps for one folder of photos: another folder has its own, whatever the studio's port.

let place = "";

export const keepFor = (folder) => { place = folder; };

export function kept(name) {
  try {
    return JSON.parse(localStorage.getItem(`${name} ${place}`));
  } catch {
    return null;
  }
}

export function keep(name, value) {
  try {
    localStorage.setItem(`${name} ${place}`, JSON.stringify(value));
  } catch { /* too large to keep; it is still on the page */ }
}
