// Hosts: how they are, and what they offer.
import { html, signal, useEffect, useState } from "../lib.js";
import { api } from "../api.js";
import { href, place, refine } from "../router.js";
import { stream } from "../stream.js";
import { Empty, Failed, Json, Status } from "../parts/told.js";
import { Form, valuesOf } from "../parts/form.js";
import { go } from "../router.js";

const hosts = signal(null);
const failed = signal(null);

async function load() {
  try {
    hosts.value = (await api("/api/mcps")).data;
    failed.value = null;
  } catch (error) {
    failed.value = error;
  }
}

function useHosts() {
  useEffect(() => {
    load();
    return stream.subscribe({ to: "hosts", onEvents: load, onReady: load });
  }, []);
}

export function HostsPage() {
  useHosts();
  const { text = "" } = place.value.query;
  const wanted = text.toLowerCase();
  const shown = (hosts.value ?? []).filter((host) => words(host).includes(wanted));
  return html`<h1>Hosts</h1>
    <form class="filters" role="search" onSubmit=${(event) => event.preventDefault()}>
      <label>Text <input data-search value=${text} placeholder="name or tool" spellcheck="false"
        onInput=${(e) => refine({ text: e.target.value })} /></label>
      <output aria-live="polite">${shown.length} hosts</output>
    </form>
    <${Failed} error=${failed.value} />
    ${hosts.value?.length === 0 && html`<${Empty}><p>There are no hosts yet. Add one:</p>
      <pre>metamcp hosts add NAME --url https://…</pre><//>`}
    <ul class="cards">${shown.map((host) => html`<li class="card" key=${host.id}>
      <a data-row href=${href(`/hosts/${host.id}`)}><b>${host.name ?? host.id}</b></a>
      <${Status} word=${host.enabled === false ? "disabled" : host.health.status} />
      <p>${host.health.reason}</p>
      <small>${host.tools?.length ?? 0} tools, ${Object.keys(host.task_types ?? {}).length} task types</small>
    </li>`)}</ul>`;
}

function words(host) {
  const tools = (host.tools ?? []).map((tool) => tool.name).join(" ");
  return `${host.id} ${host.name ?? ""} ${tools}`.toLowerCase();
}

export function HostPage({ found: [id] }) {
  useHosts();
  const host = hosts.value?.find((one) => one.id === id);
  if (!host) {
    return html`<h1>${id}</h1><${Failed} error=${failed.value} />
      ${hosts.value && html`<p>There is no such host for you. <a href=${href("/hosts")}>See all.</a></p>`}`;
  }
  return html`<h1>${host.name ?? id} <${Status} word=${host.health.status} /></h1>
    ${host.health.reason && html`<p>${host.health.reason}</p>`}
    <${Probe} id=${id} />
    <h2>Tools</h2>
    ${!host.tools?.length && html`<p>It has said of none.</p>`}
    ${host.tools?.map((tool) => html`<${Tool} key=${tool.name} host=${id} tool=${tool} />`)}
    ${Object.keys(host.task_types ?? {}).length > 0 && html`<h2>Task types</h2>`}
    ${Object.entries(host.task_types ?? {}).map(([name, type]) => html`<details key=${name}>
      <summary><b>${name}</b> ${type.summary}</summary>
      <${Json} value=${type.input_schema ?? {}} label=${`Input of ${name}`} /></details>`)}
    <details><summary>As it is registered</summary><${Json} value=${host} label="Host" /></details>`;
}

function Probe({ id }) {
  const [told, setTold] = useState(null);
  const [error, setError] = useState(null);
  const probe = async () => {
    try {
      setError(null);
      setTold("…");
      setTold((await api(`/api/mcps/${id}/probe`, { method: "POST" })).message);
    } catch (problem) {
      setTold(null);
      setError(problem);
    }
  };
  return html`<p><button onClick=${probe}>Probe it now</button> <output>${told}</output></p>
    <${Failed} error=${error} />`;
}

/** A tool and a form to try it: a call is a task like any other. */
function Tool({ host, tool }) {
  const [error, setError] = useState(null);
  const call = async (event) => {
    event.preventDefault();
    try {
      const values = valuesOf(event.target, tool.input_schema ?? {});
      const body = { type: "mcp.call", host, input: { tool: tool.name, arguments: values } };
      const { data } = await api("/api/tasks", { method: "POST", body });
      go(`/tasks/${data.id}`);
    } catch (problem) {
      setError(problem);
    }
  };
  return html`<details class="tool"><summary><b>${tool.title || tool.name}</b>
      ${" "}${(tool.description ?? "").split("\n")[0]}</summary>
    <p class="text">${tool.description}</p>
    <form onSubmit=${call}>
      <${Form} schema=${tool.input_schema ?? {}} />
      <${Failed} error=${error} />
      <button class="yes">Call it</button>
    </form>
    <details><summary>Schema</summary><${Json} value=${tool.input_schema ?? {}} label="Schema" /></details>
  </details>`;
}
