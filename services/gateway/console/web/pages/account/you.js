// You: who you are here, what you may and use, and your way out.
import { html, useState } from "../../lib.js";
import { api } from "../../api.js";
import { me } from "../../session.js";
import { size } from "../../format.js";
import { Deed, Field, Sending, typed, useLoaded } from "../admin/kit.js";
import { Failed } from "../../parts/told.js";

const WINDOWS = { facts: "an hour", tasks_a_day: "24 hours", requests: "a window", frames: "a window" };

export function You() {
  const { user, roles, scopes, budgets = {}, used = {}, exceptions = {} } = me.value;
  const path = `/api/users/${encodeURIComponent(user)}`;
  const account = useLoaded(async () => me.value.account && (await api(path)).data);
  return html`<dl class="summary">
      <dt>User</dt><dd>${user}</dd>
      <dt>Roles</dt><dd>${roles.join(", ")}</dd>
      <dt>May here</dt><dd>${scopes.join(", ")}</dd>
    </dl>
    <p class="deeds"><${Deed} label="Sign out" run=${leave} /></p>
    ${me.value.account && html`<p><a href="/device">Let a program in</a> that shows you a code, such as
      <code>metamcp login --device</code>.</p>`}
    <${Failed} error=${account.error} />
    ${account.data === false && html`<p>This user comes in with a token and has no account: there is no
      password, and no name to be shown. An admin can make accounts for people.</p>`}
    ${account.data && html`<${Named} account=${account.data} />
      ${account.data.has_password && html`<${Password} />`}`}
    <h2>Budgets</h2>
    <${Budgets} budgets=${budgets} used=${used} exceptions=${exceptions} />`;
}

async function leave() {
  await api("/api/auth/logout", { method: "POST" });
  location.assign("/signin");
}

function Named({ account }) {
  const [told, setTold] = useState("");
  const send = async (fields) => {
    const body = { display: typed(fields, "display"), email: typed(fields, "email") };
    await api(`/api/users/${encodeURIComponent(account.name)}`, { method: "PATCH", body });
    Object.assign(account, body);
    setTold("Saved.");
  };
  return html`<h2>Name and address</h2>
    <${Sending} label="Save" send=${send} title="Name and address">
      <${Field} label="Shown as"><input name="display" maxlength="200" defaultValue=${account.display} /></${Field}>
      <${Field} label="E-mail"><input name="email" type="email" maxlength="254" defaultValue=${account.email} /></${Field}>
    </${Sending}><p role="status">${told}</p>`;
}

function Password() {
  const [told, setTold] = useState("");
  const send = async (fields) => {
    const body = { old: String(fields.get("old")), new: String(fields.get("new")) };
    await api("/api/auth/password", { method: "POST", body });
    setTold("Changed. All your other sessions have ended.");
  };
  return html`<h2>Password</h2>
    <${Sending} label="Change the password" send=${send}>
      <${Field} label="The old one"><input name="old" type="password" autocomplete="current-password" required /></${Field}>
      <${Field} label="The new one" note="At least 10 characters, and none that is guessed soon.">
        <input name="new" type="password" autocomplete="new-password" minlength="10" required /></${Field}>
    </${Sending}><p role="status">${told}</p>`;
}

/** Budgets, and what of them is used. @param {{budgets: any, used: any, exceptions: any}} props */
export function Budgets({ budgets, used, exceptions }) {
  return html`<div class="scrolls" tabindex="0" role="region" aria-label="Budgets"><table class="list"><thead><tr><th scope="col">What</th><th scope="col" class="n">Used</th>
      <th scope="col" class="n">At most</th><th scope="col"></th></tr></thead>
    <tbody>${Object.entries(budgets).map(([name, most]) => html`<tr key=${name}>
      <th scope="row">${name.replaceAll("_", " ")} ${WINDOWS[name] && html`<small>in ${WINDOWS[name]}</small>`}</th>
      <td class="n">${used[name] === undefined ? "" : amount(name, used[name])}</td>
      <td class="n">${WINDOWS[name] && most === 0 ? "no limit" : amount(name, most)}</td>
      <td>${name in exceptions && "for this user alone"}</td></tr>`)}</tbody></table></div>`;
}

function amount(name, value) {
  return name.endsWith("bytes") ? size(value) : value.toLocaleString();
}
