// A bar for each attempt: when it waited, was claimed, called its host, asked and rested.
import { html, useEffect, useState } from "../lib.js";
import { attempts } from "../audit/attempts.js";
import { OVER } from "../fold.js";
import { span, words } from "../format.js";

const NAMES = {
  wait: "waited", claim: "waited for an executor", call: "at the host", ask: "waited for an answer",
  rest: "until the next try", end: "until the end",
};
const ENDS = { input_required: "asked", tool: "tool failed" };
/** Nothing is told that was shorter, in seconds. */
const LEAST_S = 0.001;

/** @param {{records: FactRecord[], over: boolean}} props */
export function Timeline({ records, over }) {
  const now = useNow(!over);
  const rows = attempts(records, now);
  return html`<ol class="attempts">${rows.map((row, at) => html`<li key=${at}>
    <p><b>${title(row, rows[at - 1], over)}</b> ${row.host}
      ${row.end && html` <span class=${`status ${shown(row.end)}`}>${ENDS[row.end] ?? words(row.end).replaceAll("_", " ")}</span>`}</p>
    <div class="lane" aria-hidden="true">${row.spans.map((one) => html`<span
      class=${`${one.kind}${one.folded ? " folded" : ""}`} title=${told(one)}
      style=${{ left: `${one.left}%`, width: `${one.width}%` }}></span>`)}</div>
    <p class="spans">${long(row.spans).map((one, i) => html`<span key=${i}><i class=${`key ${one.kind}`}></i>${told(one)}</span>`)}</p>
  </li>`)}</ol>`;
}

function title(row, before, over) {
  if (row.attempt) return `Attempt ${row.attempt}`;
  return before ? `After attempt ${before.attempt}` : `Not routed${over ? "" : " yet"}`;
}

/** How an attempt has ended, as a status: what went wrong with it is of one colour. */
function shown(end) {
  return OVER.has(end) || end === "input_required" ? end : "failed";
}

function long(spans) {
  const found = spans.filter(({ from, to, open }) => open || to - from >= LEAST_S);
  return found.length ? found : spans;
}

function told(one) {
  return `${span(one.to - one.from)} ${NAMES[one.kind]}${one.open ? " so far" : ""}${one.folded ? ", not to scale" : ""}`;
}

/** The time of this browser, each second while something goes on. */
function useNow(moves) {
  const [now, setNow] = useState(Date.now() / 1000);
  useEffect(() => {
    if (!moves) return undefined;
    const ticking = setInterval(() => setNow(Date.now() / 1000), 1000);
    return () => clearInterval(ticking);
  }, [moves]);
  return now;
}
