// Asks: what waits for an answer of yours.
import { html, signal, useEffect, useState } from "../lib.js";
import { api } from "../api.js";
import { short } from "../format.js";
import { taskHref } from "../links.js";
import { href } from "../router.js";
import { stream } from "../stream.js";
import { me } from "../session.js";
import { Empty, Failed, Time } from "../parts/told.js";
import { Form, useForm } from "../parts/form.js";

const asks = signal(/** @type {any[] | null} */ (null));
const failed = signal(/** @type {any} */ (null));
const KINDS = { approval: "Allow a call?", input: "A question" };
const MOST = 200, AGAIN_MS = 500;
let planned = 0;

async function load() {
  planned = 0;
  try {
    asks.value = (await api("/api/asks", { query: { limit: MOST } })).data;
    failed.value = null;
  } catch (error) {
    failed.value = error;
  }
}

/** However many facts there are: once in a while. */
function loadSoon() {
  planned ||= setTimeout(load, AGAIN_MS);
}

export function AsksPage() {
  useEffect(() => {
    load();
    return stream.subscribe({
      to: "tasks", types: ["task.asked", "task.answered", "job.done"], onEvents: loadSoon, onReady: loadSoon,
    });
  }, []);
  const found = asks.value;
  return html`<h1>Asks</h1>
    <${Failed} error=${failed.value} />
    ${found && found.length > 0 && html`<p><output aria-live="polite">${found.length}${found.length >= MOST ? "+" : ""}
      ${" "}${found.length === 1 ? "task waits" : "tasks wait"} for you.</output></p>`}
    ${found?.length === 0 && html`<${Empty}><p>No task asks anything. Questions of hosts and
      calls that a person has to allow wait here.</p><//>`}
    ${found?.map((ask) => html`<article class="card ask" key=${`${ask.user}/${ask.task}/${ask.question.q}`}>
      <p><${Whose} question=${ask.question} /></p>
      <p class="of">Task <a href=${taskHref(ask.task, ask.user)}>${ask.task}</a>${
        ask.user === me.value?.user ? "" : ` of ${ask.user}`}, type ${ask.type}, asked <${Time} at=${ask.question.asked_at} /></p>
      ${ask.input && html`<details><summary>Input</summary><pre tabindex="0" aria-label="Input">${ask.input}</pre></details>`}
      <${Question} task=${ask.task} user=${ask.user} question=${ask.question} onDone=${load} />
    </article>`)}`;
}

/** What kind of question it is, and of which host and tool. */
function Whose({ question: { kind, host, tool, url } }) {
  return html`<b>${url ? "A page to visit" : KINDS[kind] ?? kind}</b> ${host && html`${kind === "approval" ? "At" : `from`} <a
    href=${href(`/hosts/${host}`)}>${host}</a>`}${tool && html`, tool <code>${tool}</code>`}`;
}

/** A question and the ways to answer it. */
export function Question({ task, user, question, onDone }) {
  const [error, setError] = useState(/** @type {any} */ (null));
  const [reason, setReason] = useState("");
  const [sending, setSending] = useState(false);
  const form = useForm(question.schema ?? null);
  const answer = async (/** @type {any} */ event, /** @type {string} */ action) => {
    event.preventDefault();
    if (sending) return;
    setError(null);
    const content = action === "accept" && question.schema ? form.values() : undefined;
    if (content === null) return;
    setSending(true);
    try {
      await api(`/api/tasks/${encodeURIComponent(task)}/answer`, {
        method: "POST", query: { user },
        body: { q: question.q, action, content, reason: action === "accept" ? undefined : reason || undefined },
      });
      onDone?.();
    } catch (problem) {
      if (!form.refuse(problem.message, "content")) setError(problem);
      setSending(false);
    }
  };
  const approval = question.kind === "approval";
  const [yes, no] = approval ? ["Allow", "Refuse"] : [question.url ? "I have been there" : "Answer", "Decline"];
  // Enter in the reason would send the form: allow what is being refused.
  const refuse = (/** @type {any} */ event) => {
    if (event.key === "Enter" && !event.isComposing) answer(event, "decline");
  };
  return html`<form class="question" novalidate onSubmit=${(e) => answer(e, "accept")}>
    <p class="asked">${short(question.message ?? "", 4000)}</p>
    ${question.url && html`<p>It sends you to <b>${hostOf(question.url)}</b>:${" "}${/^https?:/.test(question.url) ? html`<a
      href=${question.url} target="_blank" rel="noreferrer noopener">${short(question.url, 500)}</a>` : short(question.url, 500)}</p>`}
    ${question.schema && html`<${Form} form=${form} />`}
    <${Failed} error=${error} />
    <p class="answers"><button class="yes" disabled=${sending}>${yes}</button>
      <small>answer by <${Time} at=${question.expires} /></small></p>
    <p class="answers"><label>Reason for ${approval ? "refusing" : "declining"} (optional)${" "}<input value=${reason}
        onInput=${(e) => setReason(e.target.value)} onKeyDown=${refuse} /></label>
      <button type="button" disabled=${sending} onClick=${(e) => answer(e, "decline")}>${no}</button></p>
  </form>`;
}

/** Whose page it is: what people should look at first. @param {string} url */
function hostOf(url) {
  try {
    return new URL(url).host;
  } catch {
    return "an address that can't be read";
  }
}
