// Why each attempt went to its host: the candidates with their scores, and what removed whom.
import { html } from "../lib.js";
import { short } from "../format.js";
import { href } from "../router.js";

const PARTS = [
  ["capability", 0.4], ["resource", 0.3], ["health", 0.2], ["preference", 0.1],
];
/** A route lists so many candidates, and so many hosts that one filter removed, at most. */
const MOST_CANDIDATES = 10, MOST_REMOVED = 20;
/** What is said of the hosts that each filter of the router removed. */
const REMOVED = {
  pinned: "Not considered, as the task is for one host", task_type: "Not for tasks of this type",
  capability: "Without a capability that it needs", disabled: "Disabled", placement: "Not for heavy tasks",
  not_permitted: "Not allowed to whoever asked", health: "Not healthy at the time",
  excluded: "Passed over, as an earlier attempt failed there", slots: "All slots in use",
  share: "Own hosts, whose share of the executors was in use",
};

/** @param {{records: FactRecord[], waiting: string}} props */
export function Why({ records, waiting }) {
  const told = records.filter(({ event }) => TOLD.has(event.type) || event.from);
  if (!told.some(({ event }) => event.type === "task.routed" || event.from)) {
    const over = records.some(({ event }) => event.type === "job.done");
    const turn = "it waits for its turn and for a healthy host with a free slot";
    const text = over ? "no host ever got it" : waiting ? `it waits: ${waiting}` : turn;
    return html`<p>The task has not been routed: ${text}.</p>`;
  }
  return told.map(({ seq, event }) => html`<div class="why" key=${seq}>${one(seq, event, records)}</div>`);
}

const TOLD = new Set(["task.routed", "job.failed"]);

function one(seq, event, records) {
  if (event.type === "task.routed") {
    return html`<${Route} seq=${seq} event=${event} only=${onlyOne(seq, event, records)} />`;
  }
  if (event.type === "job.failed") return failed(seq, event, records);
  const from = event.from === "-" ? "a task of somebody else" : event.from;
  const { earlier } = event;
  return html`<p>No host was asked: the result is given again from ${from}
    ${earlier && ` (sequence ${earlier.seq}), as ${earlier.host} allows`}.</p>`;
}

function failed(seq, { attempt, kind, message = "" }, records) {
  if (kind === "input_required") {
    const asked = records.find((later) => later.seq > seq && later.event.type === "task.asked");
    return html`<p>Attempt ${attempt} asked: ${short(asked?.event.message ?? message, 500)}</p>`;
  }
  // What the task failed with stands at the top of the page.
  if (message && records.some(({ event }) => event.type === "job.done" && event.error?.message === message)) {
    return html`<p class="bad">Attempt ${attempt} failed with the task's error.</p>`;
  }
  const words = [kind === "tool" ? "" : kind.replaceAll("_", " "), short(message, 500)];
  return html`<p class="bad">Attempt ${attempt} failed: ${words.filter(Boolean).join(": ")}</p>`;
}

/** Why no other host could have it, however well it does; empty: others could. */
function onlyOne(seq, { route }, records) {
  if (records[0].event.spec?.host) return "The task names this host.";
  // Whose question was answered gets the answer.
  const asked = records.some(({ seq: then, event }) => then < seq && event.type === "task.asked" && event.host === route.host);
  return asked ? "It went to the host that its question was of." : "";
}

function Route({ seq, event: { attempt, route }, only }) {
  const candidates = route.candidates ?? [];
  return html`<h3>Attempt ${attempt} went to ${route.host}</h3>
    <p>${only || sentence(candidates, Object.values(route.removed ?? {}))}</p>
    <p class="spans"><span>Score:</span>${PARTS.map(([name, weight]) => html`<span><i
      class=${`key ${name}`}></i>${name} × ${weight}</span>`)}</p>
    <div class="scroll" tabindex="0" role="region" aria-label=${`Candidates of attempt ${attempt}`}><table>
      <thead><tr><th scope="col">Host</th><th scope="col">Score</th><th scope="col">Made of</th>
        ${PARTS.map(([name]) => html`<th scope="col">${name}</th>`)}
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
    ${Object.entries(route.removed ?? {}).map(([filter, hosts]) => html`<p class="removed" title=${filter}>
      ${REMOVED[filter] ?? `Removed by ${filter}`}: ${hosts.join(", ")}${hosts.length >= MOST_REMOVED && " and perhaps more"}</p>`)}
    <p><small>Limit of this attempt: ${route.timeout_s ?? 300} s.${
      route.approved ? ` Allowed by the answer to question ${route.approved}.` : ""}</small></p>
    <details><summary>For the audit</summary><small>Sequence ${seq}, basis ${route.basis}, place ${route.index ?? 0} in
      its round, term ${route.term}, policy ${route.policy.version}, host as of ${route.host_seq}.</small></details>`;
}

/** @param {any[]} candidates @param {string[][]} removed */
function sentence(candidates, removed) {
  const [best, next] = candidates, count = removed.flat().length;
  const least = removed.some((hosts) => hosts.length >= MOST_REMOVED) ? "At least " : "";
  const others = count ? ` ${least}${count} ${count === 1 ? "other" : "others"} could not take it.` : "";
  if (!best) return `Its candidates are not told.${others}`;
  if (!next) return `It was the only host that could take it.${others}`;
  const all = `${candidates.length}${candidates.length >= MOST_CANDIDATES ? " or more" : ""} hosts`;
  return `Of ${all} it had the best score, ${best.score.toFixed(3)}; next came ${next.host} with ${next.score.toFixed(3)}.${others}`;
}
