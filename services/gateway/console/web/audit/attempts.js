// When a task waited, was claimed, called its host and rested: spans, by attempt. Pure.

/**
 * @typedef {object} Span
 * @property {"wait" | "claim" | "call" | "ask" | "rest" | "end"} kind
 * @property {number} from @property {number} to seconds since the epoch
 * @property {boolean} open it is not over
 * @property {number} left @property {number} width where it is drawn, of 100
 * @property {boolean} folded it is drawn shorter than it was
 */
/**
 * @typedef {object} Attempt
 * @property {number} attempt 0: none was routed
 * @property {string} host
 * @property {string} end its outcome, or how it failed; empty: it has not ended
 * @property {Span[]} spans
 */

const IDLE = new Set(["wait", "ask", "rest", "claim", "end"]);
/** Nothing is folded that was shorter, in seconds. */
const SHORT_S = 0.01;
/** Idle time is drawn at most so many times as long as all calls together. */
const MOST_TIMES = 4;

/**
 * @param {FactRecord[]} records all facts of one task, in order
 * @param {number} now where what is not over ends
 * @returns {Attempt[]}
 */
export function attempts(records, now) {
  const rows = [row()];
  for (const { at, event } of records) {
    const here = rows[rows.length - 1], last = here.spans.at(-1);
    const next = follows(event, here.spans);
    if (next === undefined) continue;
    if (last?.open) Object.assign(last, { to: Math.max(last.from, at), open: false });
    if (event.type === "task.routed") Object.assign(here, { attempt: event.attempt, host: event.route.host });
    if (event.type === "job.failed") here.end = event.kind;
    if (event.type === "job.done") here.end = event.outcome;
    const into = event.type === "job.failed" ? row() : here;
    if (into !== here) rows.push(into);
    if (next) into.spans.push(span(next, at, now));
  }
  return drawn(joined(rows));
}

/**
 * What a fact begins; empty: nothing, it ends; undefined: all goes on.
 * @returns {Span["kind"] | "" | undefined}
 */
function follows(event, spans) {
  switch (event.type) {
    case "task.created": return "wait";
    case "task.routed": return "claim";
    case "job.signed": return "call";
    case "job.failed": return "rest";
    case "task.asked": return "ask";
    // Who has asked in the middle of a call goes on with it.
    case "task.answered":
      return spans.at(-1)?.kind !== "ask" ? undefined : spans.at(-2)?.kind === "call" ? "call" : "wait";
    case "job.done": return "";
    default: return undefined;
  }
}

/** @returns {Attempt} */
function row() {
  return { attempt: 0, host: "", end: "", spans: [] };
}

/** @returns {Span} */
function span(kind, from, now) {
  return { kind, from, to: Math.max(from, now), open: true, left: 0, width: 0, folded: false };
}

/** What comes after the last attempt, and is over, belongs to it. */
function joined(rows) {
  const last = rows[rows.length - 1], before = rows[rows.length - 2];
  if (!before || last.attempt || !last.end) return rows;
  for (const one of last.spans) before.spans.push(one.kind === "rest" ? { ...one, kind: "end" } : one);
  before.end = last.end;
  return rows.slice(0, -1);
}

/** No idle time is drawn much longer than all calls together, so that they can be seen beside it. */
function drawn(rows) {
  const spans = rows.flatMap((one) => one.spans), calls = spans.filter(({ kind }) => !IDLE.has(kind));
  const busy = calls.reduce((sum, one) => sum + one.to - one.from, 0);
  const most = calls.length ? Math.max(SHORT_S, MOST_TIMES * busy) : Infinity;
  const shown = spans.map(({ kind, from, to }) => (IDLE.has(kind) ? Math.min(to - from, most) : to - from));
  const total = shown.reduce((sum, one) => sum + one, 0) || 1;
  let left = 0;
  spans.forEach((one, i) => {
    one.left = (100 * left) / total;
    one.width = (100 * shown[i]) / total;
    one.folded = shown[i] < one.to - one.from;
    left += shown[i];
  });
  return rows;
}
