// Sessions: where somebody has signed in, and how that ends.
import { html } from "../../lib.js";
import { api } from "../../api.js";
import { me } from "../../session.js";
import { Failed } from "../../parts/told.js";
import { Deed, Table, When, useLoaded } from "../admin/kit.js";

const WAYS = { password: "a password", device: "a code", link: "a link" };

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
  const sessions = list.data ?? [];
  return html`<${Failed} error=${list.error} />
    ${list.data && !sessions.length && html`<p class="empty">Nobody has signed in as ${user}.</p>`}
    ${sessions.length > 0 && html`<${Table} label="Sessions" heads=${["Program", "Came in by", "From", "Began", "Last used", "Ends", ""]}>
      ${sessions.map((one) => html`<tr key=${one.id}>
        <th scope="row" class="wide">${one.current ? html`<b>This browser</b> ` : ""}${one.agent || "unknown"}</th>
        <td>${WAYS[one.method] ?? one.method}</td><td>${one.address}</td>
        <td><${When} at=${one.created} /></td><td><${When} at=${one.used} /></td><td><${When} at=${one.expires} /></td>
        <td class="deeds">${!one.current && html`<${Deed} label="End it" run=${() => end(one.id)} />`}</td>
      </tr>`)}</${Table}>`}
    ${sessions.filter(({ current }) => !current).length > 1 && html`<p><${Deed} label="End them all" run=${endOthers}
      sure=${`End all sessions of ${user}${sessions.some(({ current }) => current) ? " but this one" : ""}?`} /></p>`}`;
}
