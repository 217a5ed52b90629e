// From facts to what is shown of a task: the rules of `contracts/status.py`, word for word.
// tests/unit/gateway/console/test_fold.py runs both over the same facts.

/** @typedef {TaskRow & Record<string, any>} TaskView */

export const OVER = new Set(["succeeded", "failed", "cancelled", "timed_out", "rejected"]);
const TOLD = new Set([
  "task.routed", "task.asked", "task.answered", "job.signed", "job.failed", "job.done",
]);
const OTHERS = new Set(["task.created", "task.cancelled", "result.stored", "result.deleted"]);

/** @param {FactRecord} record @returns {TaskView} */
export function begin({ seq, at, event }) {
  return {
    id: event.task, user: event.user, type: event.spec.type, status: "pending", spec: event.spec,
    seq, created_seq: seq, created_at: at, updated_at: at,
    attempt: 0, host: "", cancel_requested: false, result: null, error: null, last_failure: null,
    done_at: null, remarks: [], asked_by: event.asked_by ?? "", project: event.project ?? "",
    from: "", waiting: "", question: null,
    tags: event.spec.tags ?? {}, again: event.spec.again ?? "", batch: event.spec.batch ?? "",
  };
}

/** Apply a later fact of the same task. @param {TaskView} view @param {FactRecord} record */
export function evolve(view, { seq, at, event }) {
  /** @type {TaskView} */
  const next = { ...view, seq, updated_at: at };
  const held = view.question?.held ?? false;
  if (TOLD.has(event.type)) Object.assign(next, { waiting: "", question: null });
  switch (event.type) {
    case "task.cancelled":
      return { ...next, cancel_requested: true };
    case "task.tagged":
      return { ...next, tags: event.tags ?? {} };
    case "task.routed":
      return {
        ...next, status: "queued", attempt: event.attempt, host: event.route.host, result: null,
      };
    case "task.asked":
      return {
        ...next, status: "input_required",
        // The attempt that has asked goes on, or has ended in front of the question.
        question: question(event, at, view.status === "running" || held),
        waiting: `an answer to: ${event.message}`,
      };
    case "task.answered":
      return { ...next, status: held ? "running" : "queued" };
    case "job.signed":
      return { ...next, status: "running", attempt: event.attempt, host: event.host };
    case "job.failed":
      return {
        ...next, status: "queued", last_failure: failure(event.kind, event.message),
        result: event.result ?? null,
      };
    case "job.done":
      return ended(next, event, at);
    case "result.stored":
      return next.result === null ? next : { ...next, result: event.pointer };
    case "result.deleted":
      return { ...next, result: null };
    default:
      return OTHERS.has(event.type) || OVER.has(view.status) ? next : unread(next, seq, event);
  }
}

/** The view from all facts of one task, in log order. @param {FactRecord[]} records */
export function fold(records) {
  /** @type {TaskView | null} */
  let view = null;
  for (const record of records) {
    if (record.event.type === "task.created") view = begin(record);
    else if (view !== null) view = evolve(view, record);
  }
  return view;
}

/** Whose facts move a task's row. @param {any} event */
export function ofTask(event) {
  return typeof event.task === "string" && typeof event.user === "string";
}

function failure(code, message) {
  return message ? { code, message } : { code };
}

function question(event, at, held) {
  const asked = {
    q: event.q, kind: event.kind, message: event.message, asked_at: at,
    expires: at + event.timeout_s,
  };
  for (const name of ["host", "tool", "schema", "url", "approvers"]) {
    const value = event[name];
    if (value !== undefined && value !== "" && value !== null) asked[name] = value;
  }
  if ((event.keys ?? []).length > 1) asked.keys = event.keys;
  if (held) asked.held = true;
  return asked;
}

function ended(view, event, at) {
  return {
    ...view, status: event.outcome, attempt: event.attempt || view.attempt,
    host: event.host || (event.earlier ? event.earlier.host : view.host),
    from: event.from ?? "", result: event.result ?? view.result, error: event.error ?? null,
    done_at: at, remarks: event.remarks ?? [],
  };
}

function unread(view, seq, event) {
  const what = event.type ?? "damaged";
  return { ...view, waiting: `a release that can read what sequence ${seq} says of it: ${what}` };
}
