// One task: its status, when what happened, why it went where it did, what went in and what came out,
// whether the log proves it; and to run it again.
import { Fragment, html, signal, useEffect, useMemo, useState } from "../lib.js";
import { AGAIN_MS, api, passes } from "../api.js";
import { fold, OVER } from "../fold.js";
import { short, span } from "../format.js";
import { others, taskHref } from "../links.js";
import { href, place } from "../router.js";
import { me } from "../session.js";
import { stream } from "../stream.js";
import { Again } from "../parts/again.js";
import { Audit } from "../parts/audit.js";
import { Asker, Facts, failure } from "../parts/facts.js";
import { Input, Result } from "../parts/preview.js";
import { Tags } from "../parts/tagging.js";
import { Timeline } from "../parts/timeline.js";
import { Failed, Status, Time } from "../parts/told.js";
import { Why } from "../parts/why.js";
import { Question } from "./asks.js";

class Story {
  /** @param {string} id @param {string | undefined} user whose it is, if not one's own */
  constructor(id, user) {
    this.id = id;
    this.user = user;
    this.records = signal(/** @type {FactRecord[]} */ ([]));
    this.progress = signal(/** @type {any} */ (null));
    this.error = signal(/** @type {any} */ (null));
    this.stop = () => {};
    this.closed = false;
    this.timer = 0;
    this.load();
  }

  async load() {
    try {
      const { data } = await api(`/api/tasks/${encodeURIComponent(this.id)}/events`, { query: { user: this.user } });
      this.records.value = data;
      this.error.value = null;
      const after = data.length ? data[data.length - 1].seq : "start";
      // The websocket follows one's own tasks only.
      if (!this.closed && !this.user) this.follow(after);
    } catch (error) {
      this.error.value = error;
      if (!this.closed && passes(error)) this.timer = setTimeout(() => this.load(), AGAIN_MS);
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
    clearTimeout(this.timer);
    this.stop();
  }
}

export function TaskPage({ found: [id] }) {
  const given = place.value.query.user;
  const user = given && given !== me.value.user ? given : undefined;
  const story = useMemo(() => new Story(id, user), [id, user]);
  useEffect(() => () => story.close(), [story]);
  const [again, setAgain] = useState(false);
  const records = story.records.value;
  const task = fold(records);
  if (!task) return html`<h1 class="id">${id}</h1><${Failed} error=${story.error.value} />`;
  const over = OVER.has(task.status), progress = over ? null : story.progress.value;
  // Before it has a host, what it waits for is told like progress.
  const waiting = task.waiting || (progress?.attempt === 0 && progress.message?.replace(/^waiting: /, "")) || "";
  return html`<div class="taskpage"><h1 class="id">${id} <${Status} word=${task.status} /></h1>
    <${Failed} error=${story.error.value} />
    <p class="acts">
      ${!over && !user && html`<${Cancel} task=${task} />`}
      ${!user && html`<button aria-expanded=${again} onClick=${() => setAgain(!again)}>Run again …</button>`}
      ${user && html`<button onClick=${() => story.load()}>Read anew</button><small>Of ${user}: it is not followed here.</small>`}
    </p>
    ${again && html`<${Again} task=${task} onClose=${() => setAgain(false)} />`}
    ${task.question && html`<section class="card"><h2>It asks</h2>
      <${Question} task=${task.id} user=${task.user} question=${task.question} /></section>`}
    <${Summary} task=${task} user=${user} waiting=${waiting} progress=${progress?.attempt ? progress : null} />
    <section><h2>Timeline</h2><${Timeline} records=${records} over=${over} /></section>
    <section><h2>Result</h2><${Result} task=${task} user=${user} /></section>
    <section><h2>Input</h2><${Input} spec=${task.spec} /></section>
    <section><h2>Why</h2><${Why} records=${records} waiting=${waiting} /></section>
    <section><h2>Audit</h2><${Audit} id=${id} user=${user} last=${task.seq} /></section>
    <section><h2>Facts</h2><${Facts} records=${records} /></section></div>`;
}

function Summary({ task, user, waiting, progress }) {
  const over = OVER.has(task.status), { spec } = task;
  const facts = [
    ["Type", task.type],
    ["Created", html`<${Time} at=${task.created_at} /> by ${task.user}${task.asked_by && html`, <${Asker} by=${task.asked_by} />`}`],
    task.project && ["Project", html`<a href=${href("/tasks", { project: task.project })}>${task.project}</a>`],
    task.batch && ["Batch", html`<a href=${href("/tasks", { batch: task.batch, user: others(task.user) })}>${task.batch}</a>`],
    task.again && ["Again", html`<a href=${taskHref(task.again, task.user)}>${task.again}</a> was run again`],
    task.host && ["Host", html`<a href=${href(`/hosts/${task.host}`)}>${task.host}</a>${task.attempt > 1 && `, attempt ${task.attempt}`}`],
    spec.priority && spec.priority !== "normal" && ["Priority", spec.priority],
    task.done_at && ["Took", span(task.done_at - task.created_at)],
    !over && waiting && ["Waits for", waiting],
    progress && ["Progress", html`<${Progress} frame=${progress} />`],
    task.error && ["Error", html`<span class="bad" title=${task.error.code}>${failure(task.error)}</span>`],
    // Who asks has not failed.
    !over && task.last_failure && task.last_failure.code !== "input_required"
      && ["Last attempt", html`<span class="bad" title=${task.last_failure.code}>${failure(task.last_failure)}</span>`],
    ...(task.remarks ?? []).map((one) => ["Remark", one]),
    task.from && ["Given again", task.from === "-" ? "from a task of somebody else"
      : html`from <a href=${taskHref(task.from, task.user)}>${task.from}</a>`],
    ["Tags", html`<${Tags} task=${task} own=${!user} />`],
  ].filter(Boolean);
  // By their names: what is being written into one must not go when another comes before it.
  return html`<dl class="summary">${facts.map(([name, value]) => html`<${Fragment} key=${name === "Remark" ? `${name} ${value}` : name}>
      <dt>${name}</dt><dd>${value}</dd><//>`)}
    <${Trace} id=${task.id} user=${user} /></dl>`;
}

function Progress({ frame }) {
  const { progress, total, message } = frame;
  return html`${total ? html`<progress value=${progress} max=${total} aria-label="Progress" />
    ${` ${Math.round((100 * progress) / total)} %`}` : progress} ${short(message ?? "")}`;
}

/** Where the task stands in the traces of whoever sent it. */
function Trace({ id, user }) {
  const [trace, setTrace] = useState(/** @type {any} */ (null));
  useEffect(() => {
    const asking = new AbortController();
    api(`/api/tasks/${encodeURIComponent(id)}/trace`, { query: { user }, signal: asking.signal })
      .then(({ data }) => setTrace(data)).catch(() => setTrace(null));
    return () => asking.abort();
  }, [id, user]);
  if (!trace?.trace_id) return null;
  return html`<dt>Trace</dt><dd>${trace.url
    ? html`<a href=${trace.url} target="_blank" rel="noreferrer noopener">${trace.trace_id}</a>`
    : html`<code>${trace.trace_id}</code> <${Copy} text=${trace.trace_id} />`}</dd>`;
}

function Copy({ text }) {
  const [copied, setCopied] = useState(false);
  if (!navigator.clipboard) return null;
  const copy = () => navigator.clipboard.writeText(text).then(() => setCopied(true), () => setCopied(false));
  return html`<button class="quiet" onClick=${copy}>${copied ? "Copied" : "Copy"}</button>`;
}

function Cancel({ task }) {
  const [error, setError] = useState(/** @type {any} */ (null));
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
