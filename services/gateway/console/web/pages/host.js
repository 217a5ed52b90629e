// One host: how it is and was, its tools to try, its log, and what may be done with it.
import { html, useEffect, useMemo, useSignal, useState } from "../lib.js";
import { api } from "../api.js";
import { short, span } from "../format.js";
import { own } from "../own.js";
import { go, href } from "../router.js";
import { isAdmin, me } from "../session.js";
import { breakerOf, failed, hosts, kindOf, load, readHosts, statusOf, useHosts } from "../hosts.js";
import { Failed, Json, Status, Time } from "../parts/told.js";
import { Tool } from "../parts/tools.js";
import { Load } from "./hosts.js";

const LOG_LINES = 200, CHANGES = 50, MOST_CHANGES = 500;

export function HostPage({ found: [id] }) {
  useHosts();
  const host = hosts.value?.find((one) => one.id === id);
  if (!host) {
    return html`<h1>${id}</h1><${Failed} error=${failed.value} />
      ${hosts.value && html`<p>There is no such host for you. <a href=${href("/hosts")}>See all.</a></p>`}`;
  }
  const types = Object.entries(host.task_types ?? {});
  return html`<div class="title"><h1>${short(host.name || id, 120)} <${Status} word=${statusOf(host)} /></h1>
      <${Deeds} host=${host} /></div>
    <${Summary} host=${host} />
    <${Link} id=${id} />
    <h2>Health</h2><${History} key=${id} id=${id} now=${host.health} />
    <h2>Tools <small>${host.tools?.length ?? 0}</small></h2>
    ${!host.tools?.length && html`<p>It has said of none.</p>`}
    ${host.tools?.map((tool) => html`<${Tool} key=${tool.name} host=${id} tool=${tool} />`)}
    ${types.length > 0 && html`<h2>Task types</h2>`}
    ${types.map(([name, type]) => html`<details key=${name} class="tool">
      <summary><b>${name}</b> <span class="about">${type.summary}</span></summary>
      <p><a href=${href("/submit", { type: name, host: id })}>Submit one here</a></p>
      <${Json} value=${type.input_schema ?? {}} label=${`Input of ${name}`} /></details>`)}
    ${isAdmin.value && host.endpoint?.kind === "stdio" && html`<h2>Log</h2><${Log} id=${id} />`}
    <details><summary>As it is registered</summary><${Json} value=${host} label="Host" /></details>`;
}

function Summary({ host }) {
  const { health } = host, breaker = breakerOf(host);
  const tools = new Set((host.tools ?? []).map((one) => one.name));
  const able = (host.capabilities ?? []).map((one) => one.name).filter((name) => !tools.has(name));
  const where = host.endpoint?.url || [host.endpoint?.command, ...(host.endpoint?.args ?? [])].filter(Boolean).join(" ");
  return html`<div class="host-page"><dl class="summary">
    ${host.name !== host.id && html`<dt>Id</dt><dd class="id">${host.id}</dd>`}
    <dt>Kind</dt><dd>${kindOf(host)}, set up by ${host.owner || "the operator"}${
      host.source === "manifest" ? " in a manifest" : ""}</dd>
    ${where && html`<dt>${host.endpoint?.url ? "URL" : "Command"}</dt><dd><code>${short(where, 400)}</code></dd>`}
    ${health.reason && html`<dt>Reason</dt><dd>${short(health.reason, 2000)}</dd>`}
    ${health.said && html`<dt>It said</dt><dd><pre tabindex="0" aria-label="What its program said">${short(health.said, 8000)}</pre></dd>`}
    <dt>Circuit breaker</dt><dd>${!breaker ? "closed" : breaker === "calls fail"
      ? html`closed, but <b class="bad">calls fail</b>: see the reason`
      : html`<b class="bad">open</b>, no calls go through: see the reason`}</dd>
    <dt>Load</dt><dd><${Load} busy=${own(load.value, host.id)} /></dd>
    ${health.latency_ms > 0 && html`<dt>Latency</dt><dd>${Math.round(health.latency_ms)} ms when its health last changed</dd>`}
    ${host.server && html`<dt>Server</dt><dd>${short(host.server, 200)}${host.protocol && `, MCP ${host.protocol}`}</dd>`}
    ${able.length > 0 && html`<dt>Capabilities</dt><dd>${able.join(", ")}</dd>`}
  </dl></div>`;
}

/** Who may change it: its owner, and of the operator's the admins. */
function mine(host) {
  return host.owner ? host.owner === me.value?.user || isAdmin.value : isAdmin.value;
}

function Deeds({ host }) {
  const [told, setTold] = useState("");
  const [busy, setBusy] = useState(false);
  const [error, setError] = useState(/** @type {any} */ (null));
  const path = `/api/mcps/${host.id}`;
  const run = async (/** @type {string} */ words, /** @type {() => Promise<any>} */ deed) => {
    setError(null);
    setBusy(true);
    setTold(`${words} …`);
    try {
      setTold(await deed() ?? "");
      await readHosts();
    } catch (problem) {
      setTold("");
      setError(problem);
    } finally {
      setBusy(false);
    }
  };
  const probe = () => run("It is probed", async () => {
    const { data } = await api(`${path}/probe`, { method: "POST" });
    return `${data.status}${data.reason ? `: ${data.reason}` : ""}, ${Math.round(data.latency_ms)} ms`;
  });
  const turn = (/** @type {string} */ verb) => run("One moment", async () => (
    (await api(`${path}/${verb}`, { method: "POST" })).message));
  const remove = () => {
    if (!confirm(`Take ${host.id} away? What runs there goes to another host, or ends.`)) return;
    run("It is taken away", async () => {
      await api(path, { method: "DELETE" });
      go("/hosts");
    });
  };
  return html`<div class="deeds"><button disabled=${busy} onClick=${probe}>Probe now</button>
      ${mine(host) && html`
        ${host.enabled === false ? html`<button disabled=${busy} onClick=${() => turn("enable")}>Enable</button>`
          : html`<button disabled=${busy} onClick=${() => turn("disable")}>Disable</button>`}
        ${host.source === "command" && html`<a class="button" href=${href("/hosts/add", { change: host.id })}>Change</a>
          <button class="no" disabled=${busy} onClick=${remove}>Remove</button>`}`}
    </div><output class="told" aria-live="polite">${short(told, 1000)}</output><${Failed} error=${error} />`;
}

/** Signing in at a host that asks for OAuth; of others the gateway says so. */
function Link({ id }) {
  const link = useSignal(/** @type {any} */ (null)), begun = useSignal(""), open = useSignal(false);
  const error = useSignal(/** @type {any} */ (null));
  const read = async () => {
    try {
      const before = link.value?.linked_at;
      link.value = (await api(`/api/mcps/${id}/link`)).data;
      if (link.value.linked_at !== before) begun.value = "";
    } catch (problem) {
      error.value = problem;
    }
  };
  const host = hosts.value?.find((one) => one.id === id);
  // Who has signed in, in another window, is soon known by the next probe.
  useEffect(() => void read(), [id, host?.health.checked_at]);
  const asks = link.value?.linked || link.value?.broken || /sign|oauth|auth|401/i.test(host?.health.reason ?? "");
  useEffect(() => {
    if (asks) open.value = true;
  }, [Boolean(asks)]);
  if (host?.endpoint?.kind !== "http" || !link.value) return null;
  const change = (/** @type {string} */ method) => async () => {
    error.value = null;
    try {
      const { data } = await api(`/api/mcps/${id}/link`, { method, body: method === "POST" ? {} : undefined });
      begun.value = data.authorize_url ?? "";
      if (method === "DELETE") await read();
    } catch (problem) {
      error.value = problem;
    }
  };
  const { linked, linked_at: at, issuer, broken } = link.value;
  // What comes and goes stands last: it must not come to be where somebody is about to click.
  return html`<details class="link" open=${open.value} onToggle=${(e) => {
    open.value = e.target.open;
  }}><summary>Sign-in at this host: ${linked ? "signed in" : broken ? "no more" : "not signed in"}</summary>
    ${linked && html`<p>You are signed in since <${Time} at=${at} /> by ${issuer}.</p>`}
    ${broken && html`<p class="bad">${broken}</p>`}
    ${!linked && html`<p>A host that asks for OAuth is called as you once you have signed in there.</p>`}
    <p class="buttons"><button class="quiet" onClick=${read}>Look again</button>
      <button onClick=${change("POST")}>${linked ? "Sign in anew" : "Sign in"}</button>
      ${(linked || broken) && html`<button onClick=${change("DELETE")}>Forget it</button>`}</p>
    ${/^https?:/.test(begun.value) && URL.canParse(begun.value) && html`<p>Go on there: <a href=${begun.value} target="_blank" rel="noreferrer noopener">${new URL(begun.value).host}</a></p>`}
    <${Failed} error=${error.value} /></details>`;
}

/** The changes of its health, newest first, as a strip and as a list. */
function History({ id, now }) {
  const changes = useSignal(/** @type {any[]} */ ([])), more = useSignal(/** @type {any} */ (null));
  const error = useSignal(/** @type {any} */ (null));
  const read = async (/** @type {any} */ cursor) => {
    try {
      const page = await api(`/api/mcps/${id}/history`, { query: { limit: CHANGES, cursor } });
      changes.value = cursor ? [...changes.value, ...page.data] : page.data;
      more.value = page.next_cursor;
    } catch (problem) {
      error.value = problem;
    }
  };
  useEffect(() => void read(undefined), [id, now.checked_at]);
  const found = changes.value;
  if (!found.length) return html`<p>It has not been probed yet.</p><${Failed} error=${error.value} />`;
  return html`<${Strip} changes=${found} />
    <details><summary>History: ${found.length}${more.value ? "+" : ""} ${found.length === 1 ? "state" : "states"}</summary>
      <ol class="changes">${found.map((one, at) => html`<li key=${one.k}><${Time} at=${one.at} />
        <${Status} word=${one.status} /> <small>${at ? `for ${span(found[at - 1].at - one.at)}` : "until now"}</small>
        <span>${short(one.reason, 600)}</span>
        ${one.said && html`<pre tabindex="0" aria-label="What its program said">${short(one.said, 8000)}</pre>`}</li>`)}</ol>
      ${more.value && found.length < MOST_CHANGES && html`<button onClick=${() => read(more.value)}>Earlier ones</button>`}
    </details><${Failed} error=${error.value} />`;
}

const WIDE = 1000;

/** Time from left to right; how long each state lasted is its width. */
function Strip({ changes }) {
  const end = useMemo(() => Date.now() / 1000, [changes]);
  const oldest = changes[changes.length - 1].at, all = Math.max(1, end - oldest);
  const x = (/** @type {number} */ at) => (WIDE * Math.min(all, Math.max(0, at - oldest))) / all;
  return html`<figure class="strip"><svg viewBox="0 0 ${WIDE} 28" preserveAspectRatio="none" role="img"
      aria-label=${`Health of the last ${span(all)}: ${changes.length} ${changes.length === 1 ? "state" : "states"}, now ${changes[0].status}`}>
      ${changes.map((one, i) => html`<rect key=${one.k} class=${one.status} x=${x(one.at)} y="0" height="28"
        width=${Math.max(1, x(i ? changes[i - 1].at : end) - x(one.at))}><title>${one.status} ${short(one.reason, 200)}</title></rect>`)}
    </svg><figcaption><${Time} at=${oldest} /><span>now</span></figcaption></figure>`;
}

function Log({ id }) {
  const logs = useSignal(/** @type {any[] | null} */ (null)), error = useSignal(/** @type {any} */ (null));
  const read = async () => {
    try {
      error.value = null;
      logs.value = (await api(`/api/mcps/${id}/log`, { query: { lines: LOG_LINES } })).data;
    } catch (problem) {
      error.value = problem;
    }
  };
  return html`<p><button onClick=${read}>${logs.value ? "Read it again" : `Show its last ${LOG_LINES} lines`}</button></p>
    <${Failed} error=${error.value} />
    ${logs.value?.map((one) => html`<h3>${one.instance}</h3><pre tabindex="0"
      aria-label=${`Log at ${one.instance}`}>${one.lines.map((line) => short(line, 2000)).join("\n")}</pre>`)}`;
}
