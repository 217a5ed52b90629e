// The HTTP API, as whoever has signed in in this browser. Errors are told as the API tells them.

/** What the API tells of a failure. @typedef {{message?: string, reason?: string, details?: any,
 *   request_id?: string}} ApiFailure */
/** @typedef {{method?: string, query?: Record<string, any>, body?: any, signal?: AbortSignal}} Asked */

export class ApiError extends Error {
  /** @param {number} status @param {ApiFailure | null} failure */
  constructor(status, failure) {
    super(failure?.message ?? `the gateway answered ${status}`);
    this.status = status;
    this.reason = failure?.reason ?? "";
    this.details = failure?.details ?? null;
    this.request = failure?.request_id ?? "";
  }
}

/** How soon something is read again that could not be read. */
export const AGAIN_MS = 2000;

/** Whether it may go well soon: what the gateway has refused stays so, unless it was too much at once. @param {any} error */
export function passes(error) {
  return !(error.status < 500) || error.status === 429;
}

let formToken = "";

/** Where people sign in, to come back to this page. */
export function signIn() {
  const here = location.pathname + location.search;
  location.assign(`/signin?next=${encodeURIComponent(here)}`);
}

/**
 * Ask for something; the answer is its envelope (`data`, `next_cursor`, …).
 * @param {string} path @param {Asked} [asked]
 * @returns {Promise<{data: any, next_cursor?: string | null, [more: string]: any}>}
 */
export async function api(path, { method = "GET", query, body, signal } = {}) {
  const found = await send(path, { method, query, body, signal });
  return found.json();
}

/**
 * The same as `api`, with the answer's bytes.
 * @param {string} path @param {Asked} [asked]
 */
export async function bytes(path, { query, signal } = {}) {
  const found = await send(path, { method: "GET", query, signal });
  const type = found.headers.get("content-type") ?? "";
  return { data: await found.arrayBuffer(), type };
}

/** The anti-forgery token that goes with every change. */
export async function csrf() {
  return (formToken ||= await fetchFormToken());
}

/** @param {string} path @param {Asked} asked */
async function send(path, { method = "GET", query, body, signal }, again = true) {
  /** @type {Record<string, string>} */
  const headers = {};
  if (method !== "GET") headers["X-CSRF-Token"] = await csrf();
  if (body !== undefined) headers["Content-Type"] = "application/json";
  const answer = await reached(address(path, query), {
    method, headers, signal, body: body === undefined ? undefined : JSON.stringify(body),
  });
  if (answer.ok) return answer;
  const failure = await failureOf(answer);
  if (answer.status === 401 && method !== "GET" && again) {
    // The session is another one since: its forms have another token.
    formToken = "";
    return send(path, { method, query, body, signal }, false);
  }
  if (answer.status === 401) signIn();
  throw new ApiError(answer.status, failure);
}

/** Browsers say of a gateway that does not answer nothing that people understand. */
async function reached(url, asked = {}) {
  try {
    return await fetch(url, { ...asked, credentials: "same-origin" });
  } catch (error) {
    if (asked.signal?.aborted) throw error;
    throw new Error("The gateway can't be reached.");
  }
}

async function fetchFormToken() {
  const answer = await reached("/api/auth/csrf");
  if (answer.status === 401) signIn();
  if (!answer.ok) throw new ApiError(answer.status, await failureOf(answer));
  return (await answer.json()).data.csrf_token;
}

/** What an answer says went wrong; null: it is not the API that speaks. @param {Response} answer */
export async function failureOf(answer) {
  try {
    return (await answer.json()).error;
  } catch {
    return null;
  }
}

/** @param {string} path @param {Record<string, any>} [query] */
function address(path, query) {
  const search = new URLSearchParams();
  for (const [name, value] of Object.entries(query ?? {})) {
    if (value !== undefined && value !== null && value !== "") search.set(name, String(value));
  }
  const text = search.toString();
  return text ? `${path}?${text}` : path;
}
