// Sessions: where somebody has signed in, and how that ends.
import { html } from "../../lib.js";
import { api } from "../../api.js";
import { me } from "../../session.js";
import { Failed } from "../../parts/told.js";
import { Deed, Table, When, useLoaded } from "../admin/kit.js";

const WAYS = { password: "a password", device: "a code", link: "a link" };
/** How browsers and systems are known; those first that name others besides. @type {[RegExp, string][]} */
const BROWSERS = [[/Edg\w*\/(\d+)/, "Edge"], [/OPR\/(\d+)/, "Opera"], [/(?:Firefox|FxiOS)\/(\d+)/, "Firefox"],
  [/(?:Chrome|CriOS)\/(\d+)/, "Chrome"], [/Version\/(\d+).*Safari/, "Safari"]];
/** @type {[RegExp, string][]} */
const SYSTEMS = [[/Android/, "Android"], [/iPhone|iPad/, "iOS"], [/Windows/, "Windows"], [/Mac OS X/, "macOS"],
  [/CrOS/, "ChromeOS"], [/Linux/, "Linux"]];

export function SessionsPart() {
  return html`<${SessionsOf} user=${me.value.user} />`;
}

/** The sessions of a user, one's own or as admin anybody's. @param {{user: string}} props */
export function SessionsOf({ user }) {
  const list = useLoaded(async () => (await api("/api/auth/sessions", { query: { user } })).data, [user]);
  const end = async (id) => {
    await api(`/api/auth/sessions/${encodeURIComponent(id)}`, { method: "DELETE" });
    await list.again();
  };
  const endOthers = async () => {
    for (const one of list.data.filter(({ current }) => !current)) {
      await api(`/api/auth/sessions/${encodeURIComponent(one.id)}`, { method: "DELETE" });
    }
    await list.again();
  };
  const sessions = list.data ?? [], here = sessions.some(({ current }) => current);
  return html`<${Failed} error=${list.error} />
    ${list.data && !sessions.length && html`<p class="empty">Nobody has signed in as ${user}.</p>`}
    ${sessions.length > 0 && html`<${Table} label="Sessions" heads=${["Program", "Came in by", "From", "Began", "Last used", "Ends", ""]}>
      ${sessions.map((one) => html`<tr key=${one.id}>
        <th scope="row" class="wide" title=${one.agent}>${one.current ? html`<b>This browser</b> ` : ""}${program(one.agent)}</th>
        <td>${WAYS[one.method] ?? one.method}</td><td>${one.address}</td>
        <td><${When} at=${one.created} /></td><td><${When} at=${one.used} /></td><td><${When} at=${one.expires} /></td>
        <td class="deeds">${!one.current && html`<${Deed} label="End it" run=${() => end(one.id)} />`}</td>
      </tr>`)}</${Table}>`}
    ${sessions.filter(({ current }) => !current).length > 1 && html`<p><${Deed} label=${here ? "End all others" : "End them all"} run=${endOthers}
      sure=${`End all sessions of ${user}${here ? " but this one" : ""}?`} /></p>`}`;
}

/** What a browser calls itself, in short; other programs are called as they say. @param {string} agent */
function program(agent) {
  if (!agent.startsWith("Mozilla/")) return agent || "unknown";
  const system = SYSTEMS.find(([form]) => form.test(agent))?.[1];
  for (const [form, name] of BROWSERS) {
    const found = form.exec(agent);
    if (found) return `${name} ${found[1]}${system ? ` on ${system}` : ""}`;
  }
  return agent;
}
