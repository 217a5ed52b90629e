// Publishers: outside services that publish tasks on NATS. They are changed where the NATS server is.
import { html } from "../../lib.js";
import { api } from "../../api.js";
import { href } from "../../router.js";
import { me } from "../../session.js";
import { Failed } from "../../parts/told.js";
import { Table, useLoaded } from "./kit.js";

const COMMANDS = [
  ["metamcp publisher add NAME --user USER", "lets another service publish, and says where its credentials are"],
  ["metamcp publisher rotate NAME", "gives it a new password; the old one is refused"],
  ["metamcp publisher remove NAME", "lets it publish no more, and ends its connections"],
];

export function PublishersPart() {
  const list = useLoaded(async () => (await api("/api/publishers")).data);
  const known = list.data ?? [];
  return html`<p>Outside services publish tasks on NATS with a login of their own, each as one user.</p>
    <${Failed} error=${list.error} />
    ${list.data && !known.length && html`<p class="empty">No outside service may publish tasks.</p>`}
    ${known.length > 0 && html`<${Table} label="Publishers" heads=${["Publisher", "Publishes as", "Access events"]}>
      ${known.map((one) => html`<tr key=${one.name}><th scope="row" class="id">${one.name}</th>
        <td>${me.value.roles.includes("auditor") ? html`<a href=${href("/tasks", { user: one.user })}>${one.user}</a>` : one.user}</td>
        <td><a href=${href("/admin/access", { user: one.user, within: "all" })} aria-label=${`Access events of ${one.user}`}>events</a></td></tr>`)}</${Table}>`}
    <h2>Change them</h2>
    <p>Run these commands on the NATS server's machine:</p>
    <dl class="commands">${COMMANDS.map(([command, text]) => html`<dt><code>${command}</code></dt><dd>${text}</dd>`)}</dl>
    <p>Publisher history: <a href=${href("/admin/access", { kind: "publisher.added", within: "all" })}>added</a>,
      ${" "}<a href=${href("/admin/access", { kind: "publisher.rotated", within: "all" })}>rotated</a>,
      ${" "}<a href=${href("/admin/access", { kind: "publisher.removed", within: "all" })}>removed</a>.</p>`;
}
