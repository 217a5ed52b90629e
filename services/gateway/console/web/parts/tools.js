// A tool of a host: what it says of itself, a form to try it, and what came of the call, live.
import { html, signal, useEffect, useMemo, useState } from "../lib.js";
import { api } from "../api.js";
import { fold, OVER } from "../fold.js";
import { short, span } from "../format.js";
import { href } from "../router.js";
import { stream } from "../stream.js";
import { Failed, Json, Status } from "./told.js";
import { Form, useForm } from "./form.js";

const MOST_TEXT = 64 * 1024;
const HINTS = [["read_only", "read-only"], ["destructive", "may destroy"], ["idempotent", "may be repeated"],
  ["open_world", "reaches out"]];

/** @param {{host: string, tool: any, open?: boolean}} props */
export function Tool({ host, tool, open }) {
  const [shown, setShown] = useState(open ?? false);
  return html`<details class="tool" open=${shown} onToggle=${(e) => setShown(e.target.open)}>
    <summary><b>${tool.title || tool.name}</b> ${tool.title && html`<code>${tool.name}</code> `}
      ${HINTS.map(([hint, word]) => tool[hint] === true && html`<span class="hint">${word}</span> `)}
      <span class="about">${short((tool.description ?? "").split("\n")[0], 160)}</span></summary>
    ${shown && html`<${Trying} host=${host} tool=${tool} />`}
  </details>`;
}

function Trying({ host, tool }) {
  const schema = tool.input_schema ?? {};
  const form = useForm(schema);
  const [task, setTask] = useState("");
  const [error, setError] = useState(/** @type {any} */ (null));
  const call = async (/** @type {any} */ event) => {
    event.preventDefault();
    setError(null);
    const values = form.values();
    if (values === null) return;
    try {
      const body = { type: "mcp.call", host, input: { tool: tool.name, arguments: values } };
      setTask((await api("/api/tasks", { method: "POST", body })).data.id);
    } catch (problem) {
      if (!form.refuse(problem.message, "input.arguments")) setError(problem);
    }
  };
  return html`<p class="text">${short(tool.description ?? "", MOST_TEXT)}</p>
    <form onSubmit=${call} novalidate>
      <${Form} form=${form} />
      <${Failed} error=${error} />
      <p><button class="yes">Call it</button> <small>A call is a task like any other.</small></p>
    </form>
    ${task && html`<${Outcome} key=${task} id=${task} onMisfit=${(/** @type {string} */ message) => form.refuse(message, "arguments")} />`}
    <details><summary>Schemas</summary><${Json} value=${schema} label="Schema of the input" />
      ${tool.output_schema && html`<${Json} value=${tool.output_schema} label="Schema of the answer" />`}</details>`;
}

/** The facts of one task, folded as they come. */
class Following {
  constructor(id) {
    this.task = signal(/** @type {any} */ (null));
    this.progress = signal(/** @type {any} */ (null));
    this.error = signal(/** @type {any} */ (null));
    this.records = [];
    this.stop = stream.subscribe({
      to: "task", task: id, after: "start",
      onEvents: (events) => this.heard(events),
      onProgress: (frame) => {
        if (frame.task === id) this.progress.value = frame;
      },
      onLost: () => {
        this.records = [];
      },
      onRefused: (error) => {
        this.error.value = error;
      },
    });
  }

  heard(events) {
    const last = this.records.at(-1)?.seq ?? 0;
    this.records.push(...events.filter((one) => one.seq > last));
    this.task.value = fold(this.records);
  }
}

/** How a task goes, in a few lines, and what it answered. @param {{id: string, onMisfit?: (message: string) => void}} props */
export function Outcome({ id, onMisfit }) {
  const following = useMemo(() => new Following(id), [id]);
  useEffect(() => () => following.stop(), [following]);
  const task = following.task.value, progress = following.progress.value;
  const over = task !== null && OVER.has(task.status);
  useEffect(() => {
    if (task?.error) onMisfit?.(task.error.message ?? "");
  }, [over]);
  return html`<section class="outcome" aria-live="polite">
    <p><${Status} word=${task?.status ?? "pending"} /> <a href=${href(`/tasks/${id}`)}>${id}</a>
      ${over && html` <small>${span(task.done_at - task.created_at)} on ${task.host}</small>`}
      ${!over && progress && html` <small>${progress.progress}${progress.total ? ` of ${progress.total}` : ""}
        ${" "}${short(progress.message ?? "")}</small>`}</p>
    <${Failed} error=${following.error.value} />
    ${task?.waiting && html`<p>It waits for ${task.waiting}</p>`}
    ${task?.question && html`<p><a href=${href(`/tasks/${id}`)}>It asks: answer it there.</a></p>`}
    ${task?.error && html`<p class="bad">${task.error.code}: ${short(task.error.message ?? "", 2000)}</p>`}
    ${over && task.result && html`<${Answer} id=${id} result=${task.result} />`}
  </section>`;
}

const IMAGES = new Set(["image/png", "image/jpeg", "image/gif", "image/webp"]);

function Answer({ id, result }) {
  if (result.kind !== "inline") {
    return html`<p>It is big: <a href=${href(`/tasks/${id}`)}>see it on the task's page</a>.</p>`;
  }
  const { value } = result;
  const parts = Array.isArray(value?.content) ? value.content : null;
  if (typeof value === "string") return html`<pre tabindex="0" aria-label="Answer">${short(value, MOST_TEXT)}</pre>`;
  return html`${parts?.map((part) => html`<${Part} part=${part} />`)}
    <details open=${!parts}><summary>JSON</summary><${Json} value=${value} label="Answer" /></details>`;
}

function Part({ part }) {
  if (part.type === "text") return html`<pre tabindex="0" aria-label="Answer">${short(part.text ?? "", MOST_TEXT)}</pre>`;
  if (part.type === "image" && IMAGES.has(part.mimeType)) {
    return html`<img alt="What the tool answered" src=${`data:${part.mimeType};base64,${part.data}`} />`;
  }
  return null;
}
