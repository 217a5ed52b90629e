// The audit of a task: what this browser has checked itself, and the routes that a router has recomputed.
import { html, useEffect, useState } from "../lib.js";
import { api } from "../api.js";
import { audit, routesCheck } from "../audit/checks.js";
import { place, refine } from "../router.js";
import { Failed } from "./told.js";

/** @param {{id: string, user?: string, last: number}} props `last`: sequence of the newest fact */
export function Audit({ id, user, last }) {
  if (place.value.query.audit !== "yes") {
    return html`<p class="gist"><button onClick=${() => refine({ audit: "yes" })}>Audit this task</button>
      <small>Checks order, outcome, permits and digests in this browser, and has a router recompute the routes.</small></p>`;
  }
  if (!globalThis.crypto?.subtle) {
    return html`<p class="failed">This page came by plain HTTP from another machine: there the browser has no
      WebCrypto, so nothing can be checked here. Open the console by https, or run <code>metamcp audit ${id}</code>.</p>`;
  }
  return html`<${Checked} key=${`${id}/${last}`} id=${id} user=${user} />`;
}

function Checked({ id, user }) {
  const [checks, setChecks] = useState(/** @type {any[] | null} */ (null));
  const [routed, setRouted] = useState(/** @type {any[] | null} */ (null));
  const [error, setError] = useState(/** @type {any} */ (null));
  const [unrouted, setUnrouted] = useState(/** @type {any} */ (null));
  useEffect(() => {
    const asking = new AbortController(), { signal } = asking, path = `/api/tasks/${encodeURIComponent(id)}`;
    const run = async () => {
      const { data } = await api(`${path}/audit`, { query: { user }, signal });
      setChecks(await audit(data));
      return data.records;
    };
    const recompute = async (records) => {
      const { data } = await api(`${path}/recompute`, { query: { user }, signal });
      const given = data.checks.filter(({ name }) => name === "given again");
      setRouted([routesCheck(records, data.routes), ...given]);
    };
    const told = (say) => (problem) => signal.aborted || say(problem);
    run().then((records) => recompute(records).catch(told(setUnrouted)), told(setError));
    return () => asking.abort();
  }, [id, user]);
  const all = [...(checks ?? []), ...(routed ?? [])], failed = all.filter(({ ok }) => !ok);
  return html`<${Failed} error=${error} />
    <p role="status">${verdict(checks, routed, failed, error ?? unrouted)}</p>
    ${checks && html`<ul class="checks" aria-label="Checked in this browser">${checks.map(row)}</ul>`}
    ${routed && html`<h3>By a router</h3><ul class="checks" aria-label="Recomputed by a router">${routed.map(row)}</ul>`}
    <${Failed} error=${unrouted} />`;
}

function row({ name, ok, detail }) {
  return html`<li class=${ok ? "ok" : "wrong"} key=${name}><span class="mark">${ok ? "✓" : "✗"}</span>
    <b>${name}</b><span class="sr">${ok ? "holds" : "does not hold"}</span><span class="what">${detail}</span></li>`;
}

function verdict(checks, routed, failed, error) {
  if (failed.length) {
    return html`<b class="bad">✗ ${failed.map(({ name }) => name).join(", ")}: ${failed.length === 1 ? "this check does" : "these checks do"} not hold.</b>`;
  }
  if (error) return checks ? html`What this browser checked holds. The routes were not recomputed.` : null;
  if (!checks) return "Reading the facts …";
  if (!routed) return "What this browser checked holds. A router recomputes the routes …";
  return html`<b class="good">✓ Every check holds.</b>`;
}
