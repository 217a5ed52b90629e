// Why each attempt went to its host: the candidates with their scores, and what removed whom.
import { html } from "../lib.js";
import { short } from "../format.js";
import { href } from "../router.js";

const PARTS = [
  ["capability", 0.4], ["resource", 0.3], ["health", 0.2], ["preference", 0.1],
];

/** @param {{records: FactRecord[], waiting: string}} props */
export function Why({ records, waiting }) {
  const told = records.filter(({ event }) => TOLD.has(event.type) || event.from);
  if (!told.some(({ event }) => event.type === "task.routed" || event.from)) {
    const over = records.some(({ event }) => event.type === "job.done");
    const turn = "it waits for its turn and for a healthy host with a free slot";
    const text = over ? "no host ever got it" : waiting ? `it waits: ${waiting}` : turn;
    return html`<p>The task has not been routed: ${text}.</p>`;
  }
  return told.map(({ seq, event }) => html`<div class="why" key=${seq}>${one(seq, event)}</div>`);
}

const TOLD = new Set(["task.routed", "job.failed"]);

function one(seq, event) {
  if (event.type === "task.routed") return html`<${Route} seq=${seq} event=${event} />`;
  if (event.type === "job.failed") {
    return html`<p class="bad">Attempt ${event.attempt} failed: ${event.kind}: ${short(event.message ?? "", 500)}</p>`;
  }
  const from = event.from === "-" ? "a task of somebody else" : event.from;
  const { earlier } = event;
  return html`<p>No host was asked: the result is given again from ${from}
    ${earlier && ` (sequence ${earlier.seq}), as ${earlier.host} allows`}.</p>`;
}

function Route({ seq, event: { attempt, route } }) {
  const candidates = route.candidates ?? [];
  return html`<h3>Attempt ${attempt} went to ${route.host}</h3>
    <p>${sentence(route, candidates)}</p>
    <div class="scroll" tabindex="0" role="region" aria-label=${`Candidates of attempt ${attempt}`}><table>
      <thead><tr><th scope="col">Host</th><th scope="col">Score</th><th scope="col">Made of</th>
        ${PARTS.map(([name, weight]) => html`<th scope="col"><i class=${`key ${name}`}></i>${name} × ${weight}</th>`)}
        <th scope="col">Slots in use</th></tr></thead>
      <tbody>${candidates.map((it) => html`<tr class=${it.host === route.host ? "chosen" : ""}>
        <th scope="row"><a href=${href(`/hosts/${it.host}`)}>${it.host}</a>${it.host === route.host && " ✓ chosen"}</th>
        <td>${it.score.toFixed(3)}</td>
        <td><span class="made" aria-hidden="true">${PARTS.map(([name, weight]) => html`<span class=${name}
          style=${{ width: `${100 * Number(weight) * (it[name] ?? 0)}%` }}></span>`)}</span></td>
        ${PARTS.map(([name]) => html`<td>${(it[name] ?? 0).toFixed(2)}</td>`)}
        <td>${route.slots?.[it.host] ?? 0}</td>
      </tr>`)}</tbody>
    </table></div>
    ${Object.entries(route.removed ?? {}).map(([filter, hosts]) => html`<p class="removed">
      <b>${filter}</b> removed ${hosts.join(", ")}</p>`)}
    <small>Sequence ${seq}, basis ${route.basis}, place ${route.index ?? 0} in its round, term ${route.term},
      policy ${route.policy.version}, host as of ${route.host_seq}, limit ${route.timeout_s ?? 300} s.
      ${route.approved ? ` Allowed by the answer to question ${route.approved}.` : ""}</small>`;
}

function sentence(route, candidates) {
  const [best, next] = candidates;
  const removed = Object.values(route.removed ?? {}).flat().length;
  const others = removed ? ` ${removed} could not take it.` : "";
  if (!best) return `Its candidates are not told.${others}`;
  if (!next) return `It was the only host that could take it.${others}`;
  return `Of ${candidates.length} hosts it had the best score, ${best.score.toFixed(3)}; next came ${next.host} with ${next.score.toFixed(3)}.${others}`;
}
