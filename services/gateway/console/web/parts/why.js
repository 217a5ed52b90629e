// Why each attempt went to its host: the candidates with their scores, and what removed whom.
import { html } from "../lib.js";
import { href } from "../router.js";

const SCORES = [
  ["capability", 0.4], ["resource", 0.3], ["health", 0.2], ["preference", 0.1],
];

/** @param {{records: {seq: number, event: any}[]}} props */
export function Why({ records }) {
  const routed = records.filter(({ event }) => event.type === "task.routed");
  if (!routed.length) return html`<p>It has not been sent to a host yet.</p>`;
  return routed.map(({ seq, event: { attempt, route } }) => html`<div class="why" key=${seq}>
    <h3>Attempt ${attempt}: ${route.host}</h3>
    <table>
      <thead><tr><th scope="col">Host</th><th scope="col">Score</th>
        ${SCORES.map(([name, weight]) => html`<th scope="col">${name} × ${weight}</th>`)}</tr></thead>
      <tbody>${(route.candidates ?? []).map((one) => html`<tr class=${one.host === route.host ? "chosen" : ""}>
        <th scope="row"><a href=${href(`/hosts/${one.host}`)}>${one.host}</a></th>
        <td><meter min="0" max="1" value=${one.score} aria-label="Score"></meter> ${one.score.toFixed(3)}</td>
        ${SCORES.map(([name]) => html`<td>${(one[name] ?? 0).toFixed(2)}</td>`)}
      </tr>`)}</tbody>
    </table>
    ${Object.entries(route.removed ?? {}).map(([filter, hosts]) => html`<p class="removed">
      <b>${filter}</b> removed ${hosts.join(", ")}</p>`)}
    <small>decided at sequence ${seq} from the log through ${route.basis}, term ${route.term}</small>
  </div>`);
}
