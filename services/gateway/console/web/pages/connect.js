// Connect: what to write into other programs so that they come in here.
import { html, useEffect, useSignal } from "../lib.js";
import { api } from "../api.js";
import { href, place, refine } from "../router.js";
import { Failed } from "../parts/told.js";
import { Copy } from "../parts/copy.js";

const DAYS = [["1", "a day"], ["30", "30 days"], ["365", "a year"], ["", "for ever"]];
const DAY_S = 86_400;
const SCOPES = { mcp: ["mcp:call"], all: undefined };

export function ConnectPage() {
  const { hosts = "", profile = "", search = "", auth = "token", client = "claude-code" } = place.value.query;
  const found = useSignal(/** @type {any} */ (null)), error = useSignal(/** @type {any} */ (null));
  const token = useSignal(""), known = useSignal(/** @type {{hosts: string[], profiles: any[]}} */ ({ hosts: [], profiles: [] }));
  useEffect(() => {
    Promise.all([api("/api/mcps"), api("/api/profiles")]).then(([mcps, profiles]) => {
      known.value = { hosts: mcps.data.map((one) => one.id), profiles: profiles.data };
    }, (problem) => {
      error.value = problem;
    });
  }, []);
  useEffect(() => {
    const query = { hosts, profile, auth, search: search ? "true" : "", origin: location.origin };
    api("/api/connect", { query }).then(({ data }) => {
      found.value = data;
      error.value = null;
    }, (problem) => {
      error.value = problem;
    });
  }, [hosts, profile, search, auth]);
  const piece = found.value?.pieces.find((one) => one.client === client) ?? found.value?.pieces[0];
  return html`<h1>Connect</h1>
    <p>Agents and editors use all hosts through one MCP server. Choose what is shown there, and copy what your program needs.</p>
    <form class="filters" onSubmit=${(e) => e.preventDefault()}>
      <label>Profile <select onChange=${(e) => refine({ profile: e.target.value, hosts: "" })}>
        <option value="">none</option>
        ${names(known.value.profiles, profile).map((one) => html`<option value=${one} selected=${one === profile}>${one}</option>`)}</select></label>
      ${!profile && html`<label>Hosts <input list="hosts" value=${hosts} placeholder="all, or ids: a, b" spellcheck="false"
        onChange=${(e) => refine({ hosts: e.target.value.split(/[\s,]+/).filter(Boolean).join(",") })} /></label>
        <datalist id="hosts">${known.value.hosts.map((one) => html`<option value=${one}></option>`)}</datalist>`}
      <label><input type="checkbox" checked=${Boolean(search)} onChange=${(e) => refine({ search: e.target.checked ? "1" : "" })} /> Find tools by search (for many tools)</label>
      <label>Sign in <select onChange=${(e) => refine({ auth: e.target.value })}>
        <option value="token" selected=${auth === "token"}>with a token</option>
        <option value="oauth" selected=${auth === "oauth"}>in the browser (OAuth)</option></select></label>
    </form>
    <${Failed} error=${error.value} />
    ${found.value && html`<h2>Address</h2><${Copy} text=${found.value.mcp} label="Address of the MCP server" />
      ${auth === "token" && html`<${Token} token=${token} />`}
      <h2>Program</h2>
      <div class="clients" role="group" aria-label="Programs">${found.value.pieces.map((one) => html`<button key=${one.client}
        aria-pressed=${one.client === piece.client} onClick=${() => refine({ client: one.client })}>${one.title}</button>`)}</div>
      <${Shown} piece=${piece} token=${token.value} placeholder=${found.value.token} makes=${auth === "token"} />`}`;
}

/** @param {any[]} profiles @param {string} chosen */
function names(profiles, chosen) {
  return [...new Set([...profiles.map((one) => one.name), ...(chosen ? [chosen] : [])])].sort();
}

/** One piece, with the token in its place if one was made here. `makes`: the page has the form for that. */
function Shown({ piece, token, placeholder, makes }) {
  const filled = (/** @type {string} */ text) => (token ? text.replaceAll(placeholder, token) : text);
  const asked = piece.text.includes(placeholder) || piece.note.includes(placeholder);
  return html`<section aria-live="polite"><h3>${piece.title}</h3>
    ${asked && !token && html`<p>Replace <code>${placeholder}</code> with your token, or make one ${makes ? "above."
      : html`under <a href=${href("/account/tokens")}>Account, Tokens</a>.`}</p>`}
    <p>${piece.language === "shell" ? "Run this in a shell:" : `Goes into ${piece.where}:`}</p>
    <${Copy} key=${piece.client} text=${filled(piece.text)} label=${piece.title} />
    ${piece.note && html`<p>${filled(piece.note)}</p>`}</section>`;
}

/** Make a token; it is shown on this page until one goes, and kept nowhere. */
function Token({ token }) {
  const error = useSignal(/** @type {any} */ (null)), days = useSignal("30"), may = useSignal("mcp");
  const make = async (/** @type {any} */ event) => {
    event.preventDefault();
    error.value = null;
    const body = { note: "made by the console's Connect page" };
    if (SCOPES[may.value]) body.scopes = SCOPES[may.value];
    if (days.value) body.ttl_s = Number(days.value) * DAY_S;
    try {
      token.value = (await api("/api/tokens", { method: "POST", body })).data.token;
    } catch (problem) {
      error.value = problem;
    }
  };
  return html`<h2>Token</h2>
    ${token.value ? html`<p role="status">A token was made and stands in the texts below, this once: it can't be shown again.
        See and revoke your tokens under <a href=${href("/account/tokens")}>Account, Tokens</a>.</p>`
      : html`<form class="filters" onSubmit=${make}>
        <label>May use <select onChange=${(e) => { may.value = e.target.value; }}>
          <option value="mcp">the MCP server only</option><option value="all">all that you may use</option></select></label>
        <label>Ends after <select onChange=${(e) => { days.value = e.target.value; }}>
          ${DAYS.map(([value, title]) => html`<option value=${value} selected=${value === days.value}>${title}</option>`)}</select></label>
        <button>Make a token</button></form>`}
    <${Failed} error=${error.value} />`;
}
