// A list of any length, of which only the rows in sight are in the document.
import { html, useEffect, useLayoutEffect, useRef, useState } from "../lib.js";

const AROUND = 12;

/**
 * @param {{items: any[], height: number, row: (item: any) => any, label: string,
 *   keyOf: (item: any) => string, onEnd?: () => void}} props `onEnd`: its last rows are in sight
 */
export function Rows({ items, height, row, keyOf, label, onEnd }) {
  const box = useRef(null);
  const [seen, setSeen] = useState({ first: 0, count: 40 });
  const look = () => {
    const top = -Math.min(0, box.current.getBoundingClientRect().top);
    const first = Math.max(0, Math.floor(top / height) - AROUND);
    const count = Math.ceil(innerHeight / height) + 2 * AROUND;
    setSeen((old) => (old.first === first && old.count === count ? old : { first, count }));
  };
  useLayoutEffect(look, [items.length]);
  useEffect(() => {
    addEventListener("scroll", look, { passive: true });
    addEventListener("resize", look);
    return () => {
      removeEventListener("scroll", look);
      removeEventListener("resize", look);
    };
  }, []);
  const last = Math.min(items.length, seen.first + seen.count);
  useEffect(() => {
    if (onEnd && last >= items.length) onEnd();
  }, [last, items.length]);
  return html`<div class="rows" role="list" aria-label=${label} ref=${box}
    style=${{ height: `${items.length * height}px` }}>
    ${items.slice(seen.first, last).map((item, at) => html`<div role="listitem" class="row"
      key=${keyOf(item)} style=${{ top: `${(seen.first + at) * height}px`, height: `${height}px` }}
    >${row(item)}</div>`)}
  </div>`;
}
