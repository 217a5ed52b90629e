// One task: its status, what happened when, why it went where it did, its input and its result.
import { html, signal, useEffect, useMemo, useState } from "../lib.js";
import { api, bytes } from "../api.js";
import { fold, OVER } from "../fold.js";
import { pretty, short, size, span } from "../format.js";
import { href } from "../router.js";
import { me } from "../session.js";
import { stream } from "../stream.js";
import { Failed, Json, Status, Time } from "../parts/told.js";
import { Why } from "../parts/why.js";
import { Question } from "./asks.js";

const SHOWN_BYTES = 256 * 1024;

class Story {
  constructor(id) {
    this.id = id;
    this.records = signal([]);
    this.progress = signal(null);
    this.error = signal(null);
    this.stop = () => {};
    this.closed = false;
    this.load();
  }

  async load() {
    try {
      const { data } = await api(`/api/tasks/${encodeURIComponent(this.id)}/events`);
      this.records.value = data;
      const after = data.length ? data[data.length - 1].seq : "start";
      if (!this.closed) this.follow(after);
    } catch (error) {
      this.error.value = error;
    }
  }

  follow(after) {
    this.stop();
    this.stop = stream.subscribe({
      to: "task", task: this.id, after,
      onEvents: (events) => {
        const last = this.records.value.at(-1)?.seq ?? 0;
        this.records.value = [...this.records.value, ...events.filter((one) => one.seq > last)];
      },
      onProgress: (frame) => {
        if (frame.task === this.id) this.progress.value = frame;
      },
      onLost: () => this.load(),
    });
  }

  close() {
    this.closed = true;
    this.stop();
  }
}

export function TaskPage({ found: [id] }) {
  const story = useMemo(() => new Story(id), [id]);
  useEffect(() => () => story.close(), [story]);
  const records = story.records.value;
  const task = fold(records);
  if (!task) return html`<h1 class="id">${id}</h1><${Failed} error=${story.error.value} />`;
  return html`<h1 class="id">${id} <${Status} word=${task.status} /></h1>
    <${Failed} error=${story.error.value} />
    <${Summary} task=${task} progress=${story.progress.value} />
    ${task.question && html`<section class="card"><h2>It asks</h2>
      <${Question} task=${task.id} user=${task.user} question=${task.question} /></section>`}
    <section><h2>What happened</h2><${Timeline} records=${records} /></section>
    <section><h2>Why</h2><${Why} records=${records} /></section>
    <section><h2>Input</h2><${Input} spec=${task.spec} /></section>
    <section><h2>Result</h2><${Result} task=${task} /></section>`;
}

function Summary({ task, progress }) {
  const own = task.user === me.value.user;
  return html`<dl class="summary">
    <dt>Type</dt><dd>${task.type}</dd>
    <dt>Created</dt><dd><${Time} at=${task.created_at} /> by ${task.user}${task.asked_by && `, ${task.asked_by}`}</dd>
    ${task.host && html`<dt>Host</dt><dd><a href=${href(`/hosts/${task.host}`)}>${task.host}</a>
      ${task.attempt > 1 && `, attempt ${task.attempt}`}</dd>`}
    ${task.done_at && html`<dt>Took</dt><dd>${span(task.done_at - task.created_at)}</dd>`}
    ${task.waiting && html`<dt>Waits for</dt><dd>${task.waiting}</dd>`}
    ${task.error && html`<dt>Error</dt><dd class="bad">${task.error.code}: ${task.error.message}</dd>`}
    ${!OVER.has(task.status) && task.last_failure && html`<dt>Last attempt</dt>
      <dd class="bad">${task.last_failure.code}: ${task.last_failure.message}</dd>`}
    ${task.remarks.map((one) => html`<dt>Remark</dt><dd>${one}</dd>`)}
    ${task.from && html`<dt>Result from</dt><dd>${task.from === "-" ? "a task of somebody else"
      : html`<a href=${href(`/tasks/${task.from}`)}>${task.from}</a>`}</dd>`}
    ${!OVER.has(task.status) && progress && html`<dt>Progress</dt><dd><${Progress} frame=${progress} /></dd>`}
  </dl>
  ${own && !OVER.has(task.status) && html`<${Cancel} task=${task} />`}`;
}

function Progress({ frame }) {
  const { progress, total, message } = frame;
  return html`${total ? html`<progress value=${progress} max=${total} aria-label="Progress" />` : progress}
    ${" "}${short(message ?? "")}`;
}

function Cancel({ task }) {
  const [error, setError] = useState(null);
  const cancel = async () => {
    try {
      await api(`/api/tasks/${encodeURIComponent(task.id)}/cancel`, { method: "POST" });
    } catch (problem) {
      setError(problem);
    }
  };
  return html`<button disabled=${task.cancel_requested} onClick=${cancel}>
    ${task.cancel_requested ? "Asked to cancel" : "Cancel"}</button><${Failed} error=${error} />`;
}

const PHASES = {
  "task.created": "waits", "task.routed": "waits", "task.asked": "asks", "task.answered": "waits",
  "job.signed": "works", "job.failed": "rests",
};

/** Each fact, how long it took until the next, and a bar of that; long idle times are folded. */
function Timeline({ records }) {
  const spans = records.map(({ at }, i) => (records[i + 1]?.at ?? at) - at);
  const most = Math.max(...spans, 0.001);
  const [whole, setWhole] = useState(false);
  return html`<p><button aria-pressed=${whole} onClick=${() => setWhole(!whole)}>
      ${whole ? "Compact" : "Whole facts"}</button></p>
    <ol class="timeline">${records.map(({ seq, at, event }, i) => html`<li key=${seq}>
      <span class="seq">${seq}</span><${Time} at=${at} /><b>${event.type ?? "damaged"}</b>
      <span class="what">${told(event)}</span>
      <span class="track"><span class=${`bar ${PHASES[event.type] ?? ""}`}
        style=${{ width: share(spans[i], most) }}></span></span>
      <small class="took">${i + 1 < records.length && span(spans[i])}</small>
      ${whole && html`<${Json} value=${event} label=${`Fact ${seq}`} />`}
    </li>`)}</ol>`;
}

/** Of a span's bar: by its logarithm, so that milliseconds are seen beside hours. */
function share(seconds, most) {
  return `${Math.round((100 * Math.log1p(seconds * 1000)) / Math.log1p(most * 1000))}%`;
}

function told(event) {
  switch (event.type) {
    case "task.created":
      return `${event.spec.type} from ${event.source ?? "api"}`;
    case "task.routed":
      return `attempt ${event.attempt} to ${event.route.host}`;
    case "job.signed":
      return `claimed by ${event.executor}`;
    case "job.failed":
      return `${event.kind}: ${short(event.message ?? "")}`;
    case "job.done":
      return event.outcome + (event.error ? `: ${short(event.error.message ?? event.error.code)}` : "");
    case "task.asked":
      return short(event.message);
    case "task.answered":
      return `${event.action} by ${event.answered_by ?? ""}`;
    default:
      return event.reason ?? "";
  }
}

function Input({ spec }) {
  if (spec.input_pointer) {
    return html`<p>${size(spec.input_pointer.size)} in the object store, SHA-256 ${spec.input_pointer.sha256}</p>`;
  }
  const text = pretty(spec.input ?? {});
  return html`<pre tabindex="0" aria-label="Input">${short(text, SHOWN_BYTES)}</pre>`;
}

function Result({ task: { id, result } }) {
  const [shown, setShown] = useState(null);
  const [error, setError] = useState(null);
  if (!result) return html`<p>None.</p>`;
  if (result.kind === "inline") return html`<${Value} value=${result.value} />`;
  const load = async () => {
    try {
      const { data, type } = await bytes(`/api/tasks/${encodeURIComponent(id)}/result`);
      const head = new TextDecoder().decode(data.slice(0, SHOWN_BYTES));
      const whole = data.byteLength <= SHOWN_BYTES && type.includes("json");
      setShown({ value: whole ? JSON.parse(head) : head, digest: await sha256(data) });
    } catch (problem) {
      setError(problem);
    }
  };
  const path = `/api/tasks/${encodeURIComponent(id)}/result`;
  return html`<p>${size(result.size)}, ${result.media_type ?? "application/json"},
      <a href=${path} download=${`${id}-result`}>download</a></p>
    <p><small>SHA-256 ${result.sha256}
      ${shown?.digest && (shown.digest === result.sha256 ? " is that of the bytes" : html` <b class="bad"
        >is not that of the bytes: ${shown.digest}</b>`)}</small></p>
    <${Failed} error=${error} />
    ${shown ? html`<${Value} value=${shown.value} />`
      : html`<button onClick=${load}>Show it</button>`}`;
}

/** What a tool answered, in its parts; else JSON. */
function Value({ value }) {
  const parts = Array.isArray(value?.content) ? value.content : null;
  if (typeof value === "string") return html`<pre tabindex="0" aria-label="Result">${value}</pre>`;
  return html`${parts?.map((part) => html`<${Part} part=${part} />`)}
    <details open=${!parts}><summary>JSON</summary><${Json} value=${value} label="Result" /></details>`;
}

const IMAGES = new Set(["image/png", "image/jpeg", "image/gif", "image/webp"]);

function Part({ part }) {
  if (part.type === "text") return html`<pre tabindex="0" aria-label="Text">${short(part.text, SHOWN_BYTES)}</pre>`;
  if (part.type === "image" && IMAGES.has(part.mimeType)) {
    return html`<img alt="What the tool answered" src=${`data:${part.mimeType};base64,${part.data}`} />`;
  }
  return null;
}

async function sha256(data) {
  // Without a secure context the browser has no WebCrypto.
  if (!crypto.subtle) return "";
  const digest = new Uint8Array(await crypto.subtle.digest("SHA-256", data));
  return [...digest].map((byte) => byte.toString(16).padStart(2, "0")).join("");
}
