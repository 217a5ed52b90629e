// Queue: who waits for what, and who works.
import { html, signal, useEffect, useMemo } from "../lib.js";
import { api } from "../api.js";
import { span } from "../format.js";
import { Fresh } from "../fresh.js";
import { taskHref } from "../links.js";
import { href, place, refine } from "../router.js";
import { isAdmin, isAuditor } from "../session.js";
import { waitWords } from "../waits.js";
import { Load } from "../parts/plot.js";
import { Empty, Failed, Time } from "../parts/told.js";

const PAGE = 100;
/** Pages that one reads again at once: the queue has positions for no more tasks. */
const MOST_PAGES = 20;

/** The queue as far as the reader has gone into it, read anew from its head. */
class QueueList {
  constructor(user) {
    this.pages = 1;
    this.more = signal(false);
    this.fresh = new Fresh(() => this.read(user), {
      to: [isAuditor.value ? "all" : "tasks"], minutes: true,
    });
  }

  async read(user) {
    /** @type {any} */
    let all = null, cursor = null;
    for (let page = 0; page < this.pages; page++) {
      const { data } = await api("/api/queue", { query: { user, limit: PAGE, cursor } });
      all = all ? { ...data, tasks: [...all.tasks, ...data.tasks] } : data;
      cursor = data.next_cursor;
      if (cursor === null) break;
    }
    this.more.value = cursor !== null && this.pages < MOST_PAGES;
    return all;
  }

  further() {
    this.pages += 1;
    this.fresh.now();
  }
}

export function QueuePage() {
  const { user = "" } = place.value.query;
  const queue = useMemo(() => new QueueList(user), [user]);
  const workers = useMemo(() => new Fresh(async () => (await api("/api/workers")).data, {
    to: [isAuditor.value ? "all" : "tasks"], minutes: true,
  }), []);
  useEffect(() => () => queue.fresh.close(), [queue]);
  useEffect(() => () => workers.close(), [workers]);
  const seen = queue.fresh.data.value, every = isAdmin.value || isAuditor.value;
  return html`<h1>Queue</h1>
    ${every && html`<form class="filters" role="search" onSubmit=${(event) => event.preventDefault()}>
      <label>User <input data-search value=${user} placeholder="everybody" spellcheck="false"
        onChange=${(e) => refine({ user: e.target.value.trim() })} /></label></form>`}
    <${Failed} error=${queue.fresh.error.value} />
    ${seen && html`<div class="panels">
      <section class="panel"><h2>In the order in which they are served
        <small>${seen.waiting === seen.every ? `${seen.every} waiting`
          : `${seen.waiting} of ${seen.every} waiting`}</small></h2>
        ${!seen.tasks.length && html`<${Empty}><p>${seen.waiting
          ? "These wait too far behind to have a position yet." : "Nothing waits for a host."}</p><//>`}
        ${seen.tasks.length > 0 && html`<${Waiting} seen=${seen} every=${every} />`}
        ${queue.more.value && html`<button onClick=${() => queue.further()}>Show more</button>`}
      </section>
      <section class="panel"><h2>Waiting for</h2>
        ${!seen.waits.length && html`<p class="quiet">Nothing.</p>`}
        <${Waits} waits=${seen.waits} /></section>
    </div>`}
    <${Failed} error=${workers.error.value} />
    ${workers.data.value && html`<${Workers} seen=${workers.data.value} queue=${seen} />`}`;
}

/** How many tasks wait for what. @param {{waits: any[]}} props */
export function Waits({ waits }) {
  return html`<ul class="counts">${waits.map((wait) => html`<li><b>${wait.count}</b>
    ${wait.reason === "answer" ? html`<a href=${href("/asks")}>${waitWords(wait)}</a>`
      : html`<span>${waitWords(wait)}</span>`}</li>`)}</ul>`;
}

/** In narrow windows a line under the task's id says what the spare columns do. */
function Waiting({ seen, every }) {
  const spare = ["Type", "Priority", "Waits for"];
  return html`<div class="across"><table class="line"><thead><tr><th scope="col" class="num">Place</th>
    <th scope="col">Task</th>${(every ? ["User", ...spare] : spare).map((head) => html`<th scope="col"
      class="spare">${head}</th>`)}<th scope="col">Since</th></tr></thead>
    <tbody>${seen.tasks.map((one) => html`<tr key=${`${one.user}.${one.task}`}>
      <td class="num">${one.position}</td>
      <td class="what"><a data-row class="id" href=${taskHref(one.task, one.user)}>${one.task}</a>
        <small class="brief">${one.type}, ${one.priority}${every && `, of ${one.user}`}: waits for ${waitWords(one)}</small></td>
      ${(every ? [one.user, ...told(one)] : told(one)).map((text) => html`<td class="spare">${text}</td>`)}
      <td><${Time} at=${one.since} /></td></tr>`)}</tbody></table></div>`;
}

/** What stands in the spare columns. @param {any} one */
function told(one) {
  return [one.type, one.priority, waitWords(one)];
}

function Workers({ seen: { executors, routers }, queue }) {
  return html`<div class="panels even"><section class="panel"><h2>Executors
      ${queue && html`<small>${queue.in_flight}${
        queue.slots === null ? " in flight" : ` of ${queue.slots} slots in use`}</small>`}</h2>
    ${!executors.length && html`<${Empty}><p>No executor has been heard of: tasks wait until one is.
      See <code>metamcp doctor</code>.</p><//>`}
    <ul class="loads">${executors.map((one) => html`<li key=${one.instance}><b>${one.instance}</b>
      <span class=${`status ${one.alive ? "healthy" : "unhealthy"}`}>${
        one.alive ? "beating" : `silent ${span(one.silent_s)}`}</span>
      <${Load} of=${one.busy} most=${one.slots} label=${`Slots of ${one.instance}`} />
      <span class="num">${one.busy} of ${one.slots || "?"} slots</span></li>`)}</ul></section>
    <section class="panel"><h2>Routers</h2>
    ${!routers.length && html`<${Empty}><p>No router answers: nothing leaves the queue.
      See <code>metamcp doctor</code>.</p><//>`}
    <ul class="loads">${routers.map((one) => html`<li key=${one.instance}><b>${one.instance}</b>
      <span class=${`status ${one.active ? "healthy" : ""}`}>${one.active ? "active" : "stands by"}</span>
      <span>term ${one.term}</span><span class="num">read up to fact ${one.position}</span></li>`)}</ul></section></div>`;
}
