// Tokens: what programs show to act as somebody. A token is shown once, when it is made.
import { html, useState } from "../../lib.js";
import { api } from "../../api.js";
import { href } from "../../router.js";
import { me } from "../../session.js";
import { Deed, Field, More, Once, ROLES, Sending, Table, When, marked, typed, usePaged } from "../admin/kit.js";

const DAY_S = 86400;
const TIMES = [[7, "7 days"], [30, "30 days"], [90, "90 days"], [365, "a year"], [0, "never"]];

export function TokensPart() {
  return html`<${TokensOf} user=${me.value.user} />`;
}

/** The tokens of a user, and a form for another. @param {{user: string, roles?: string[]}} props */
export function TokensOf({ user, roles = me.value.roles }) {
  const list = usePaged("/api/tokens", { user });
  const [made, setMade] = useState("");
  const send = async (fields) => {
    const days = Number(fields.get("days"));
    const chosen = marked(fields, "scope");
    const body = {
      user, note: typed(fields, "note"), roles: marked(fields, "role"),
      ...(days ? { ttl_s: days * DAY_S } : {}), ...(fields.get("all") ? {} : { scopes: chosen }),
    };
    setMade((await api("/api/tokens", { method: "POST", body })).data.token);
    await list.again();
  };
  return html`<${TokenTable} list=${list} />
    ${made && html`<${Once} secret=${made} what="The new token." onDone=${() => setMade("")} />`}
    <h2>Make a token</h2>
    <${NewToken} send=${send} roles=${roles} />`;
}

function NewToken({ send, roles }) {
  const [all, setAll] = useState(true);
  const given = ROLES.filter(([role]) => roles.includes(role));
  return html`<${Sending} label="Make the token" send=${send}>
    <${Field} label="What it is for"><input name="note" maxlength="200" placeholder="CI of the shop" /></${Field}>
    <${Field} label="Ends after"><select name="days">${TIMES.map(([days, text]) => html`<option value=${days}
      selected=${days === 30}>${text}</option>`)}</select></${Field}>
    ${given.length > 0 && html`<fieldset><legend>Roles besides <code>user</code></legend>
      ${given.map(([role, text]) => html`<label><input type="checkbox" name="role" value=${role} /> ${role}
        <small>${text}</small></label>`)}</fieldset>`}
    <fieldset><legend>May use</legend>
      <label><input type="checkbox" name="all" checked=${all} onChange=${(event) => setAll(event.target.checked)} />
        Everything that its roles allow</label>
      ${!all && me.value.scopes.map((scope) => html`<label><input type="checkbox" name="scope" value=${scope} /> ${scope}</label>`)}
    </fieldset>
  </${Sending}>`;
}

/** @param {{list: any, whose?: boolean}} props `whose`: with the user of each */
export function TokenTable({ list, whose = false }) {
  const revoke = async (id) => {
    await api(`/api/tokens/${encodeURIComponent(id)}`, { method: "DELETE" });
    await list.again();
  };
  const heads = [...(whose ? ["User"] : []), "For", "May use", "Roles", "Made", "Ends", "Id", ""];
  return html`${list.loaded && !list.items.length && html`<p class="empty">${whose
      ? html`No tokens. People make theirs at <a href=${href("/account/tokens")}>Account › Tokens</a>.`
      : "There are no tokens. Programs sign in with one; make it below."}</p>`}
    ${list.items.length > 0 && html`<${Table} label="Tokens" heads=${heads}>
      ${list.items.map((one) => html`<tr key=${one.id}>
        ${whose && html`<th scope="row">${one.user}</th>`}
        <${whose ? "td" : "th"} scope=${whose ? undefined : "row"} class="wide">${one.note || html`<small>nothing was said</small>`}${one.by && html` <small>by ${one.by}</small>`}<//>
        <td class="wide">${one.scopes ? one.scopes.join(", ") : "all"}</td><td>${one.roles.join(", ") || "user"}</td>
        <td><${When} at=${one.created} /></td><td><${When} at=${one.expires} none="never" /></td>
        <td class="id">${one.id.slice(-8)}</td>
        <td class="deeds"><${Deed} label="Revoke" sure="What shows it is out within a second." run=${() => revoke(one.id)} /></td>
      </tr>`)}</${Table}>`}
    ${list.items.length > 0 || list.error ? html`<${More} list=${list} what="token" />` : ""}`;
}
