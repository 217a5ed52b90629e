// Hosts: which there are, how they are, and what they have to do.
import { html } from "../lib.js";
import { own } from "../own.js";
import { href, place, refine } from "../router.js";
import { short } from "../format.js";
import { breakerOf, failed, fitting, hosts, kindOf, load, statusOf, useHosts } from "../hosts.js";
import { Empty, Failed, Status } from "../parts/told.js";

const STATUSES = ["healthy", "warning", "unhealthy", "unknown", "disabled"];
const MOST_WORDS = 6;

export function HostsPage() {
  useHosts();
  const { text = "", status = "", kind = "" } = place.value.query;
  const every = hosts.value ?? [];
  const shown = fitting(every, { text, status, kind });
  const kinds = [...new Set([...every.map(kindOf), ...(kind ? [kind] : [])])].sort();
  return html`<div class="title"><h1>Hosts</h1>
      <nav aria-label="Add hosts"><a class="button yes" href=${href("/hosts/add")}>Add a host</a>
        <a class="button" href=${href(`/hosts/import`)}>Import a client's file</a>
        <a class="button" href=${href("/hosts/discover")}>Find Spaces</a></nav></div>
    <form class="filters" role="search" onSubmit=${(e) => e.preventDefault()}>
      <label>Filter <input data-search value=${text} placeholder="name or tool" spellcheck="false"
        onInput=${(e) => refine({ text: e.target.value })} /></label>
      <label>Status <select onChange=${(e) => refine({ status: e.target.value })}>
        <option value="">all</option>
        ${STATUSES.map((one) => html`<option value=${one} selected=${one === status}>${one}</option>`)}</select></label>
      <label>Kind <select onChange=${(e) => refine({ kind: e.target.value })}>
        <option value="">all</option>
        ${kinds.map((one) => html`<option value=${one} selected=${one === kind}>${one}</option>`)}</select></label>
      <output aria-live="polite">${shown.length} ${shown.length === 1 ? "host" : "hosts"}</output>
    </form>
    <${Failed} error=${failed.value} />
    ${hosts.value?.length === 0 && html`<${Empty}><p>There are no hosts yet.
      <a href=${href("/hosts/add")}> Add one</a>, or <a href=${href(`/hosts/import`)}>take those of another client's file</a>.</p><//>`}
    ${every.length > 0 && !shown.length && html`<${Empty}><p>No host fits. <a href=${href("/hosts")}>See all of them.</a></p><//>`}
    ${shown.length > 0 && html`<div class="hosts"><div class="host heads" aria-hidden="true"><span>Status</span>
        <span>Host</span><span class="kind">Kind</span><span>Calls in flight</span>
        <span class="latency">Latency</span><span>Does</span></div>
      <div role="list" aria-label="Hosts">
        ${shown.map((host) => html`<${Row} key=${host.id} host=${host} />`)}</div></div>`}`;
}

function Row({ host }) {
  const { latency_ms: latency = 0, reason = "" } = host.health;
  const breaker = breakerOf(host), able = abilities(host), tools = host.tools?.length ?? 0;
  return html`<div class="host" role="listitem">
    <span><${Status} word=${statusOf(host)} /></span>
    <span class="who"><a data-row href=${href(`/hosts/${host.id}`)}><b>${short(host.name || host.id, 80)}</b></a>
      ${host.name && host.name !== host.id && html`<small class="id">${host.id}</small>`}</span>
    <span class="kind">${kindOf(host)}</span>
    <${Load} busy=${own(load.value, host.id)} />
    <span class="latency" title="Latency when its health last changed">${latency > 0 ? `${Math.round(latency)} ms` : ""}</span>
    <span class="able">${tools} ${tools === 1 ? "tool" : "tools"}${able.length > 0 && `; ${able.slice(0, MOST_WORDS).join(", ")}`}
      ${able.length > MOST_WORDS && ` and ${able.length - MOST_WORDS} more`}</span>
    ${(breaker || (reason && host.enabled !== false)) && html`<span class="why">${breaker && html`<b class="bad">${breaker}</b> `}
      ${short(reason, 300)}</span>`}
  </div>`;
}

/** What it can be asked for. */
function abilities(host) {
  const names = [...Object.keys(host.task_types ?? {}), ...(host.capabilities ?? []).map((one) => one.name)];
  return [...new Set(names)];
}

/** In flight, of as many as it bears. */
export function Load({ busy }) {
  if (!busy) return html`<span class="load"></span>`;
  const much = busy.running + busy.queued;
  return html`<span class="load" title=${`${busy.running} running, ${busy.queued} on their way`}>
    <meter min="0" max=${busy.most} high=${busy.most * 0.8} value=${much} aria-label="Calls in flight"></meter>
    <small>${much} of ${busy.most} ${busy.most === 1 ? "call" : "calls"}</small></span>`;
}
