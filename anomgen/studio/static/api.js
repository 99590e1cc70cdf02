// Questions to the studio; an answer that is an error is thrown with its text and the keys that are wrong.

export class Refused extends Error {
  constructor(told, status) {
    super(told.error ?? "something went wrong");
    this.problems = told.problems ?? [];
    this.status = status;
  }
}

async function told(response) {
  const type = response.headers.get("content-type") ?? "";
  const content = type.startsWith("application/json") ? await response.json() : { error: await response.text() };
  if (!response.ok) throw new Refused(content, response.status);
  return content;
}

async function asked(path, options) {
  let response;
  try {
    response = await fetch(path, options);
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Refused({ error: "the studio does not answer; is it still running?" }, 0);
  }
  return told(response);
}

export const get = (path, signal) => asked(path, { signal });

export const post = (path, body, signal) =>
  asked(path, { method: "POST", body: JSON.stringify(body), headers: { "content-type": "application/json" }, signal });

export const upload = (path, blob) => asked(path, { method: "POST", body: blob, headers: { "content-type": "application/octet-stream" } });

// A picture, decoded.
export async function bitmap(path, signal) {
  const response = await fetch(path, { signal });
  if (!response.ok) await told(response);
  return createImageBitmap(await response.blob());
}

export const isAbort = (error) => error.name === "AbortError";
