// Many tasks at once: which are chosen, what is done with them, and how far that has got.
import { html, signal, useEffect, useMemo, useSignal } from "../lib.js";
import { api } from "../api.js";
import { forOperation } from "../filters.js";
import { Fresh } from "../fresh.js";
import { href, refine } from "../router.js";
import { tagsOf } from "../tags.js";
import { keyOf } from "../tasks.js";
import { Failed } from "./told.js";

/** Tasks that one operation may be about. */
const MOST_TASKS = 10_000;
/** Failures of an operation that are shown. */
const MOST_SHOWN = 100;

export class Selection {
  constructor() {
    /** @type {{value: Map<string, string>}} keys, and the ids of the tasks */
    this.chosen = signal(new Map());
    /** All that fit the filter, also those that are not here. */
    this.every = signal(false);
    this.last = "";
  }

  has(row) {
    return this.every.value || this.chosen.value.has(keyOf(row));
  }

  /** Choose a row or not; with `range` all from the last one to it. */
  set(rows, row, on, range) {
    const at = rows.indexOf(row), from = range ? rows.findIndex((one) => keyOf(one) === this.last) : at;
    const [low, high] = [Math.min(at, from < 0 ? at : from), Math.max(at, from)];
    const next = new Map(this.chosen.value);
    for (const one of rows.slice(low, high + 1)) {
      if (!on) next.delete(keyOf(one));
      else if (next.size < MOST_TASKS) next.set(keyOf(one), one.id);
    }
    this.last = keyOf(row);
    this.every.value = false;
    this.chosen.value = next;
  }

  all(rows) {
    this.chosen.value = new Map(rows.slice(0, MOST_TASKS).map((row) => [keyOf(row), row.id]));
  }

  clear() {
    this.every.value = false;
    this.chosen.value = new Map();
  }
}

const ACTIONS = { cancel: "Cancel", again: "Run again", tag: "Tag" };

/** What can be done with the tasks that are chosen. `mixed`: the list has tasks of others too. */
export function Bulk({ selection, filter, total, mixed }) {
  const asked = useSignal(""), tags = useSignal(""), error = useSignal(null), busy = useSignal(false);
  const { every, chosen } = selection;
  const many = every.value ? total : chosen.value.size;
  if (!many) return null;
  const start = async (event) => {
    event.preventDefault();
    busy.value = true;
    try {
      const what = every.value ? { filter: forOperation(filter) } : { ids: [...chosen.value.values()] };
      /** @type {any} */
      const body = { action: asked.value, ...what };
      if (asked.value === "tag") body.tags = tagsOf(tags.value);
      const { data } = await api("/api/operations", { method: "POST", body });
      selection.clear();
      refine({ operation: data.id });
    } catch (failed) {
      error.value = failed;
    } finally {
      busy.value = false;
    }
  };
  const ask = (action) => {
    asked.value = action;
    error.value = null;
  };
  const all = mixed ? "All of yours" : `All ${total}`;
  const tasks = every.value && mixed ? "all tasks of yours" : `${many} ${many === 1 ? "task" : "tasks"}`;
  // By keys: a button that became another one under the pointer would send the form at once.
  return html`<section class="bulk" aria-label="Chosen tasks"><form onSubmit=${start}>
    <b role="status">${tasks} chosen</b>
    ${!every.value && total > chosen.value.size && html`<button key="every" type="button" onClick=${() => {
      every.value = true;
    }}>${all} that fit the filter</button>`}
    ${!asked.value && Object.entries(ACTIONS).map(([action, title]) => html`<button type="button"
      key=${action} onClick=${() => ask(action)}>${title}</button>`)}
    ${asked.value === "tag" && html`<label key="tags">Tags, in place of those they have <input name="tags"
      value=${tags.value} placeholder="team=core, run=7" spellcheck="false"
      onInput=${(e) => {
        tags.value = e.target.value;
      }} /></label>`}
    ${asked.value && html`<button key="yes" type="submit" class="yes" disabled=${busy.value}>${
      ACTIONS[asked.value]}: ${tasks}</button>
      <button key="no" type="button" onClick=${() => ask("")}>Not now</button>`}
    <button key="none" type="button" class="quiet" onClick=${() => selection.clear()}>Choose none</button>
  </form><${Failed} error=${error.value} /></section>`;
}

const DOING = { cancel: "Cancelling", again: "Running again", tag: "Tagging" };
const DONE = { cancel: "Cancelled", again: "Ran again", tag: "Tagged" };

function told({ action, state, total, done, failed }) {
  const what = state === "running" ? `${DOING[action]}: ${done}` : `${DONE[action]} ${done}`;
  const stopped = state === "stopped" ? ", then stopped" : "";
  return `${what} of ${total} tasks${failed ? `, ${failed} failed` : ""}${stopped}`;
}

/** How far an operation has got; it goes on by itself, whoever looks. */
export function Progress({ operation }) {
  const fresh = useMemo(() => new Fresh(
    async () => (await api(`/api/operations/${encodeURIComponent(operation)}`)).data,
    { to: ["operations"] },
  ), [operation]);
  useEffect(() => () => fresh.close(), [fresh]);
  const error = useSignal(null);
  const stop = () => api(`/api/operations/${encodeURIComponent(operation)}/stop`, { method: "POST" })
    .then(() => fresh.soon(), (failed) => {
      error.value = failed;
    });
  const seen = fresh.data.value;
  return html`<section class="bulk" aria-label="Operation">
    ${seen && html`<form onSubmit=${(event) => event.preventDefault()}>
      <b role="status">${told(seen)}</b>
      <progress max=${seen.total} value=${seen.done + seen.failed} aria-label="Progress"></progress>
      ${seen.state === "running" && html`<button type="button" onClick=${stop}>Stop</button>`}
      <button type="button" class="quiet" onClick=${() => refine({ operation: undefined })}>Close</button></form>
      ${seen.failures.length > 0 && html`<details><summary>What failed</summary><ul>
        ${seen.failures.slice(0, MOST_SHOWN).map((one) => html`<li key=${one.task}>
          <a href=${href(`/tasks/${one.task}`)}>${one.task}</a> ${one.message}</li>`)}</ul></details>`}`}
    <${Failed} error=${fresh.error.value ?? error.value} /></section>`;
}
