// A task's facts as the audit looks at them: by type, with their digests worked out.
import { rawAt } from "./raw.js";

/**
 * @typedef {object} Stored a fact as `GET /api/tasks/{id}/audit` gives it
 * @property {number} seq
 * @property {number} at
 * @property {string} subject
 * @property {string} fact the JSON text that the log has
 * @property {string} [unread]
 */
/** @typedef {Stored & {type: string, event: any}} Told */

const OF_TASK = new Set(["task.created", "task.cancelled", "result.stored", "result.deleted"]);
const OF_ATTEMPT = new Set(["task.routed", "job.signed", "job.failed"]);
const OF_QUESTION = new Set(["task.asked", "task.answered"]);

/** Read what is stored; of what can't be read the type is empty. @param {Stored[]} stored */
export function told(stored) {
  return stored.map((one) => {
    const event = one.unread ? {} : JSON.parse(one.fact);
    const unread = one.unread || (subjectOf(event) ? "" : `type ${event.type}`);
    return { ...one, unread, event, type: unread ? "" : event.type };
  });
}

/** The one subject on which a fact of a task stands; empty: no fact of a task is like that. */
export function subjectOf(event) {
  const { type, user, task } = event;
  if (OF_TASK.has(type)) return `${type}.${user}.${task}`;
  if (OF_ATTEMPT.has(type)) return `${type}.${user}.${task}.${event.attempt}`;
  if (OF_QUESTION.has(type)) return `${type}.${user}.${task}.${event.q}`;
  if (type === "task.tagged") return `${type}.${user}.${task}.${event.k}`;
  return type === "job.done" ? `${type}.${user}.${task}.end` : "";
}

/** Type, user and task as a subject names them. */
export function parse(subject) {
  const [room, word, user = "", task = ""] = subject.split(".");
  return { type: `${room}.${word}`, owner: JSON.stringify([user, task]) };
}

/** All facts of a type. @param {Told[]} records @param {string} type */
export function all(records, type) {
  return records.filter((one) => one.type === type);
}

/** The fact of an attempt. */
export function find(records, type, attempt) {
  return records.find((one) => one.type === type && one.event.attempt === attempt);
}

/** The digest that names the task's input. @param {Told} [created] */
export async function inputDigest(created) {
  if (!created) return "";
  const { input_pointer: pointer } = created.event.spec;
  return pointer ? pointer.sha256 : (await measured(rawAt(created.fact, ["spec", "input"]) ?? "{}")).sha256;
}

/** What hosts have answered: each with its name, and whether an inline one is what it says. */
export async function answers(records) {
  const found = [];
  for (const { type, event, fact } of records) {
    const { result } = event;
    if (!result || (type !== "job.failed" && type !== "job.done")) continue;
    const what = type === "job.failed" ? `answer of failed attempt ${event.attempt}` : "result";
    let intact = true;
    if (result.kind === "inline") {
      const { sha256, size } = await measured(rawAt(fact, ["result", "value"]) ?? "");
      intact = sha256 === result.sha256 && size === result.size;
    }
    found.push({ what, result, intact });
  }
  return found;
}

async function measured(text) {
  const bytes = new TextEncoder().encode(text);
  return { sha256: await sha256(bytes), size: bytes.length };
}

/** Lower-case hex. @param {BufferSource} bytes */
export async function sha256(bytes) {
  const digest = new Uint8Array(await crypto.subtle.digest("SHA-256", bytes));
  return [...digest].map((byte) => byte.toString(16).padStart(2, "0")).join("");
}
