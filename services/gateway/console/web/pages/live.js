// Live: the tail of facts, with pause and filter.
import { html, signal, useEffect, useMemo } from "../lib.js";
import { isAuditor } from "../session.js";
import { short } from "../format.js";
import { taskHref } from "../links.js";
import { href, place, refine } from "../router.js";
import { stream } from "../stream.js";
import { Rows } from "../parts/rows.js";
import { Empty, Failed, Time } from "../parts/told.js";

/** Facts kept at most; what is older is in the log, and in each task's own story. */
const MOST = 5000;

class Tail {
  constructor(to) {
    /** The newest first, each with what it says in words. */
    this.facts = signal([]);
    this.paused = signal(false);
    this.error = signal(null);
    /** Facts that came since the pause. */
    this.missed = signal(0);
    this.kept = [];
    this.stop = stream.subscribe({
      to,
      onEvents: (records) => this.heard(records),
      onLost: () => this.clear(),
      onRefused: (error) => {
        this.error.value = error;
      },
    });
  }

  /** @param {FactRecord[]} records */
  heard(records) {
    for (const record of records) this.kept.push({ ...record, told: line(record.event) });
    if (this.kept.length > 2 * MOST) this.kept = this.kept.slice(-MOST);
    if (this.paused.value) this.missed.value += records.length;
    else this.show();
  }

  show() {
    this.facts.value = this.kept.slice(-MOST).reverse();
  }

  pause(paused) {
    this.paused.value = paused;
    this.missed.value = 0;
    if (!paused) this.show();
  }

  clear() {
    this.kept = [];
    this.facts.value = [];
  }

  close() {
    this.stop();
  }
}

export function LivePage() {
  const { of = "tasks", text = "" } = place.value.query;
  const tail = useMemo(() => new Tail(of), [of]);
  useEffect(() => () => tail.close(), [tail]);
  const wanted = text.toLowerCase();
  const all = tail.facts.value;
  const facts = wanted ? all.filter(({ told }) => told.includes(wanted)) : all;
  return html`<h1>Live</h1>
    <form class="filters" role="search" onSubmit=${(event) => event.preventDefault()}>
      <label>Facts of <select value=${of} onChange=${(e) => refine({ of: e.target.value })}>
        <option value="tasks">my tasks</option><option value="hosts">hosts</option>
        ${isAuditor.value && html`<option value="all">everybody</option>`}
      </select></label>
      <label>Filter <input data-search value=${text} placeholder="type, id, host" spellcheck="false"
        onInput=${(e) => refine({ text: e.target.value })} /></label>
      <button type="button" aria-pressed=${tail.paused.value}
        onClick=${() => tail.pause(!tail.paused.value)}>
        ${tail.paused.value ? "Go on" : "Pause"}</button>
      <${Missed} count=${tail.missed.value} />
    </form>
    <${Failed} error=${tail.error.value} />
    ${!all.length && !tail.error.value && html`<${Empty}><p>Nothing has happened since you came.
      Facts appear here as they are written. What happened before is under <a href=${href("/tasks")}>Tasks</a>.</p><//>`}
    ${all.length > 0 && !facts.length && html`<${Empty}><p>None of the last ${all.length} facts has
      that text.</p><//>`}
    <${Rows} items=${facts} height=${32} label="Facts" keyOf=${({ seq }) => seq}
      row=${(fact) => html`<${Fact} fact=${fact} />`} />`;
}

function Missed({ count }) {
  if (!count) return null;
  return html`<span>${count.toLocaleString()} more since
    ${count > MOST && `, of which the last ${MOST.toLocaleString()} are kept`}</span>`;
}

function Fact({ fact: { seq, at, event, told } }) {
  return html`<div class="fact"><span class="seq">${seq}</span> <${Time} at=${at} />
    <b>${event.type ?? "damaged"}</b>
    <span class="about">${about(event)}</span>
    <span class="said" title=${short(told)}>${short(words(event, ABOUT))}</span></div>`;
}

/** Whose fact it is, as a link. */
function about({ task, user, host }) {
  if (typeof task === "string" && typeof user === "string") {
    return html`<a data-row href=${taskHref(task, user)}>${task}</a>`;
  }
  return typeof host === "string" && html`<a data-row href=${href(`/hosts/${host}`)}>${host}</a>`;
}

const PLAIN = ["type", "task", "attempt", "host", "outcome", "kind", "status", "message", "reason"];
const ABOUT = ["task", "type"];

/** What a fact says in few words. */
function words(event, but = []) {
  return PLAIN.filter((name) => !but.includes(name) && ["string", "number"].includes(typeof event[name]))
    .map((name) => short(String(event[name]))).filter(Boolean).join(" ");
}

/** The same for who looks for something. */
function line(event) {
  return words(event).toLowerCase();
}
