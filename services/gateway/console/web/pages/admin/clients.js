// Programs that may ask people for tokens: clients of OAuth.
import { html, useState } from "../../lib.js";
import { api } from "../../api.js";
import { Deed, Field, More, Once, Sending, Table, When, typed, usePaged } from "./kit.js";

export function ClientsPart() {
  const list = usePaged("/api/clients");
  const [made, setMade] = useState(/** @type {any} */ (null));
  const send = async (fields) => {
    const body = {
      name: typed(fields, "name"), redirects: typed(fields, "redirects").split(/\s+/).filter(Boolean),
      public: Boolean(fields.get("public")),
    };
    setMade((await api("/api/clients", { method: "POST", body })).data);
    await list.again();
  };
  const remove = async (id) => {
    await api(`/api/clients/${encodeURIComponent(id)}`, { method: "DELETE" });
    await list.again();
  };
  return html`<p>A program here is a client of OAuth: it sends people to this gateway to sign in, and acts for those who allow
      it. MCP clients register themselves; register others here.</p>
    ${list.loaded && !list.items.length && html`<p class="empty">No program has been registered yet.</p>`}
    ${list.items.length > 0 && html`<${Table} label="Programs" heads=${["Name", "Id", "May use", "Redirect URIs", "Made by", "Made", "Ends", ""]}>
      ${list.items.map((one) => html`<tr key=${one.id}><th scope="row" class="wide">${one.name}</th><td class="id">${one.id}</td>
        <td class="wide">${one.scopes.join(", ")}</td><td class="wide">${one.redirects.join(" ")}</td><td>${one.by}</td>
        <td><${When} at=${one.created} /></td><td><${When} at=${one.expires} none="never" /></td>
        <td class="deeds"><${Deed} label="Remove" sure="All that it was given ends." run=${() => remove(one.id)} /></td></tr>`)}</${Table}>`}
    ${(list.items.length > 0 || list.error) && html`<${More} list=${list} what="program" />`}
    ${made && html`<p role="status">${made.name} has the id <code>${made.id}</code>.</p>`}
    ${made?.secret && html`<${Once} secret=${made.secret} what=${`The secret of ${made.name}.`} onDone=${() => setMade(null)} />`}
    <h2>Register a program</h2>
    <${Sending} label="Register" send=${send}>
      <${Field} label="Name"><input name="name" required maxlength="100" /></${Field}>
      <${Field} label="Redirect URIs (OAuth)" note="One per line."><textarea name="redirects" rows="2" required
        spellcheck="false" placeholder="https://portal.example.com/callback"></textarea></${Field}>
      <label><input type="checkbox" name="public" /> It can't keep a secret, like a program on a person's own machine</label>
    </${Sending}>`;
}
