// Preferences: how much somebody wants tasks to go to a host.
import { html } from "../../lib.js";
import { api } from "../../api.js";
import { href } from "../../router.js";
import { Failed } from "../../parts/told.js";
import { Deed, Field, Sending, Table, typed, useLoaded } from "../admin/kit.js";

export function Preferences() {
  const list = useLoaded(async () => {
    const [said, hosts] = await Promise.all([api("/api/preferences"), api("/api/mcps")]);
    return { said: said.data, hosts: hosts.data.map(({ id }) => id) };
  });
  const path = (host) => `/api/preferences/${host.split("/").map(encodeURIComponent).join("/")}`;
  const put = async (host, weight) => {
    await api(path(host), { method: "PUT", body: { weight } });
    await list.again();
  };
  const remove = async (host) => {
    await api(path(host), { method: "DELETE" });
    await list.again();
  };
  const { said = [], hosts = [] } = list.data ?? {};
  return html`<p>Your preference counts for a tenth of a host's score: 0 avoids it, 1 prefers it. Without one, the host's
      record with you is used.</p>
    <${Failed} error=${list.error} />
    ${list.data && !said.length && html`<p class="empty">No preferences yet.</p>`}
    ${said.length > 0 && html`<${Table} label="Preferences" heads=${["Host", "Weight", ""]}>${said.map((one) => html`<tr key=${one.host}>
      <th scope="row"><a href=${href(`/hosts/${one.host}`)}>${one.host}</a></th>
      <td><meter min="0" max="1" value=${one.weight} aria-label=${`Weight of ${one.host}`}></meter> ${one.weight}</td>
      <td class="deeds"><${Deed} label="Remove" run=${() => remove(one.host)} /></td></tr>`)}</${Table}>`}
    <h2>Set a preference</h2>
    <${Sending} label="Save preference" title="Set a preference" send=${(fields) => put(typed(fields, "host"), Number(fields.get("weight")))}>
      <${Field} label="Host"><select name="host" required>${hosts.map((id) => html`<option>${id}</option>`)}</select></${Field}>
      <${Field} label="Weight, from 0 to 1"><input name="weight" type="number" min="0" max="1" step="0.05" defaultValue="1" required /></${Field}>
    </${Sending}>`;
}
