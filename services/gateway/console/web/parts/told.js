// What people are told: errors as the API says them, times, states, and what to do when nothing is there.
import { html } from "../lib.js";
import { exact, pretty, time, words } from "../format.js";

export function Failed({ error }) {
  if (!error) return null;
  return html`<div class="failed" role="alert">
    <p>${error.message}</p>
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
  return html`<pre tabindex="0" aria-label=${label}>${pretty(value)}</pre>`;
}
