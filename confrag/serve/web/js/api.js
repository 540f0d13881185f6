// The service, as the page sees it. Every failure is a `Problem`.

import { keep, kept, ofTab } from "./storage.js";

/** What went wrong, after RFC 9457. `status` 0: the service was not reached. */
export class Problem extends Error {
  constructor({ status = 0, title = "", detail = "", request_id = null }, retryAfter = null) {
    super(detail || title);
    Object.assign(this, { status, title, detail, requestId: request_id, retryAfter });
  }
}

/** Tells `unauthorized` (a token is missing or wrong) and `token` (it has changed). */
export const session = new EventTarget();

/** The token of this tab. It travels in a header only, never in an address. */
export function token() {
  return kept("token", null, ofTab());
}

export function setToken(value) {
  keep("token", value || null, ofTab());
  session.dispatchEvent(new Event("token"));
}

/** The headers that show the token. */
export function authorization() {
  return token() ? { Authorization: `Bearer ${token()}` } : {};
}

/** Send a request; `body` as JSON. Returns the response, which is a good one. */
export async function send(method, path, { body, signal } = {}) {
  const headers = { ...authorization(), ...(body === undefined ? {} : { "Content-Type": "application/json" }) };
  let response;
  try {
    response = await fetch(path, {
      method,
      headers,
      signal,
      body: body === undefined ? undefined : JSON.stringify(body),
    });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Problem({});
  }
  if (!response.ok) throw problemOf(response.status, await response.text(), response.headers.get("Retry-After"));
  return response;
}

/** The problem that a response tells of; a body that is no problem document does not matter. */
export function problemOf(status, text, retryAfter) {
  let told = {};
  try {
    told = JSON.parse(text) ?? {};
  } catch {
    // A proxy's page, perhaps: the status says enough.
  }
  const detail = typeof told.detail === "string" ? told.detail : "";
  const problem = new Problem({ ...told, detail, status }, waiting(retryAfter));
  if (status === 401) session.dispatchEvent(new CustomEvent("unauthorized", { detail: { wrong: token() !== null } }));
  return problem;
}

/** Seconds, from a number of them or a date. */
function waiting(retryAfter) {
  if (!retryAfter) return null;
  const seconds = Number(retryAfter);
  return Number.isFinite(seconds) ? seconds : Math.max(0, Math.ceil((Date.parse(retryAfter) - Date.now()) / 1000));
}

const get = async (path, values = {}, signal) => (await send("GET", withValues(path, values), { signal })).json();
const post = async (path, body) => (await send("POST", path, { body })).json();

function withValues(path, values) {
  const set = Object.entries(values).filter(([, value]) => value !== undefined && value !== null && value !== "");
  return set.length ? `${path}?${new URLSearchParams(set)}` : path;
}

const one = (id) => `/api/documents/${encodeURIComponent(id)}`;

export const api = {
  about: () => get("/api/about"),
  stats: () => get("/api/stats"),
  graph: () => get("/api/graph"),
  ask: (question, signal) => send("POST", "/api/ask", { body: { ...question, stream: true }, signal }),
  documents: (values, signal) => get("/api/documents", values, signal),
  document: (id) => get(one(id)),
  passages: (id, values, signal) => get(`${one(id)}/passages`, values, signal),
  remove: (ids) => post("/delete_files", { file_ids: ids }),
  restore: (ids) => post("/api/documents/restore", { file_ids: ids }),
  reparse: (ids) => post("/api/documents/reparse", { file_ids: ids }),
  setMetadata: (id, metadata) => post("/reset_metadata", { doc_ids: [id], new_meta: metadata }),
  pairs: (values) => get("/api/qa", values),
  setPair: async (id, pair) => (await send("PUT", `/api/qa/${encodeURIComponent(id)}`, { body: pair })).json(),
  removePair: async (id) => (await send("DELETE", `/api/qa/${encodeURIComponent(id)}`)).json(),
};

/** Upload a file. `progress` is told the part that has been sent, from 0 to 1; fetch cannot tell it, so XMLHttpRequest. */
export function upload(file, { override, progress, signal }) {
  return new Promise((resolve, reject) => {
    const request = new XMLHttpRequest();
    const form = new FormData();
    form.append("files", file, file.name);
    form.append("override", String(override));
    request.open("POST", "/upload_files");
    for (const [name, value] of Object.entries(authorization())) request.setRequestHeader(name, value);
    request.upload.onprogress = (event) => event.lengthComputable && progress(event.loaded / event.total);
    request.onerror = () => reject(new Problem({}));
    request.onabort = () => reject(new DOMException("stopped", "AbortError"));
    request.onload = () => {
      const good = request.status >= 200 && request.status < 300;
      if (good) resolve(JSON.parse(request.responseText));
      else reject(problemOf(request.status, request.responseText, request.getResponseHeader("Retry-After")));
    };
    signal?.addEventListener("abort", () => request.abort());
    request.send(form);
  });
}
