// Asks: what waits for an answer of yours.
import { html, signal, useEffect, useState } from "../lib.js";
import { api } from "../api.js";
import { href } from "../router.js";
import { stream } from "../stream.js";
import { Empty, Failed, Time } from "../parts/told.js";
import { Form, valuesOf } from "../parts/form.js";

const asks = signal(null);
const failed = signal(null);

async function load() {
  try {
    asks.value = (await api("/api/asks", { query: { limit: 200 } })).data;
    failed.value = null;
  } catch (error) {
    failed.value = error;
  }
}

export function AsksPage() {
  useEffect(() => {
    load();
    return stream.subscribe({
      to: "tasks", types: ["task.asked", "task.answered", "job.done"], onEvents: load, onReady: load,
    });
  }, []);
  return html`<h1>Asks</h1>
    <${Failed} error=${failed.value} />
    ${asks.value?.length === 0 && html`<${Empty}><p>No task asks anything. Questions of hosts and
      calls that a person has to allow wait here.</p><//>`}
    ${asks.value?.map((ask) => html`<article class="card" key=${`${ask.user}/${ask.task}`}>
      <p><a href=${href(`/tasks/${ask.task}`)}>${ask.task}</a> of ${ask.user}, ${ask.type},
        asked <${Time} at=${ask.question.asked_at} /></p>
      ${ask.input && html`<pre tabindex="0" aria-label="Input">${ask.input}</pre>`}
      <${Question} task=${ask.task} user=${ask.user} question=${ask.question} onDone=${load} />
    </article>`)}`;
}

/** A question and the ways to answer it. */
export function Question({ task, user, question, onDone }) {
  const [error, setError] = useState(null);
  const [reason, setReason] = useState("");
  const answer = async (event, action) => {
    event.preventDefault();
    const form = event.target.closest("form");
    const body = { q: question.q, action };
    if (action !== "accept" && reason) body.reason = reason;
    try {
      if (action === "accept" && question.schema) body.content = valuesOf(form, question.schema);
      await api(`/api/tasks/${encodeURIComponent(task)}/answer`, { method: "POST", query: { user }, body });
      onDone?.();
    } catch (problem) {
      setError(problem);
    }
  };
  const approval = question.kind === "approval";
  return html`<form class="question" onSubmit=${(event) => answer(event, "accept")}>
    <p class="asked">${question.message}</p>
    ${question.url && html`<p><a href=${question.url} target="_blank" rel="noreferrer noopener"
      >${question.url}</a></p>`}
    ${question.schema && html`<${Form} schema=${question.schema} />`}
    <${Failed} error=${error} />
    <label>Why not <input value=${reason} onInput=${(e) => setReason(e.target.value)} /></label>
    <button class="yes">${approval ? "Allow" : "Answer"}</button>
    <button type="button" onClick=${(e) => answer(e, "decline")}>${approval ? "Refuse" : "Decline"}</button>
    <small>until <${Time} at=${question.expires} /></small>
  </form>`;
}
