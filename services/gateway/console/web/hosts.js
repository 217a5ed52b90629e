// The hosts one may use, as they are now: read once, and again when facts say that one has changed.
import { batch, signal, useEffect } from "./lib.js";
import { api } from "./api.js";
import { stream } from "./stream.js";

/** As `GET /api/mcps` lists them; null: not read yet. */
export const hosts = signal(/** @type {HostRow[] | null} */ (null));
/** By host, what it has to do. */
export const load = signal(/** @type {Record<string, {running: number, queued: number, most: number}>} */ ({}));
export const failed = signal(/** @type {any} */ (null));

const AGAIN_MS = 1000;
const MOVES = ["task.routed", "job.signed", "job.failed", "job.done"];
let planned = 0, loads = 0;

/** Read them now. */
export async function readHosts() {
  planned = 0;
  try {
    const [found, busy] = await Promise.all([api("/api/mcps"), api("/api/load")]);
    batch(() => {
      hosts.value = found.data;
      load.value = byHost(busy.data);
      failed.value = null;
    });
  } catch (error) {
    failed.value = error;
  }
}

async function readLoad() {
  loads = 0;
  try {
    load.value = byHost((await api("/api/load")).data);
  } catch (error) {
    failed.value = error;
  }
}

function byHost(found) {
  return Object.fromEntries(found.map((one) => [one.host, one]));
}

/** What a fact of a host's health says is put in at once; all else is read. @param {any[]} events */
function heard(events) {
  const known = new Map((hosts.value ?? []).map((one) => [one.id, one]));
  for (const { at, event } of events) {
    const host = known.get(event.host);
    if (event.type !== "mcp.health" || !host) {
      planned ||= setTimeout(readHosts, AGAIN_MS);
      continue;
    }
    const { status, reason = "", latency_ms = 0, said = "" } = event;
    known.set(host.id, { ...host, health: { status, reason, latency_ms, said, checked_at: at } });
  }
  hosts.value = [...known.values()];
}

/** Keep them as they are, while a page is there. */
export function useHosts() {
  useEffect(() => {
    const stops = [
      stream.subscribe({ to: "hosts", onEvents: heard, onReady: readHosts }),
      stream.subscribe({ to: "tasks", types: MOVES, onEvents: () => {
        loads ||= setTimeout(readLoad, AGAIN_MS);
      } }),
    ];
    readHosts();
    return () => stops.forEach((stop) => stop());
  }, []);
}

const KINDS = { stdio: "program", http: "MCP over HTTP", execute: "/execute", openapi: "OpenAPI", noop: "benchmark" };

/** What kind of host it is, in words. @param {HostRow} host */
export function kindOf(host) {
  if (host.source === "space") return "Space";
  return KINDS[host.endpoint?.kind] ?? host.endpoint?.kind ?? "";
}

/** @param {HostRow} host */
export function statusOf(host) {
  return host.enabled === false ? "disabled" : host.health.status;
}

/** Executors say that calls fail: what they say of their circuit breakers, or empty. @param {HostRow} host */
export function breakerOf(host) {
  const { reason = "", status } = host.health;
  if (!reason.startsWith("calls: ")) return "";
  return status === "unhealthy" ? "circuit breaker open" : "calls fail";
}

/** Which hosts fit a filter. @param {HostRow[]} found @param {{text?: string, status?: string, kind?: string}} filter */
export function fitting(found, { text = "", status = "", kind = "" }) {
  const wanted = text.toLowerCase();
  return found.filter((host) => (!status || statusOf(host) === status)
    && (!kind || kindOf(host) === kind) && (!wanted || said(host).includes(wanted)));
}

function said(host) {
  const tools = (host.tools ?? []).map((tool) => tool.name);
  const able = (host.capabilities ?? []).map((one) => one.name);
  return [host.id, host.name ?? "", ...tools, ...able, ...Object.keys(host.task_types ?? {})]
    .join(" ").toLowerCase();
}
