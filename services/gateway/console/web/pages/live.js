// Live: the tail of facts, with pause and filter.
import { html, signal, useEffect, useMemo } from "../lib.js";
import { isAuditor } from "../session.js";
import { short } from "../format.js";
import { href, place, refine } from "../router.js";
import { stream } from "../stream.js";
import { Empty, Failed, Time } from "../parts/told.js";

const MOST = 1000;

class Tail {
  constructor(to) {
    this.facts = signal([]);
    this.paused = signal(false);
    this.error = signal(null);
    this.waiting = signal(0);
    this.kept = [];
    this.frame = 0;
    this.stop = stream.subscribe({
      to,
      onEvents: (events) => this.heard(events),
      onLost: () => this.clear(),
      onRefused: (error) => {
        this.error.value = error;
      },
    });
  }

  heard(events) {
    this.kept = [...this.kept, ...events].slice(-MOST);
    this.frame ||= requestAnimationFrame(() => this.show(events.length));
  }

  show(count) {
    this.frame = 0;
    if (this.paused.value) this.waiting.value += count;
    else this.facts.value = this.kept.slice().reverse();
  }

  pause(paused) {
    this.paused.value = paused;
    this.waiting.value = 0;
    if (!paused) this.facts.value = this.kept.slice().reverse();
  }

  clear() {
    this.kept = [];
    this.facts.value = [];
  }

  close() {
    this.stop();
    cancelAnimationFrame(this.frame);
  }
}

export function LivePage() {
  const { of = "tasks", text = "" } = place.value.query;
  const tail = useMemo(() => new Tail(of), [of]);
  useEffect(() => () => tail.close(), [tail]);
  const wanted = text.toLowerCase();
  const facts = tail.facts.value.filter(
    ({ event }) => !wanted || line(event).toLowerCase().includes(wanted),
  );
  return html`<h1>Live</h1>
    <form class="filters" role="search" onSubmit=${(event) => event.preventDefault()}>
      <label>Facts of <select value=${of} onChange=${(e) => refine({ of: e.target.value })}>
        <option value="tasks">my tasks</option><option value="hosts">hosts</option>
        ${isAuditor.value && html`<option value="all">everybody</option>`}
      </select></label>
      <label>Text <input data-search value=${text} placeholder="type, id, host" spellcheck="false"
        onInput=${(e) => refine({ text: e.target.value })} /></label>
      <button type="button" aria-pressed=${tail.paused.value}
        onClick=${() => tail.pause(!tail.paused.value)}>
        ${tail.paused.value ? `Go on (${tail.waiting.value} more)` : "Pause"}</button>
    </form>
    <${Failed} error=${tail.error.value} />
    ${!facts.length && !tail.error.value && html`<${Empty}><p>Nothing has happened since you came.
      Facts appear here as they are written.</p><//>`}
    <ol class="facts" aria-label="Facts">${facts.map((fact) => html`<${Fact} key=${fact.seq} fact=${fact} />`)}</ol>`;
}

function Fact({ fact: { seq, at, event } }) {
  return html`<li><span class="seq">${seq}</span> <${Time} at=${at} />
    <b>${event.type ?? "damaged"}</b>
    ${event.task && html`<a data-row href=${href(`/tasks/${event.task}`)}>${event.task}</a>`}
    <span>${short(line(event, ["task", "type"]))}</span></li>`;
}

const PLAIN = ["type", "task", "attempt", "host", "outcome", "kind", "status", "message", "reason"];

/** What a fact says in few words. */
function line(event, but = []) {
  return PLAIN.filter((name) => !but.includes(name) && ["string", "number"].includes(typeof event[name]))
    .map((name) => String(event[name])).filter(Boolean).join(" ");
}
