// A task's facts: a line each, with all they say, or as the JSON that the log has.
import { html } from "../lib.js";
import { pretty, short, span } from "../format.js";
import { place, refine } from "../router.js";
import { tagWords } from "../tags.js";
import { Json, Time } from "./told.js";
import { Tree } from "./tree.js";

const FORMS = [["", "Compact"], ["full", "Full"], ["json", "JSON"]];

/** @param {{records: FactRecord[]}} props */
export function Facts({ records }) {
  const form = place.value.query.facts ?? "";
  return html`<p class="filters" role="group" aria-label="How facts are shown">
      ${FORMS.map(([name, title]) => html`<button aria-pressed=${form === name}
        onClick=${() => refine({ facts: name })}>${title}</button>`)}
    </p>
    ${form === "json" ? html`<${Json} value=${records} label="Facts" />` : html`<ol class="factlist">
      ${records.map(({ seq, at, event }, i) => html`<li key=${seq}>
        <span class="seq">${seq}</span><${Time} at=${at} /><b>${event.type ?? "damaged"}</b>
        <span class="what">${said(event)}</span>
        <small class="took">${i > 0 && `+ ${span(at - records[i - 1].at)}`}</small>
        ${form === "full" && html`<${Tree} value=${event} label=${`Fact ${seq}`} />`}
      </li>`)}</ol>`}`;
}

/** On whose authority a task was asked for; its id in the title. @param {{by: string}} props */
export function Asker({ by }) {
  const [kind, name] = by.split(":", 2);
  const words = kind === "publisher" ? `by publisher ${name}` : ASKERS[kind] ?? `by ${by}`;
  return html`<span title=${by}>${words}</span>`;
}

const ASKERS = { session: "in a session", token: "with a token", client: "through a program" };

/** What went wrong, as a sentence begins. @param {{code: string, message?: string}} problem */
export function failure({ code, message }) {
  const text = code === "tool" ? "the tool failed" : code.replaceAll("_", " ");
  return `${text[0]?.toUpperCase() ?? ""}${text.slice(1)}${message ? `: ${message}` : ""}`;
}

/** The gist of a fact, in a line. @param {any} event */
export function said(event) {
  switch (event.type) {
    case "task.created":
      return html`${event.spec.type} from ${event.source ?? "api"}${event.asked_by && html`, <${Asker} by=${event.asked_by} />`}`;
    case "task.routed":
      return `attempt ${event.attempt} to ${event.route.host}`;
    case "job.signed":
      return `attempt ${event.attempt} claimed by ${event.executor}`;
    case "job.failed":
      return event.kind === "input_required" ? `attempt ${event.attempt} asked`
        : `attempt ${event.attempt}, ${event.kind}: ${short(event.message ?? "")}`;
    case "job.done":
      return event.outcome + (event.error ? `: ${short(event.error.message ?? event.error.code)}` : "");
    case "task.asked":
      return short(event.message);
    case "task.answered":
      return `${event.action} by ${event.answered_by ?? ""}`;
    case "task.tagged":
      return short(Object.entries(event.tags ?? {}).map(([name, value]) => tagWords(name, value)).join(", "));
    default:
      return short(event.reason ?? event.pointer?.uri ?? (event.damaged ? pretty(event) : ""));
  }
}
