// One user: roles, ways in, quotas, and what was given to them.
import { html, useState } from "../../lib.js";
import { api } from "../../api.js";
import { go, href } from "../../router.js";
import { Failed } from "../../parts/told.js";
import { SessionsOf } from "../account/sessions.js";
import { TokensOf } from "../account/tokens.js";
import { Deed, Field, Once, ROLES, Sending, When, marked, typed, useLoaded } from "./kit.js";
import { Quota } from "./quota.js";
import { randomPassword } from "./users.js";

export function UserPart({ name }) {
  const path = `/api/users/${encodeURIComponent(name)}`;
  const found = useLoaded(async () => (await api(path)).data, [name]);
  const [password, setPassword] = useState("");
  const user = found.data;
  const change = async (body) => {
    await api(path, { method: "PATCH", body });
    await found.again();
  };
  const newPassword = async (made) => {
    await api(`${path}/password`, { method: "POST", body: { password: made } });
    setPassword(made ?? "");
    await found.again();
  };
  const remove = async () => {
    await api(path, { method: "DELETE" });
    go("/admin");
  };
  return html`<p><a href=${href("/admin")}>All users</a></p><h2>${name}</h2><${Failed} error=${found.error} />
    ${user && html`<dl class="summary">
        <dt>State</dt><dd>${user.disabled ? "disabled: nothing of theirs lets anybody in" : "may come in"}</dd>
        <dt>Comes in by</dt><dd>${user.service ? "tokens: it is a program" : user.has_password ? "a password" : "no password"}</dd>
        <dt>Made</dt><dd><${When} at=${user.created} /></dd><dt>Changed</dt><dd><${When} at=${user.changed} /></dd>
        <dt>Last seen</dt><dd><${When} at=${user.seen} none="never" /></dd>
        <dt>See</dt><dd><a href=${href("/tasks", { user: name })}>tasks</a>, <a href=${href("/admin/access", { user: name })}>access</a></dd>
      </dl>
      <p class="deeds">
        ${user.disabled ? html`<${Deed} label="Enable" run=${() => change({ disabled: false })} />`
          : html`<${Deed} label="Disable" sure="All of theirs ends within a second." run=${() => change({ disabled: true })} />`}
        <${Deed} label="End everything" sure="All sessions, tokens and grants of theirs end." run=${() => change({ end_everything: true })} />
        ${!user.service && html`<${Deed} label="New password" sure="The old one is no good then, and all sessions end."
          run=${() => newPassword(randomPassword())} />`}
        ${user.has_password && html`<${Deed} label="No password" sure="They come in otherwise, or not at all." run=${() => newPassword(null)} />`}
        <${Deed} label="Delete" sure="Their tasks and results stay; the name is not given to anybody else by accident." run=${remove} />
      </p>
      ${password && html`<${Once} secret=${password} what=${`The new password of ${name}.`} onDone=${() => setPassword("")} />`}
      <${Sending} label="Save" title="Roles and name" key=${user.changed} send=${(fields) => change({
          roles: marked(fields, "role"), display: typed(fields, "display"), email: typed(fields, "email") })}>
        <fieldset><legend>Roles besides <code>user</code></legend>${ROLES.map(([role, text]) => html`<label>
          <input type="checkbox" name="role" value=${role} defaultChecked=${user.roles.includes(role)} /> ${role} <small>${text}</small></label>`)}</fieldset>
        <${Field} label="Shown as"><input name="display" maxlength="200" defaultValue=${user.display} /></${Field}>
        <${Field} label="E-mail"><input name="email" type="email" maxlength="254" defaultValue=${user.email} /></${Field}>
      </${Sending}>
      <h3>Quotas</h3><${Quota} user=${name} />
      ${!user.service && html`<h3>Sessions</h3><${SessionsOf} user=${name} />`}
      <h3>Tokens</h3><${TokensOf} user=${name} roles=${user.roles} />`}`;
}
