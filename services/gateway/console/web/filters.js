// Which tasks a list shows: what the address says, as the API is asked, and as people read it. Pure.
import { several } from "./query.js";

export const STATUSES = [
  "pending", "queued", "running", "input_required", "succeeded", "failed", "cancelled",
  "timed_out", "rejected",
];
/** What is one word of the address, and goes to the API as it is. */
const PLAIN = ["type", "host", "project", "batch", "text", "user"];
const TIMES = ["created_after", "created_before", "ended_after", "ended_before"];
const SPANS = ["longer_s", "shorter_s"];
export const NAMES = ["status", "tag", ...PLAIN, ...TIMES, ...SPANS];
const UNITS = { s: 1, m: 60, min: 60, h: 3600, d: 86400, w: 604800 };

/** A span such as `90`, `5m`, `2h`, `1d`, in seconds; null: it is none. @param {string} text */
export function seconds(text) {
  const found = /^\s*(\d+(?:\.\d+)?)\s*(s|m|min|h|d|w)?\s*$/.exec(text);
  return found ? Number(found[1]) * UNITS[found[2] ?? "s"] : null;
}

/**
 * A time: so long ago (`2h`), seconds since the epoch, or a date; null: it is none.
 * @param {string} text @param {number} now
 */
export function moment(text, now) {
  if (/^\s*\d{9,}(\.\d+)?\s*$/.test(text)) return Number(text);
  const ago = /[a-z]\s*$/.test(text) ? seconds(text) : null;
  if (ago !== null) return now - ago;
  const at = Date.parse(text);
  return Number.isNaN(at) ? null : at / 1000;
}

/**
 * @typedef {object} TaskFilter what is wanted, with times in seconds since the epoch
 * @property {string[]} status one of these; none: any
 * @property {string[]} tag all of these: `key`, or `key=value`
 * @property {string} [type] @property {string} [host] @property {string} [project]
 * @property {string} [batch] @property {string} [text] @property {string} [user]
 * @property {number} [created_after] @property {number} [created_before]
 * @property {number} [ended_after] @property {number} [ended_before]
 * @property {number} [longer_s] @property {number} [shorter_s]
 */

/**
 * The filter that an address holds, and which of its words mean nothing.
 * @param {Record<string, string>} query @param {number} now seconds
 * @returns {{filter: TaskFilter, wrong: string[]}}
 */
export function filterOf(query, now) {
  /** @type {any} */
  const filter = { status: [], tag: several(query.tag) };
  const wrong = [];
  for (const status of several(query.status)) {
    if (STATUSES.includes(status)) filter.status.push(status);
    else wrong.push(`status: ${status}`);
  }
  // Of what can be said once, the last counts.
  const last = (name) => several(query[name]).pop();
  for (const name of PLAIN) if (last(name)) filter[name] = last(name);
  for (const name of [...TIMES, ...SPANS]) {
    const said = last(name);
    if (!said) continue;
    const value = TIMES.includes(name) ? moment(said, now) : seconds(said);
    if (value === null) wrong.push(`${label(name)}: ${said}`);
    else filter[name] = value;
  }
  return { filter, wrong };
}

/** How a chip names a part of the filter. @param {string} name */
export function label(name) {
  return name.replace(/_s$/, " than").replaceAll("_", " ");
}

/**
 * The parts of a filter, each with what the address is without it.
 * @param {Record<string, string>} query
 * @returns {{name: string, value: string, without: Record<string, any>}[]}
 */
export function chips(query) {
  return NAMES.flatMap((name) => several(query[name]).map((value) => ({
    name, value, without: { [name]: several(query[name]).filter((one) => one !== value) },
  })));
}

/** Whether a later fact can make a task fit that did not. @param {TaskFilter} filter */
export function canBegin(filter) {
  const changing = ["host", "ended_after", "ended_before", "longer_s", "shorter_s"];
  return filter.status.length > 0 || filter.tag.length > 0
    || changing.some((name) => filter[name] !== undefined);
}

/** The filter as `POST /api/operations` takes it. @param {TaskFilter} filter */
export function forOperation({ user: _, ...filter }) {
  return Object.fromEntries(Object.entries(filter).filter(([, value]) =>
    value !== undefined && !(Array.isArray(value) && value.length === 0)));
}
