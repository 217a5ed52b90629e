// Overview: what works, what was done lately, what waits, and what fails most.
import { html, useEffect, useMemo } from "../lib.js";
import { api } from "../api.js";
import { words } from "../format.js";
import { Fresh } from "../fresh.js";
import { href, place } from "../router.js";
import { isAuditor } from "../session.js";
import { Bars, Load } from "../parts/plot.js";
import { Empty, Failed, Status } from "../parts/told.js";
import { Waits } from "./queue.js";

const ENDS = ["succeeded", "cancelled", "rejected", "timed_out", "failed"];
const BAD = ["failed", "timed_out", "rejected"];
const SIZES = { hour: 60, day: 96 };
/** What failed, in words; others are told by their code. */
const FAULTS = new Map(Object.entries({
  host_gone: "host changed or removed", unreachable: "host not reached", tool: "tool error", protocol: "protocol error",
  timeout: "time limit of the call", cut: "call cut off", lost: "executor lost", too_large: "too large",
  forbidden_path: "path not allowed", bad_input: "input refused", no_host: "no host for it",
  host_down: "host down", queue_timeout: "no free host in time", deadline: "deadline passed",
  outcome_unknown: "outcome unknown", invalid: "task not understood", declined: "declined by a person",
  unanswered: "question not answered", questions: "too many questions",
}));

export function OverviewPage() {
  const window = place.value.query.window === "day" ? "day" : "hour";
  const fresh = useMemo(() => new Fresh(
    async () => (await api("/api/overview", { query: { window } })).data,
    { to: [isAuditor.value ? "all" : "tasks", "hosts"], minutes: true },
  ), [window]);
  useEffect(() => () => fresh.close(), [fresh]);
  const seen = fresh.data.value;
  return html`<div class="heading"><h1>Overview</h1>
      <nav class="tabs" aria-label="How far back">${["hour", "day"].map((one) => html`<a
        href=${href("/", { window: one })} aria-current=${one === window ? "true" : undefined}
      >Last ${one}</a>`)}</nav></div>
    <${Failed} error=${fresh.error.value} />
    ${seen && html`<${Services} seen=${seen} />
      <div class="panels">
        <div class="column"><${Done} seen=${seen} window=${window} />
          <${Hosts} seen=${seen} /></div>
        <div class="column"><${Waiting} seen=${seen} />
          <${Failing} seen=${seen} window=${window} /></div>
      </div>`}`;
}

function Services({ seen: { health, words: wrong, executors_alive: executors } }) {
  return html`<section aria-label="Services">
    ${wrong && html`<p class="trouble" role="status">${wrong}</p>`}
    <ul class="services">
      ${byService(health.services).map(({ service, there }) => html`<li key=${service}
        class=${`service ${state(there)}`}><b>${service}</b>
        <span>${there.length ? told(there) : "does not answer"}</span>
        ${there.flatMap((one) => one.troubles).map(({ text }) => html`<small>${text}</small>`)}</li>`)}
      <li class=${`service ${health.nats ? "well" : "down"}`}><b>NATS</b>
        <span>${health.nats ? "connected" : "not connected"}</span>
        <small>${health.head === null ? "the log does not answer"
          : `${health.head.toLocaleString()} facts in the log`}</small></li>
      <li class=${`service ${executors ? "well" : "down"}`}><b>heartbeats</b>
        <span>${executors} ${executors === 1 ? "executor" : "executors"}</span></li>
    </ul></section>`;
}

function byService(services) {
  const found = new Map();
  for (const one of services) {
    const there = found.get(one.service) ?? [];
    found.set(one.service, one.up ? [...there, one] : there);
  }
  return [...found].map(([service, there]) => ({ service, there }));
}

function state(there) {
  if (!there.length || there.every((one) => one.active === false)) return "down";
  return there.some((one) => one.troubles.length) ? "warning" : "well";
}

function told(there) {
  const lag = Math.max(0, ...there.map((one) => one.lag ?? 0));
  const idle = there.filter((one) => one.active === false).length;
  const parts = [there.length === 1 ? `${there[0].instance}, ${idle ? "standing by" : "running"}` : `${there.length} running`];
  if (there.length > 1 && idle) parts.push(`${idle} standing by`);
  if (lag > 0) parts.push(`${lag} facts behind`);
  return parts.join(", ");
}

function Done({ seen, window }) {
  const { totals, buckets, since, bucket_s: size, user } = seen;
  const ended = ENDS.filter((word) => totals[word]);
  const label = `Tasks that ended in the last ${window}: ${
    ended.map((word) => `${totals[word]} ${words(word)}`).join(", ") || "none"}`;
  return html`<section class="panel"><h2>Tasks that ended, by ${size === 60 ? "minute" : "quarter of an hour"}
      <small>${user === null ? "of everybody" : "of yours"}</small></h2>
    <ul class="totals"><li><b>${totals.created ?? 0}</b> created</li>
      ${ENDS.map((word) => (totals[word] || word === "succeeded" || word === "failed") && html`<li>
        <${Listed} every=${user === null} word=${word} since=${`1${window[0]}`}><i class=${`swatch of-${word}`}></i>
        <b>${totals[word] ?? 0}</b> ${words(word)}<//></li>`)}
      <li class="quiet">in the last ${window}</li></ul>
    <${Bars} buckets=${buckets} since=${since} size=${size} count=${SIZES[window]} words=${ENDS}
      label=${label} named=${words} />
    ${!totals.created && !ended.length && html`<${Empty}><p>Nothing was done in the last ${window}.
      <a href=${href("/submit")}>Send a task</a>, or from a terminal:</p>
      <pre>metamcp submit code_analysis --file README.md</pre><//>`}</section>`;
}

/** The way to the tasks of a total; no list has those of everybody. */
function Listed({ every, word, since, children }) {
  return every ? html`<span>${children}</span>`
    : html`<a href=${href("/tasks", { status: word, created_after: since })}>${children}</a>`;
}

function Waiting({ seen: { queue } }) {
  return html`<section class="panel"><h2>Waiting <small><a href=${href("/queue")}>the queue</a></small></h2>
    ${queue === null && html`<p>No router tells what waits.</p>`}
    ${queue && html`<p>${queue.in_flight}${
      queue.slots === null ? " in flight" : ` of ${queue.slots} executor slots in use`}, ${queue.waiting} in the queue for a host</p>
      ${queue.waits.length === 0 ? html`<p class="quiet">Nothing waits.</p>`
        : html`<h3>Waiting for</h3><${Waits} waits=${queue.waits} />`}`}</section>`;
}

function Hosts({ seen: { hosts, hosts_in_all: every } }) {
  const shown = hosts.slice(0, 12);
  return html`<section class="panel"><h2>Hosts <small><a href=${href("/hosts")}>${
    every > shown.length ? `all ${every}` : "all"}</a></small></h2>
    ${every === 0 && html`<${Empty}><p>No host is there yet. <a href=${href("/hosts")}>Add one</a>, or from a
      terminal:</p><pre>metamcp hosts add files npx @modelcontextprotocol/server-filesystem .</pre><//>`}
    <ul class="loads">${shown.map((one) => html`<li key=${one.id}>
      <a href=${href(`/hosts/${one.id}`)}>${one.id}</a>
      <${Status} word=${one.enabled ? one.status : "disabled"} />
      <${Load} of=${one.in_flight} most=${one.most} label=${`Load of ${one.id}`} />
      <span class="num">${one.in_flight} of ${one.most} slots</span></li>`)}</ul></section>`;
}

function Failing({ seen: { kinds, failing, user }, window }) {
  const since = { status: BAD, created_after: `1${window[0]}` };
  const of = (name) => (user === null ? href(`/hosts/${name}`) : href("/tasks", { ...since, host: name }));
  return html`<section class="panel"><h2>Failing most</h2>
    ${!kinds.length && html`<p class="quiet">Nothing failed in the last ${window}.</p>`}
    ${kinds.length > 0 && html`<h3>By kind</h3><ul class="counts">${kinds.map(({ name, count }) => html`<li>
      <b>${count}</b> <span>${FAULTS.get(name) ?? name.replaceAll("_", " ")}</span></li>`)}</ul>`}
    ${failing.length > 0 && html`<h3>By host</h3><ul class="counts">${failing.map(({ name, count }) => html`<li>
      <b>${count}</b> <a href=${of(name)}>${name}</a></li>`)}</ul>`}</section>`;
}
