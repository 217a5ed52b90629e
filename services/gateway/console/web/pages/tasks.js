// Tasks: the live list.
import { html, useEffect, useMemo } from "../lib.js";
import { span } from "../format.js";
import { href, place, refine } from "../router.js";
import { TaskList } from "../tasks.js";
import { Rows } from "../parts/rows.js";
import { Empty, Failed, Status, Time } from "../parts/told.js";

const STATUSES = [
  "pending", "queued", "running", "input_required", "succeeded", "failed", "cancelled",
  "timed_out", "rejected",
];

export function TasksPage() {
  const { status = "", type = "" } = place.value.query;
  const list = useMemo(() => new TaskList({ status, type }), [status, type]);
  useEffect(() => () => list.close(), [list]);
  const rows = list.rows.value;
  return html`<h1>Tasks</h1>
    <form class="filters" role="search" onSubmit=${(event) => event.preventDefault()}>
      <label>Status <select value=${status} onChange=${(e) => refine({ status: e.target.value })}>
        <option value="">all</option>
        ${STATUSES.map((one) => html`<option value=${one}>${one}</option>`)}
      </select></label>
      <label>Type <input data-search value=${type} placeholder="any" spellcheck="false"
        onChange=${(e) => refine({ type: e.target.value.trim() })} /></label>
      <output aria-live="polite">${rows.length}${list.over ? "" : "+"} tasks</output>
    </form>
    <${Failed} error=${list.error.value} />
    ${rows.length === 0 && !list.busy.value && !list.error.value && html`<${Empty}>
      ${status || type ? html`<p>No task fits. <a href=${href("/tasks")}>See all of them.</a></p>` : html`
        <p>There are no tasks yet. Send one:</p>
        <pre>metamcp submit code_analysis --file README.md</pre>`}
    <//>`}
    <${Rows} items=${rows} height=${44} label="Tasks" keyOf=${(task) => task.id}
      onEnd=${() => list.more()} row=${(task) => html`<${Row} task=${task} />`} />`;
}

function Row({ task }) {
  const took = task.done_at ? span(task.done_at - task.created_at) : "";
  return html`<a class="task" data-row href=${href(`/tasks/${task.id}`)}>
    <${Status} word=${task.status} />
    <span class="id">${task.id}</span>
    <span class="type">${task.type}</span>
    <span class="host">${task.host}</span>
    <span class="took">${took}</span>
    <${Time} at=${task.created_at} />
  </a>`;
}
