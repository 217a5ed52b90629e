// Small plots in SVG: stacked bars over time, and a bar of how full something is.
import { html } from "../lib.js";
import { time } from "../format.js";

const clock = new Intl.DateTimeFormat(undefined, { hour: "numeric", minute: "2-digit" });
const short = (at) => clock.format(new Date(at * 1000));

const WIDE = 600, HIGH = 120;

/** The next number that reads well. @param {number} most */
export function ceiling(most) {
  if (most <= 4) return 4;
  const size = 10 ** Math.floor(Math.log10(most));
  return [1, 1.5, 2, 3, 4, 5, 6, 8, 10].map((one) => one * size).find((one) => one >= most) ?? most;
}

/**
 * @param {{start: number, counts: Record<string, number>}[]} buckets those with anything in them
 * @param {{since: number, size: number, count: number, words: string[]}} frame
 * @returns {{top: number, bars: {at: number, start: number, parts: {word: string, from: number,
 *   to: number}[], counts: Record<string, number>}[]}} each part from and to a share of the top
 */
export function stacked(buckets, { since, size, count, words }) {
  const sum = (counts) => words.reduce((all, word) => all + (counts[word] ?? 0), 0);
  const top = ceiling(Math.max(0, ...buckets.map(({ counts }) => sum(counts))));
  const bars = [];
  for (const { start, counts } of buckets) {
    const at = Math.round((start - since) / size);
    if (at < 0 || at >= count) continue;
    let low = 0;
    const parts = [];
    for (const word of words) {
      const many = counts[word] ?? 0;
      if (!many) continue;
      parts.push({ word, from: low / top, to: (low + many) / top });
      low += many;
    }
    bars.push({ at, start, parts, counts });
  }
  return { top, bars };
}

/** Stacked bars. `label`: what a screen reader is told in their place. */
export function Bars({ buckets, since, size, count, words, label, named = (word) => word }) {
  const { top, bars } = stacked(buckets, { since, size, count, words });
  const wide = WIDE / count, gap = Math.min(1.5, wide / 5);
  const told = (counts) => words.filter((word) => counts[word])
    .map((word) => `${counts[word]} ${named(word)}`).join(", ");
  return html`<figure class="plot">
    <div class="scale" aria-hidden="true"><span>${top}</span><span>${top / 2}</span><span>0</span></div>
    <svg viewBox=${`0 0 ${WIDE} ${HIGH}`} preserveAspectRatio="none" role="img" aria-label=${label}>
      ${[0, 0.5, 1].map((y) => html`<line class="grid" x1="0" x2=${WIDE} y1=${y * HIGH} y2=${y * HIGH} />`)}
      ${bars.map(({ at, start, parts, counts }) => html`<g key=${start}>
        <title>${`${time(start)}: ${told(counts)}`}</title>
        ${parts.map(({ word, from, to }) => html`<rect class=${`part ${word}`} x=${at * wide + gap / 2}
          y=${(1 - to) * HIGH} width=${wide - gap} height=${Math.max(0.5, (to - from) * HIGH)} />`)}
      </g>`)}
    </svg>
    <div class="times" aria-hidden="true"><span>${short(since)}</span>
      <span>${short(since + (count / 2) * size)}</span><span>now</span></div>
  </figure>`;
}

/** How full something is. @param {{of: number, most: number, label: string}} props */
export function Load({ of, most, label }) {
  const share = most ? Math.min(1, of / most) : 0;
  const state = share >= 1 ? "full" : share > 0.75 ? "high" : "";
  return html`<span class=${`gauge ${state}`} role="meter" aria-valuenow=${of} aria-valuemin="0"
    aria-valuemax=${Math.max(most, of)} aria-label=${label}>
    <i style=${{ width: `${share * 100}%` }}></i></span>`;
}
