// The audit of one task in the browser: `services/audit/checks.py`, check for check and word for word.
// tests/unit/gateway/console/test_audit.py runs both over the same stories.
import { BadPermit, kidOf, verify, wrongAudience, wrongClaims } from "./permits.js";
import { all, answers, find, inputDigest, parse, subjectOf, told } from "./story.js";
import { counted } from "./words.js";

/** @typedef {{name: string, ok: boolean, detail: string}} Check */
/** @typedef {import("./story.js").Stored} Stored */
/** @typedef {import("./story.js").Told} Told */

export const ROUTES = "routes recomputed";
const SAME_SCORE = 1e-9;
const LATE = new Set(["task.created", "task.routed", "job.signed", "job.failed"]);

/**
 * All that the task's own facts prove; they stand in log order.
 * @param {{records: Stored[], keys: Stored[], audiences: any[]}} found
 * @returns {Promise<Check[]>}
 */
export async function audit({ records: stored, keys, audiences }) {
  const records = told(stored);
  const [created] = all(records, "task.created");
  const digest = await inputDigest(created), kept = await answers(records);
  const by = created?.event.asked_by;
  return [
    check("facts in order", order(records), `${spanOf(records)}${by ? `, asked for by ${by}` : ""}`),
    check("attempts without gap", attempts(records), countOf(records, "task.routed", "attempt")),
    check("one outcome", oneOutcome(records), outcomeOf(records)),
    check("claim before outcome", claims(records), countOf(records, "job.signed", "claim")),
    check("same host and input", bindings(records, digest), bindingOf(records)),
    check("permits", await permits(records, keys, audiences), countOf(records, "job.signed", "valid signature")),
    check("result digest", results(records, kept), sizeOf(kept)),
  ];
}

/**
 * Whether the routes are those that a router has recomputed.
 * @param {Stored[]} stored @param {any[]} recomputed `routes` of `GET /api/tasks/{id}/recompute`
 */
export function routesCheck(stored, recomputed) {
  const records = told(stored);
  return check(ROUTES, routes(records, new Map(recomputed.map((one) => [one.seq, one]))), chosenOf(records));
}

/** @returns {Check} */
function check(name, problems, fine) {
  return { name, ok: !problems.length, detail: problems.join("; ") || fine };
}

/** @param {Told[]} records */
function order(records) {
  if (!records.length) return ["there are no facts of this task"];
  const found = [];
  if (records[0].type !== "task.created") {
    found.push(`the first fact is ${parse(records[0].subject).type}, not task.created`);
  }
  for (const { seq, subject, unread, event } of records) {
    if (unread) found.push(`sequence ${seq}: this release can't read it: ${unread}`);
    else if (subject !== subjectOf(event)) found.push(`sequence ${seq}: the fact does not belong on ${subject}`);
  }
  for (let i = 1; i < records.length; i += 1) {
    const before = records[i - 1], after = records[i];
    if (after.seq <= before.seq) found.push(`sequence ${after.seq} comes after ${before.seq}`);
    if (after.at < before.at) found.push(`sequence ${after.seq} is older than ${before.seq} before it`);
  }
  const owners = new Set(records.map(({ subject }) => parse(subject).owner));
  if (owners.size > 1) found.push(`facts of ${owners.size} tasks are mixed`);
  return [...found, ...afterTheEnd(records)];
}

function afterTheEnd(records) {
  const [end] = all(records, "job.done");
  if (!end) return [];
  // A wish to cancel may come too late, and results are moved after the end.
  return records
    .filter(({ type, seq }) => LATE.has(type) && seq > end.seq)
    .map(({ subject, seq }) => `${parse(subject).type} at sequence ${seq} comes after the end`);
}

function attempts(records) {
  const found = [], routed = all(records, "task.routed");
  const numbers = routed.map(({ event }) => event.attempt);
  if (numbers.some((number, i) => number !== i + 1)) found.push(`routes are numbered ${numbers.join(", ")}`);
  for (const { seq, event: { attempt, route } } of routed) {
    const failed = find(records, "job.failed", attempt - 1), head = route.job_head ?? 0;
    if (attempt > 1 && (!failed || failed.seq > seq)) {
      found.push(`route ${attempt} does not follow the failure of attempt ${attempt - 1}`);
    }
    if (failed && head !== failed.seq) {
      found.push(`route ${attempt} names job head ${head}, not ${failed.seq}`);
    }
  }
  for (const { seq, event: { attempt } } of all(records, "job.failed")) {
    const route = find(records, "task.routed", attempt);
    if (!route) found.push(`attempt ${attempt} failed but was never routed`);
    else if (seq < route.seq) found.push(`attempt ${attempt} failed before it was routed`);
  }
  return found;
}

function oneOutcome(records) {
  const ends = all(records, "job.done");
  if (!ends.length) return ["no job.done yet: the task is not over"];
  if (ends.length === 1) return [];
  return [`${ends.length} job.done, at sequences ${ends.map(({ seq }) => seq).join(", ")}`];
}

function claims(records) {
  const found = [];
  const signedBefore = (seq, attempt) => (find(records, "job.signed", attempt)?.seq ?? Infinity) < seq;
  for (const { seq, event: { attempt } } of all(records, "job.signed")) {
    const route = find(records, "task.routed", attempt);
    if (!route || route.seq > seq) found.push(`attempt ${attempt} was signed without a route before it`);
  }
  for (const { seq, event: { attempt, called } } of all(records, "job.failed")) {
    if (called === true && !signedBefore(seq, attempt)) found.push(`attempt ${attempt} called the host without a claim`);
  }
  for (const { seq, event } of all(records, "job.done")) {
    const attempt = event.attempt ?? 0;
    if (event.outcome === "succeeded" && !event.from && !signedBefore(seq, attempt)) {
      found.push(`attempt ${attempt} succeeded without a claim before it`);
    }
  }
  return found;
}

function bindings(records, digest) {
  const found = [], routed = new Map();
  for (const { event: { attempt, route } } of all(records, "task.routed")) routed.set(attempt, route);
  for (const [attempt, route] of routed) {
    if (route.input_sha256 !== digest) found.push(`route ${attempt} is for another input than the task's`);
  }
  for (const { event } of all(records, "job.signed")) {
    found.push(...differs(`claim ${event.attempt}`, event, routed, event.input_sha256));
  }
  for (const { event } of all(records, "job.failed")) {
    found.push(...differs(`failure ${event.attempt}`, event, routed, null));
  }
  for (const { event } of all(records, "job.done")) {
    if (!event.attempt) continue;
    const given = event.input_sha256 || null;
    if (given === null && event.outcome === "succeeded") found.push("the outcome names no input");
    found.push(...differs("the outcome", event, routed, given));
  }
  return found;
}

function differs(what, event, routed, digest) {
  const route = routed.get(event.attempt), host = event.host ?? "", found = [];
  if (!route) return [`${what} is of attempt ${event.attempt}, which was never routed`];
  const anonymous = event.type === "job.done" && event.outcome !== "succeeded";
  if (host !== route.host && (host || !anonymous)) {
    found.push(`${what} names host ${host || "nobody"}, its route ${route.host}`);
  }
  if (digest !== null && digest !== route.input_sha256) found.push(`${what} is for another input than its route`);
  return found;
}

async function permits(records, keys, audiences) {
  const found = [];
  for (const { seq, at, event } of all(records, "job.signed")) {
    const what = `permit ${event.attempt}`;
    try {
      const said = await verified(event.permit, seq, keys);
      found.push(...wrongClaims(said, event, at).map((wrong) => `${what}: ${wrong}`));
      const route = all(records, "task.routed").findLast((one) => one.event.attempt === event.attempt);
      const known = audiences.find((one) => one.host_seq === route?.event.route.host_seq);
      const wrong = wrongAudience(said, event.host, known);
      if (wrong) found.push(`${what}: aud ${wrong}`);
    } catch (error) {
      if (!(error instanceof BadPermit)) throw error;
      found.push(`${what}: ${error.message}`);
    }
  }
  return found;
}

/** Check the signature with the key the log had at that time. */
async function verified(permit, seq, keys) {
  const kid = kidOf(permit);
  const known = keys
    .filter((key) => key.seq < seq && !key.unread)
    .map((key) => JSON.parse(key.fact))
    .findLast((fact) => fact.type === "log.key" && fact.kid === kid);
  if (!known) throw new BadPermit(`its key ${kid} was not in the log at that time`);
  return verify(permit, known.jwk);
}

function routes(records, recomputed) {
  return all(records, "task.routed").flatMap((record) => {
    const { seq, event: { attempt, route } } = record, what = `route ${attempt}`;
    if (!(route.host_seq <= route.basis && route.basis < seq)) {
      return [`${what}: host_seq ${route.host_seq}, basis ${route.basis} and its own sequence`];
    }
    const again = recomputed.get(seq) ?? { problem: "it was not recomputed" };
    const candidates = route.candidates ?? [];
    const score = candidates.find((one) => one.host === route.host)?.score;
    if (again.problem) return [`${what}: ${again.problem}`];
    if (again.host !== route.host) {
      return [`${what}: the router chose ${route.host}, its function gives ${again.host}`];
    }
    if (score === undefined) return [`${what}: the chosen host is not among its candidates`];
    if (Math.abs((again.score ?? 0) - score) > SAME_SCORE) {
      return [`${what}: score ${score.toFixed(6)} was recorded, ${(again.score ?? 0).toFixed(6)} is right`];
    }
    if (alike(candidates, again.candidates ?? [])) return [];
    return [`${what}: the candidates and their scores are not those it had`];
  });
}

function alike(recorded, right) {
  return recorded.length === right.length && recorded.every((ours, i) =>
    ours.host === right[i].host && Math.abs(ours.score - right[i].score) <= SAME_SCORE);
}

function results(records, kept) {
  const found = kept.filter(({ intact }) => !intact)
    .map(({ what }) => `the inline ${what} is not what its digest and size say`);
  for (const { event } of all(records, "job.done")) {
    if (!event.result && event.outcome === "succeeded") found.push("the task succeeded but has no result");
  }
  return found;
}

function spanOf(records) {
  const span = records.length ? `sequences ${records[0].seq} to ${records.at(-1)?.seq}` : "none";
  return `${records.length} facts, ${span}`;
}

function countOf(records, type, word) {
  return counted(all(records, type).length, word);
}

function outcomeOf(records) {
  return all(records, "job.done").map(({ event, seq }) => `${event.outcome} at sequence ${seq}`).join(", ");
}

function bindingOf(records) {
  const routed = all(records, "task.routed").map(({ event }) => event.route);
  const digest = routed.length ? `, input ${routed[0].input_sha256.slice(0, 12)}…` : "";
  const asked = all(records, "task.cancelled").length ? ", cancel was asked for" : "";
  return `${routed.map(({ host }) => host).join(", ") || "never routed"}${digest}${asked}`;
}

function chosenOf(records) {
  const parts = all(records, "task.routed").map(({ event: { route } }) => {
    const score = (route.candidates ?? []).find((one) => one.host === route.host)?.score ?? 0;
    return `${route.host} with ${score.toFixed(3)} from basis ${route.basis}`;
  });
  return parts.join("; ") || "nothing was routed";
}

function sizeOf(kept) {
  return kept.map(({ result }) => `${result.kind}, ${result.size} bytes, ${result.sha256.slice(0, 12)}…`)
    .join("; ") || "no result";
}
