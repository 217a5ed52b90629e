// JSON as a tree, which opens and closes by mouse and by keyboard: arrows, Home, End, Enter.
import { html, useRef, useState } from "../lib.js";
import { short } from "../format.js";

/** Members that are shown at once; more come when they are asked for. */
const MOST = 200;
const LONG = 2000;

/** @param {{value: any, label: string}} props */
export function Tree({ value, label }) {
  const box = useRef(/** @type {any} */ (null));
  const onKeyDown = (event) => {
    const act = ACTS[event.key];
    const items = [...box.current.querySelectorAll("[role=treeitem]")];
    const at = items.indexOf(document.activeElement);
    if (!act || at < 0) return;
    event.preventDefault();
    act(items, at);
  };
  return html`<ul class="tree" role="tree" aria-label=${label} ref=${box} onKeyDown=${onKeyDown}>
    <${Item} name=${null} value=${value} first=${true} open=${true} />
  </ul>`;
}

const ACTS = {
  ArrowDown: (items, at) => items[Math.min(items.length - 1, at + 1)].focus(),
  ArrowUp: (items, at) => items[Math.max(0, at - 1)].focus(),
  Home: (items) => items[0].focus(),
  End: (items) => items.at(-1).focus(),
  Enter: (items, at) => items[at].firstElementChild.click(),
  " ": (items, at) => items[at].firstElementChild.click(),
  ArrowRight: (items, at) => {
    if (items[at].getAttribute("aria-expanded") === "false") items[at].firstElementChild.click();
    else items[at + 1]?.focus();
  },
  ArrowLeft: (items, at) => {
    if (items[at].getAttribute("aria-expanded") === "true") items[at].firstElementChild.click();
    else items[at].parentElement.closest("[role=treeitem]")?.focus();
  },
};

function Item({ name, value, first = false, open = false }) {
  const [opened, setOpened] = useState(open);
  const nested = typeof value === "object" && value !== null && Object.keys(value).length > 0;
  const toggle = () => nested && setOpened(!opened);
  return html`<li role="treeitem" aria-expanded=${nested ? String(opened) : undefined} tabindex=${first ? 0 : -1}>
    <span class=${nested ? "head" : "leaf"} onClick=${toggle}>
      ${name !== null && html`<b>${name}</b>${": "}`}<${Shown} value=${value} /></span>
    ${nested && opened && html`<${Members} value=${value} />`}
  </li>`;
}

function Shown({ value }) {
  if (Array.isArray(value)) return html`<small>[${value.length || ""}]</small>`;
  if (typeof value === "object" && value !== null) return html`<small>{${Object.keys(value).length || ""}}</small>`;
  if (typeof value === "string") return html`<span class="text">${short(value, LONG)}</span>`;
  return html`<code>${String(value)}</code>`;
}

function Members({ value }) {
  const [most, setMost] = useState(MOST);
  const names = Object.keys(value), rest = names.length - most;
  const more = () => setMost(most + MOST);
  return html`<ul role="group">
    ${names.slice(0, most).map((name) => html`<${Item} key=${name} name=${name} value=${value[name]}
      open=${names.length === 1} />`)}
    ${rest > 0 && html`<li role="treeitem" tabindex="-1"><span class="head" onClick=${more}>${rest} more …</span></li>`}
  </ul>`;
}
