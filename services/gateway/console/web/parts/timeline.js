// A bar for each attempt: when it waited, was claimed, called its host, asked and rested.
import { html, useEffect, useState } from "../lib.js";
import { attempts } from "../audit/attempts.js";
import { span, words } from "../format.js";

const NAMES = {
  wait: "waited", claim: "for an executor", call: "at the host", ask: "for an answer", rest: "until the next try",
  end: "until the end",
};

/** @param {{records: FactRecord[], over: boolean}} props */
export function Timeline({ records, over }) {
  const now = useNow(!over);
  const rows = attempts(records, now);
  return html`<ol class="attempts">${rows.map((row, at) => html`<li key=${at}>
    <p><b>${row.attempt ? `Attempt ${row.attempt}` : "Not routed"}</b> ${row.host}
      ${row.end && html` <span class=${`status ${row.end === "succeeded" ? "succeeded" : "failed"}`}>${words(row.end)}</span>`}</p>
    <div class="lane" aria-hidden="true">${row.spans.map((one) => html`<span
      class=${`${one.kind}${one.folded ? " folded" : ""}`} title=${told(one)}
      style=${{ left: `${one.left}%`, width: `${one.width}%` }}></span>`)}</div>
    <p class="spans">${row.spans.map((one, i) => html`<span key=${i}><i class=${`key ${one.kind}`}></i>${told(one)}</span>`)}</p>
  </li>`)}</ol>`;
}

function told(one) {
  return `${span(one.to - one.from)} ${NAMES[one.kind]}${one.open ? " so far" : ""}${one.folded ? ", drawn shorter" : ""}`;
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
