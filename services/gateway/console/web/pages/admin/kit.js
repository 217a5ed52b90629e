// What the pages of accounts and of admins are made of: sections, lists that go on, deeds, secrets.
import { html, useEffect, useLayoutEffect, useRef, useState } from "../../lib.js";
import { api } from "../../api.js";
import { time } from "../../format.js";
import { href, place } from "../../router.js";
import { Failed } from "../../parts/told.js";

/**
 * @typedef {object} Section
 * @property {string} name in the address
 * @property {string} title
 * @property {any} Part
 *
 * @typedef {{items: any[], next: any, error: any, loaded: boolean}} Pages
 */

/**
 * A page of several sections, each with an address.
 * @param {{root: string, title: string, sections: Section[], found?: string[]}} props
 */
export function Sections({ root, title, sections, found = [] }) {
  const [name = "", ...rest] = (found[0] ?? "").split("/");
  const at = sections.find((one) => one.name === name);
  return html`<h1>${title}</h1>
    <nav class="sections" aria-label=${`Sections of ${title}`}>
      ${sections.map((one) => html`<a key=${one.name} href=${href(one.name ? `${root}/${one.name}` : root)}
        aria-current=${one === at ? "page" : undefined}>${one.title}</a>`)}
    </nav>
    ${at ? html`<${at.Part} rest=${rest.join("/")} />`
      : html`<p>There is nothing under this name, or not for you.</p>`}`;
}

/**
 * What a page shows, read when it opens and whenever `again` is called.
 * @param {() => Promise<any>} load @param {any[]} [on]
 */
export function useLoaded(load, on = []) {
  const [found, setFound] = useState(/** @type {{data: any, error: any}} */ ({ data: null, error: null }));
  const turn = useRef(/** @type {any} */ (0));
  const again = async () => {
    const mine = ++turn.current;
    let next;
    try {
      next = { data: await load(), error: null };
    } catch (error) {
      next = { data: null, error };
    }
    if (mine === turn.current) setFound((old) => ({ data: next.data ?? old.data, error: next.error }));
  };
  useEffect(() => {
    void again();
    return () => {
      turn.current++;
    };
  }, on);
  return { ...found, again };
}

/**
 * A list that the API gives page by page.
 * @param {string} path @param {Record<string, any>} [query]
 */
export function usePaged(path, query = {}) {
  const [pages, setPages] = useState(/** @type {Pages} */ ({ items: [], next: null, error: null, loaded: false }));
  const turn = useRef(/** @type {any} */ (0));
  /** @param {number | null | undefined} cursor @param {any[]} before */
  const load = async (cursor, before) => {
    const mine = ++turn.current;
    try {
      const found = await api(path, { query: { limit: 100, ...query, cursor } });
      if (mine !== turn.current) return;
      setPages({ items: [...before, ...found.data], next: found.next_cursor ?? null, error: null, loaded: true });
    } catch (error) {
      if (mine === turn.current) setPages((old) => ({ ...old, error, loaded: true }));
    }
  };
  useEffect(() => {
    void load(undefined, []);
    return () => {
      turn.current++;
    };
  }, [path, JSON.stringify(query)]);
  return {
    ...pages, again: () => load(undefined, []), more: () => load(pages.next, pages.items),
  };
}

/** @param {number} many @param {string} word of one */
export function count(many, word) {
  return `${many.toLocaleString()} ${word}${many === 1 ? "" : "s"}`;
}

/** The way to the next page of a list. `what`: the word of one. */
export function More({ list, what }) {
  return html`<${Failed} error=${list.error} />
    <p class="more" aria-live="polite">${count(list.items.length, what)}${list.next === null ? "" : " so far"}
      ${list.next !== null && html` <button onClick=${list.more}>Show more</button>`}</p>`;
}

/**
 * A button that does something, asks first where that can't be taken back, and tells what went wrong.
 * @param {{label: string, run: () => Promise<any>, sure?: string, quiet?: boolean}} props
 */
export function Deed({ label, run, sure }) {
  const [state, setState] = useState({ asks: false, works: false, error: /** @type {any} */ (null) });
  const act = async () => {
    setState({ asks: false, works: true, error: null });
    try {
      await run();
      setState({ asks: false, works: false, error: null });
    } catch (error) {
      setState({ asks: false, works: false, error });
    }
  };
  const asks = (value) => setState({ asks: value, works: false, error: null });
  if (state.asks) {
    return html`<span class="sure" role="group" aria-label=${sure}>${sure}
      <button class="danger" onClick=${act}>${label}</button>
      <button onClick=${() => asks(false)}>No</button></span>`;
  }
  return html`<button disabled=${state.works} onClick=${sure ? () => asks(true) : act}>${label}</button>
    <${Failed} error=${state.error} />`;
}

/**
 * A form that tells what went wrong, and is emptied when it went well.
 * @param {{label: string, send: (fields: FormData) => Promise<any>, children: any, title?: string}} props
 */
export function Sending({ label, send, children, title }) {
  const [state, setState] = useState({ works: false, error: /** @type {any} */ (null) });
  const submit = async (event) => {
    event.preventDefault();
    const form = event.target;
    setState({ works: true, error: null });
    try {
      await send(new FormData(form));
      form.reset();
      setState({ works: false, error: null });
    } catch (error) {
      setState({ works: false, error });
    }
  };
  return html`<form class="sending" aria-label=${title ?? label} onSubmit=${submit}>
    ${children}
    <p class="go"><button class="yes" disabled=${state.works}>${label}</button></p>
    <${Failed} error=${state.error} />
  </form>`;
}

/** A field with its label. */
export function Field({ label, note, children }) {
  return html`<label class="field"><span>${label}</span>${children}${note && html`<small>${note}</small>`}</label>`;
}

/**
 * A secret that is shown this once.
 * @param {{secret: string, what: string, onDone: () => void}} props
 */
export function Once({ secret, what, onDone }) {
  const [copied, setCopied] = useState("");
  const text = useRef(/** @type {any} */ (null));
  const copy = async () => {
    try {
      await navigator.clipboard.writeText(secret);
      setCopied("copied");
    } catch {
      text.current.select();
      setCopied("marked: copy it by your keyboard");
    }
  };
  return html`<div class="once" role="status">
    <p><b>${what}</b> It is shown now and never again.</p>
    <p><input class="secret" readonly ref=${text} value=${secret} aria-label=${what} />
      <button onClick=${copy}>Copy</button> <button onClick=${onDone}>Done</button> <span>${copied}</span></p>
  </div>`;
}

/**
 * A table that scrolls where there is no room; in narrow windows each row is a card.
 * @param {{label: string, heads: (string | [string, string])[], children: any, short?: boolean}} props
 *   a head may have a class; `short`: it needs no wide window
 */
export function Table({ label, heads, children, short = false }) {
  const table = useRef(/** @type {any} */ (null));
  const named = heads.map((head) => (Array.isArray(head) ? head : [head, ""]));
  useLayoutEffect(() => name(table.current, named));
  return html`<div class=${short ? "scrolls short" : "scrolls"} tabindex="0" role="region" aria-label=${label}>
    <table class="list" role="table" ref=${table}>
    <thead role="rowgroup"><tr>${named.map(([head, kind]) => html`<th scope="col" class=${kind}>${head}</th>`)}</tr></thead>
    <tbody role="rowgroup">${children}</tbody></table></div>`;
}

/**
 * A card names each cell by its column. What cells are is said by roles: `display` takes it from them.
 * @param {HTMLTableElement} table @param {string[][]} heads
 */
function name(table, heads) {
  for (const row of table.rows) {
    row.setAttribute("role", "row");
    for (const cell of row.cells) {
      const head = cell.scope === "col" ? "columnheader" : "rowheader";
      cell.setAttribute("role", cell.tagName === "TH" ? head : "cell");
      if (cell.tagName === "TD") cell.dataset.label = heads[cell.cellIndex]?.[0] ?? "";
    }
  }
}

/** A point in time, or what it means that there is none. */
export function When({ at, none = "" }) {
  return at ? html`<time datetime=${new Date(at * 1000).toISOString()} title=${new Date(at * 1000).toISOString()}
    >${time(at)}</time>` : none;
}

/** A filter that stands in the address. @param {string} name */
export function asked(name) {
  return place.value.query[name] ?? "";
}

/** Marks in a form's checkboxes of this name. @param {FormData} fields @param {string} name */
export function marked(fields, name) {
  return fields.getAll(name).map(String);
}

/** A text field's value, without blanks around. @param {FormData} fields @param {string} name */
export function typed(fields, name) {
  return String(fields.get(name) ?? "").trim();
}

/** What names of users and profiles are made of. */
export const NAME = "[A-Za-z0-9_\\-]+";

export const ROLES = [["auditor", "sees all tasks and who came in"], ["admin", "keeps users, hosts and quotas"]];
