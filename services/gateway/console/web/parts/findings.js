// The findings of a scan as a table, by severity; and as SARIF, to take along.
import { html, useState } from "../lib.js";
import { findingsOf, isSarif, isScan, LEVELS, sarif } from "../audit/scan.js";
import { pretty, short } from "../format.js";

const MOST = 500;

/** @param {{value: any, name: string}} props `name` of the file without its end */
export function Findings({ value, name }) {
  const found = findingsOf(value) ?? [];
  const [only, setOnly] = useState("");
  const shown = found.filter(({ level }) => !only || level === only);
  const left = Number.isInteger(value.left_out) ? value.left_out : 0;
  return html`<div class="findings">
    <p class="filters">
      <b>${found.length ? `${found.length} findings` : "No findings"}</b>
      ${[...LEVELS].reverse().map((level) => {
        const count = found.filter((one) => one.level === level).length;
        return count > 0 && html`<button class=${`level ${level}`} aria-pressed=${only === level}
          onClick=${() => setOnly(only === level ? "" : level)}>${count} ${level}</button>`;
      })}
      ${left > 0 && html`<span class="bad">${left} more are not listed</span>`}
      <${Sarif} value=${value} name=${name} />
    </p>
    ${shown.length > 0 && html`<div class="scroll" tabindex="0" role="region" aria-label="Findings"><table>
      <thead><tr>${["Severity", "Rule", "Place", "What"].map((one) => html`<th scope="col">${one}</th>`)}</tr></thead>
      <tbody>${shown.slice(0, MOST).map((one, at) => html`<tr key=${at}>
        <td class=${`level ${one.level}`}>${one.severity}</td>
        <td>${short(one.rule)}</td>
        <td><code>${one.line === null ? one.path : `${one.path}:${one.line}`}</code></td>
        <td>${short(one.message, 600)}</td>
      </tr>`)}</tbody>
    </table></div>`}
    ${shown.length > MOST && html`<p><small>The first ${MOST} of ${shown.length}: the file has all.</small></p>`}
  </div>`;
}

function Sarif({ value, name }) {
  const [error, setError] = useState("");
  const whole = isSarif(value);
  // A fingerprint of each finding is a digest, which the browser makes in a secure context only.
  if (!whole && !(isScan(value) && globalThis.crypto?.subtle)) return null;
  const save = async () => {
    try {
      saved(pretty(whole ? value : await sarif(value)), `${name}.sarif`);
    } catch (problem) {
      setError(`It can't be written as SARIF: ${problem.message}`);
    }
  };
  return html`<button onClick=${save}>Download SARIF</button>${error && html`<span class="bad">${error}</span>`}`;
}

/** Have the browser save this text as a file. */
export function saved(text, name) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([text], { type: "application/json" }));
  link.download = name;
  link.click();
  URL.revokeObjectURL(link.href);
}
