// What people are told: errors as the API says them, times, states, and what to do when nothing is there.
import { html, useState } from "../lib.js";
import { exact, pretty, size, time, words } from "../format.js";
import { MOST_TEXT, whole } from "../text.js";

/** Characters of a message that are shown at first. */
const MOST_SAID = 2000;

export function Failed({ error }) {
  if (!error) return null;
  return html`<div class="failed" role="alert">
    <p><${Clipped} text=${error.message} most=${MOST_SAID} /></p>
    ${error.request && html`<small>request ${error.request}</small>`}
  </div>`;
}

export function Time({ at }) {
  return html`<time datetime=${exact(at)} title=${exact(at)}>${time(at)}</time>`;
}

export function Status({ word }) {
  return html`<span class=${`status ${word}`}>${words(word)}</span>`;
}

export function Empty({ children }) {
  return html`<div class="empty">${children}</div>`;
}

export function Json({ value, label }) {
  return html`<pre tabindex="0" aria-label=${label}><${Clipped} text=${pretty(value) ?? ""} /></pre>`;
}

/**
 * A text that may be long: its beginning, and a button for more of it, as long as there is more.
 * @param {{text: string, most?: number}} props `most`: characters at first
 */
export function Clipped({ text, most = 32 * 1024 }) {
  const [shown, setShown] = useState(most);
  if (text.length <= shown) return parts(text);
  const more = Math.min(MOST_TEXT, text.length - shown);
  return html`${parts(whole(text, shown))}… <button type="button" class="more"
    onClick=${() => setShown(shown + more)}>Show ${more === text.length - shown ? "all" : "more"}
    (${size(text.length)} in all)</button>`;
}

/** Each part is a text of its own: the browser lays out none that is endless. */
function parts(text) {
  const found = [];
  for (let at = 0; at < text.length; ) {
    const part = whole(text.slice(at, at + MOST_TEXT), MOST_TEXT);
    found.push(html`<span key=${at}>${part}</span>`);
    at += part.length;
  }
  return found;
}
