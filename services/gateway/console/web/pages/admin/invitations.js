// Invitations: somebody comes in for the first time by an account elsewhere.
import { html, useState } from "../../lib.js";
import { api } from "../../api.js";
import { Deed, Field, More, NAME, Once, Sending, Table, When, typed, usePaged } from "./kit.js";

const PATH = "/api/auth/invitations";
const DAY_S = 86400;

export function InvitationsPart() {
  const list = usePaged(PATH);
  const [made, setMade] = useState(/** @type {any} */ (null));
  const send = async (fields) => {
    const body = { user: typed(fields, "user"), ttl_s: Number(fields.get("days")) * DAY_S };
    setMade((await api(PATH, { method: "POST", body })).data);
    await list.again();
  };
  const withdraw = async (id) => {
    await api(`${PATH}/${encodeURIComponent(id)}`, { method: "DELETE" });
    await list.again();
  };
  return html`<p>Somebody you invite signs in once with an account elsewhere, and gets the user name you choose here. You are
      given a link (or a code) to send them.</p>
    ${list.loaded && !list.items.length && html`<p class="empty">There are no open invitations.</p>`}
    ${list.items.length > 0 && html`<${Table} label="Invitations" heads=${["User name", "Invited by", "Made", "Ends", ""]}>
      ${list.items.map((one) => html`<tr key=${one.id}><th scope="row">${one.user}</th><td>${one.by}</td>
        <td><${When} at=${one.created} /></td><td><${When} at=${one.expires} /></td>
        <td class="deeds"><${Deed} label="Withdraw" run=${() => withdraw(one.id)} /></td></tr>`)}</${Table}>`}
    ${(list.items.length > 0 || list.error) && html`<${More} list=${list} what="invitation" />`}
    ${made && html`${made.urls.length ? made.urls.map((url) => html`<${Once} key=${url} secret=${new URL(url, location.href).href}
        what=${`The link for ${made.user}.`} onDone=${() => setMade(null)} />`)
      : html`<${Once} secret=${made.code} what=${`The code for ${made.user}: no provider is set up to sign in with yet.`} onDone=${() => setMade(null)} />`}`}
    <h2>Invite somebody</h2>
    <${Sending} label="Invite" send=${send}>
      <${Field} label="User name" note="If this user exists already, the outside account is linked to it."><input name="user" required maxlength="64" pattern=${NAME} /></${Field}>
      <${Field} label="Valid for"><select name="days"><option value="1">a day</option><option value="7" selected>7 days</option><option value="30">30 days</option></select></${Field}>
    </${Sending}>`;
}
