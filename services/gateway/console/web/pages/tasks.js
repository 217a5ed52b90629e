// Tasks: the live list, its filters, and what is done with many of them.
import { html, useEffect, useMemo } from "../lib.js";
import { api } from "../api.js";
import { span } from "../format.js";
import { filterOf, NAMES } from "../filters.js";
import { Fresh } from "../fresh.js";
import { others, taskHref } from "../links.js";
import { search } from "../query.js";
import { href, place } from "../router.js";
import { me } from "../session.js";
import { tagWords } from "../tags.js";
import { TaskList, keyOf } from "../tasks.js";
import { Bulk, Progress, Selection } from "../parts/bulk.js";
import { Filters } from "../parts/filters.js";
import { Rows } from "../parts/rows.js";
import { Empty, Failed, Status, Time } from "../parts/told.js";

const HIGH = 40;

/** The list of a filter, how many there are in all, and which of them are chosen. */
class Listed {
  constructor(query) {
    const { filter, wrong } = filterOf(query, Date.now() / 1000);
    this.filter = filter;
    this.wrong = wrong;
    this.selection = new Selection();
    this.to = filter.user && others(filter.user) ? "all" : "tasks";
    this.list = new TaskList(filter, { to: this.to });
    const counted = `/api/tasks/counts?${search(filter)}`;
    this.counts = new Fresh(async () => (await api(counted)).data, { to: [this.to] });
  }

  close() {
    this.list.close();
    this.counts.close();
  }
}

export function TasksPage() {
  const { query } = place.value;
  const said = JSON.stringify(NAMES.map((name) => query[name] ?? ""));
  const listed = useMemo(() => new Listed(query), [said]);
  useEffect(() => () => listed.close(), [listed]);
  const { list, filter, selection, wrong } = listed;
  const rows = list.rows.value, counts = listed.counts.data.value;
  const total = list.over ? rows.length : Math.max(counts?.total ?? 0, rows.length);
  const open = list.over ? false : counts?.more ?? true;
  const own = rows.filter((row) => row.user === me.value.user);
  return html`<div class="heading"><h1>Tasks</h1><span class="export">Export:
      ${[["csv", "CSV"], ["jsonl", "JSON lines"]].map(([format, title], at) => html`${at ? ", " : " "}<a download
        href=${`/api/tasks/export?${search({ ...filter, format })}`}>${title}</a>`)}</span></div>
    <${Filters} counts=${counts}><output aria-live="polite">${total}${open ? "+" : ""} tasks</output><//>
    ${wrong.length > 0 && html`<p class="failed" role="alert">Not understood, and left out: ${wrong.join("; ")}</p>`}
    ${query.operation && html`<${Progress} operation=${query.operation} key=${query.operation} />`}
    <${Bulk} selection=${selection} filter=${filter} total=${total} mixed=${Boolean(filter.project)} />
    <${Failed} error=${list.error.value} />
    ${rows.length === 0 && !list.busy.value && !list.error.value && html`<${Nothing} any=${said} />`}
    ${rows.length > 0 && html`<${Head} rows=${own} selection=${selection} />`}
    <${Rows} items=${rows} height=${HIGH} label="Tasks" keyOf=${keyOf} onEnd=${() => list.more()}
      row=${(task) => html`<${Row} task=${task} rows=${own} selection=${selection} />`} />`;
}

function Nothing({ any }) {
  return html`<${Empty}>${/[^[\]",]/.test(any)
    ? html`<p>No task fits. <a href=${href("/tasks")}>See all of them.</a></p>`
    : html`<p>There are no tasks yet. <a href=${href("/submit")}>Send one</a>, or from a terminal:</p>
      <pre>metamcp submit code_analysis --file README.md</pre>`}<//>`;
}

function Head({ rows, selection }) {
  const all = rows.length > 0 && rows.every((row) => selection.has(row));
  return html`<div class="columns"><input type="checkbox" checked=${all}
      aria-label="Choose all that are shown" onChange=${() => (all ? selection.clear() : selection.all(rows))} />
    <div class="cells" aria-hidden="true"><span>Status</span><span class="id">Task</span>
      <span class="type">Type</span><span class="host">Host</span><span class="tags">Tags</span>
      <span class="took">Took</span><time>Created</time></div></div>`;
}

function Row({ task, rows, selection }) {
  const took = task.done_at ? span(task.done_at - task.created_at) : "";
  const tags = Object.entries(task.tags ?? {}).map(([key, value]) => tagWords(key, value));
  const choose = (event) => selection.set(rows, task, event.target.checked, event.shiftKey);
  return html`<div class=${`task ${selection.has(task) ? "on" : ""}`}>
    <input type="checkbox" checked=${selection.has(task)} disabled=${task.user !== me.value.user}
      aria-label=${`Choose ${task.id}`} onClick=${choose} />
    <a class="cells" data-row href=${taskHref(task.id, task.user)}>
    <${Status} word=${task.status} />
    <span class="id">${task.id}</span>
    <span class="type">${task.type}</span>
    <span class="host">${task.host}</span>
    <span class="tags" title=${tags.join(", ") || undefined}>${tags.map((tag) => html`<i key=${tag}>${tag}</i>`)}</span>
    <span class="took">${took}</span>
    <${Time} at=${task.created_at} /></a></div>`;
}
