// The keyboard: `/` searches, `j` and `k` move, `?` helps, `g` and a letter go to a page.
import { html, signal, useEffect, useRef } from "../lib.js";
import { go } from "../router.js";

const helping = signal(false);
let going = false;

/** @param {() => {path: string, title: string, key: string}[]} pages */
export function keys(pages) {
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || isTyping(event.target)) return;
    if (going) {
      going = false;
      const page = pages().find((one) => one.key === event.key);
      if (page) go(page.path);
      return;
    }
    const act = ACTS[event.key];
    if (act) {
      event.preventDefault();
      act();
    }
  });
}

const ACTS = {
  "/": () => document.querySelector("[data-search]")?.focus(),
  "?": () => {
    helping.value = !helping.value;
  },
  j: () => step(1),
  k: () => step(-1),
  x: () => {
    const row = document.activeElement?.parentElement;
    /** @type {HTMLElement | null | undefined} */ (row?.querySelector("input[type=checkbox]"))?.click();
  },
  g: () => {
    going = true;
  },
};

function isTyping(target) {
  return target instanceof Element
    && target.matches("input:not([type=checkbox]), textarea, select, [contenteditable]");
}

/** Move the focus among the rows of a list. */
function step(by) {
  const rows = [...document.querySelectorAll("[data-row]")];
  const at = rows.findIndex((row) => row === document.activeElement);
  rows[Math.max(0, Math.min(rows.length - 1, at < 0 ? 0 : at + by))]?.focus();
}

export function Help({ pages }) {
  const dialog = useRef(null);
  useEffect(() => {
    if (helping.value) dialog.current.showModal();
    else dialog.current.close();
  }, [helping.value]);
  const close = () => {
    helping.value = false;
  };
  return html`<dialog ref=${dialog} aria-label="Keys" onClose=${close}>
    <h2>Keys</h2>
    <dl>
      <dt><kbd>/</kbd></dt><dd>search</dd>
      <dt><kbd>j</kbd> <kbd>k</kbd></dt><dd>next and previous row</dd>
      <dt><kbd>Enter</kbd></dt><dd>open the row</dd>
      <dt><kbd>x</kbd></dt><dd>choose the row, where many can be chosen</dd>
      ${pages.map(({ title, key }) => html`<dt><kbd>g</kbd> <kbd>${key}</kbd></dt><dd>${title}</dd>`)}
      <dt><kbd>?</kbd></dt><dd>this help</dd>
    </dl>
    <button onClick=${close}>Close</button>
  </dialog>`;
}
