// Keys that permits are signed with.
import { html } from "../../lib.js";
import { api } from "../../api.js";
import { Failed } from "../../parts/told.js";
import { Table, When, useLoaded } from "./kit.js";

export function KeysPart() {
  const list = useLoaded(async () => (await api("/api/keys")).data);
  const keys = list.data ?? [];
  return html`<p>Executors sign a permit for each attempt. The public halves are at${" "}
      <a href="/.well-known/jwks.json">/.well-known/jwks.json</a>.</p>
    <${Failed} error=${list.error} />
    ${list.data && !keys.length && html`<p class="empty">No executor has made a key yet.</p>`}
    ${keys.length > 0 && html`<${Table} label="Keys" heads=${["Key", "Algorithm", "State", "Last permit ends"]}>
      ${keys.map((one) => html`<tr key=${one.kid}><th scope="row" class="id wide">${one.kid}</th><td>${one.algorithm}</td>
        <td class="wide">${one.replaced === null ? "in use" : html`replaced; its successor is known since <${When} at=${one.replaced} />`}</td>
        <td><${When} at=${one.needed} none="it has signed none" /></td></tr>`)}</${Table}>`}
    <h2>Change the key</h2>
    <p>The private halves never leave the machine of the executors. On that machine run${" "}
      <code>metamcp keys rotate</code> to make a new key; it is used once every service knows it.${" "}
      <code>metamcp keys</code> shows which one is in use.</p>`;
}
