// What went in and what came out: as findings, pictures, text or a tree, and whether its digest holds.
import { html, useEffect, useState } from "../lib.js";
import { bytes } from "../api.js";
import { findingsOf, unwrap } from "../audit/scan.js";
import { sha256 } from "../audit/story.js";
import { OVER } from "../fold.js";
import { short, size } from "../format.js";
import { Findings } from "./findings.js";
import { Failed, Json } from "./told.js";
import { Tree } from "./tree.js";

/** Bytes that are shown as text, and those that are loaded to be looked at. */
const SHOWN_BYTES = 256 * 1024;
const MOST_BYTES = 16 * 1024 * 1024;
const IMAGES = new Set(["image/png", "image/jpeg", "image/gif", "image/webp"]);

/** @param {{spec: any}} props */
export function Input({ spec }) {
  const pointer = spec.input_pointer;
  if (pointer) {
    return html`<p>${size(pointer.size)} in the object store, SHA-256 <code>${pointer.sha256}</code></p>`;
  }
  return html`<${Document} value=${spec.input ?? {}} label="Input" />`;
}

/** @param {{task: any, user?: string}} props `user`: whose it is, if not one's own */
export function Result({ task: { id, result, status, question }, user }) {
  const path = `/api/tasks/${encodeURIComponent(id)}/result`;
  const known = result?.kind === "inline" ? { value: result.value } : null;
  const [loaded, setLoaded] = useState(/** @type {any} */ (null));
  const [error, setError] = useState(/** @type {any} */ (null));
  const load = async () => {
    try {
      const { data, type } = await bytes(path, { query: { user } });
      setLoaded({ ...(known ?? read(data, type)), digest: globalThis.crypto?.subtle ? await sha256(data) : "" });
      setError(null);
    } catch (problem) {
      setError(problem);
    }
  };
  useEffect(() => setLoaded(null), [result?.sha256, result?.uri]);
  if (!result) {
    return html`<p>None${OVER.has(status) ? "" : question ? " yet: it waits for an answer" : " yet"}.</p>`;
  }
  const shown = loaded ?? known, query = user ? `?user=${encodeURIComponent(user)}` : "";
  return html`<p class="gist"><span>${size(result.size)}, ${result.media_type ?? "application/json"}</span>
      <a href=${path + query} download=${`${id}-result`}>Download</a>
      <${Digest} wanted=${result.sha256} found=${loaded?.digest} />
      ${known && !loaded && html`<button class="quiet" onClick=${load}>Check the digest</button>`}
    </p>
    <${Failed} error=${error} />
    ${shown ? html`<${Value} value=${shown.value} name=${id} />${shown.image && html`<${Picture} alt="The result"
      type=${shown.type} data=${shown.image} />`}${shown.cut && html`<p><small>The first ${size(SHOWN_BYTES)}.</small></p>`}`
      : result.size > MOST_BYTES ? html`<p>It is too big to be looked at here: download it.</p>`
        : html`<button onClick=${load}>Show it</button>`}`;
}

function Digest({ wanted, found }) {
  const name = html`<small>SHA-256 <code title=${wanted}>${wanted.slice(0, 12)}…</code></small>`;
  if (found === undefined) return name;
  if (!found) return html`${name}<small>not checked: the browser does that on https and on this machine only</small>`;
  return found === wanted ? html`${name}<small class="good">✓ is that of the bytes</small>`
    : html`${name}<b class="bad">✗ is not that of the bytes: ${found}</b>`;
}

function read(data, type) {
  const [kind] = type.split(";");
  if (IMAGES.has(kind)) return { image: base64(data), type: kind };
  const whole = data.byteLength <= MOST_BYTES && kind.endsWith("json");
  const text = new TextDecoder().decode(whole ? data : data.slice(0, SHOWN_BYTES));
  if (whole) {
    try {
      return { value: JSON.parse(text) };
    } catch {
      // It only says that it is JSON.
    }
  }
  return { value: text.slice(0, SHOWN_BYTES), cut: data.byteLength > SHOWN_BYTES };
}

function base64(data) {
  let text = "";
  for (const one of new Uint8Array(data)) text += String.fromCharCode(one);
  return btoa(text);
}

/** A value in the form that tells most of it. @param {{value: any, name: string}} props */
export function Value({ value, name }) {
  const inner = unwrap(value), parts = Array.isArray(value?.content) ? value.content : [];
  const images = parts.filter(({ type, mimeType }) => type === "image" && IMAGES.has(mimeType));
  const rest = parts.filter((part) => part.type !== "text" && !images.includes(part)), found = findingsOf(inner);
  // What is structured is shown in place of the parts.
  const instead = inner !== parts;
  const unseen = images.length ? rest.length > 0 || instead : rest.length > 0 && instead;
  if (value === undefined) return null;
  return html`${value?.is_error && html`<p class="bad">The tool answered with an error.</p>`}
    ${images.map((part) => html`<${Picture} alt="What the tool answered" type=${part.mimeType} data=${part.data} />`)}
    ${images.length > 0 && parts.map((part) => part.type === "text"
      && html`<pre tabindex="0" aria-label="Text">${short(part.text, SHOWN_BYTES)}</pre>`)}
    ${found && html`<${Findings} value=${inner} name=${name} />`}
    ${!images.length && !(unseen && found) && html`<${Document} value=${inner} label="Result" closed=${found !== null} />`}
    ${unseen && rest.length > 0 && html`<p>Also in the answer: ${kinds(rest)}.</p>`}
    ${unseen && html`<${Document} value=${value} label="The whole answer" closed=${true} />`}`;
}

/** What parts there are, in words. @param {any[]} parts */
function kinds(parts) {
  const told = ({ type, mimeType }) => `${String(type ?? "other").replaceAll("_", " ")}${mimeType ? ` (${mimeType})` : ""}`;
  return short([...new Set(parts.map(told))].join(", "));
}

/** A picture, or that it is none. @param {{alt: string, type: string, data: string}} props `data`: in base64 */
function Picture({ alt, type, data }) {
  const [broken, setBroken] = useState(/** @type {string | null} */ (null));
  if (broken === data) return html`<p>A picture (${type}) that can't be shown; download the result.</p>`;
  return html`<img alt=${alt} src=${`data:${type};base64,${data}`} onError=${() => setBroken(data)} />`;
}

/** Text as it is; all else as a tree or as JSON. */
function Document({ value, label, closed = false }) {
  const [plain, setPlain] = useState(false);
  const [open, setOpen] = useState(!closed);
  if (value === "") return html`<p>Nothing: it is empty.</p>`;
  if (typeof value === "string") {
    return html`<pre tabindex="0" aria-label=${label}>${short(value, SHOWN_BYTES)}</pre>`;
  }
  if (!open) return html`<p><button onClick=${() => setOpen(true)}>Show the whole answer</button></p>`;
  return html`<div class="document"><p class="forms">
      <button aria-pressed=${!plain} onClick=${() => setPlain(false)}>Tree</button>
      <button aria-pressed=${plain} onClick=${() => setPlain(true)}>JSON</button>
    </p>
    ${plain ? html`<${Json} value=${value} label=${label} />` : html`<${Tree} value=${value} label=${label} />`}</div>`;
}
