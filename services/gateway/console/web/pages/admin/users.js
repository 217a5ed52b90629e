// Users: everybody who has an account, and a form for another.
import { html, useState } from "../../lib.js";
import { api } from "../../api.js";
import { href, refine } from "../../router.js";
import { Field, More, NAME, Once, ROLES, Sending, Table, When, asked, marked, typed, usePaged } from "./kit.js";
import { UserPart } from "./user.js";

const LETTERS = "abcdefghijkmnpqrstuvwxyzABCDEFGHJKLMNPQRSTUVWXYZ23456789";

export function UsersPart({ rest }) {
  return rest ? html`<${UserPart} name=${rest} />` : html`<${List} />`;
}

function List() {
  const list = usePaged("/api/users", { limit: 500 });
  const text = asked("text").toLowerCase();
  const shown = list.items.filter((one) => !text || `${one.name} ${one.display} ${one.email}`.toLowerCase().includes(text));
  return html`<p class="filters"><label>Find <input type="search" data-search value=${asked("text")}
      placeholder="name, e-mail" onInput=${(event) => refine({ text: event.target.value })} /></label></p>
    ${list.loaded && !list.items.length && html`<p class="empty">There are no accounts yet. Make the first one here.</p>`}
    ${list.items.length > 0 && html`<${Table} label="Users" heads=${["Name", "Shown as", "E-mail", "Roles", "Comes in by", "Last seen", ""]}>
      ${shown.map((one) => html`<tr key=${one.name} class=${one.disabled ? "off" : ""}>
        <th scope="row"><a href=${href(`/admin/users/${one.name}`)}>${one.name}</a></th>
        <td class="wide any">${one.display}</td><td>${one.email}</td><td>${one.roles.join(", ") || "user"}</td>
        <td>${one.service ? "tokens (a service)" : one.has_password ? "a password" : "no password"}</td>
        <td><${When} at=${one.seen} none="never" /></td><td>${one.disabled ? "disabled" : ""}</td></tr>`)}</${Table}>`}
    ${list.items.length > 0 || list.error ? html`<${More} list=${list} what="account" />` : ""}
    <h2>Make an account</h2><${NewUser} again=${list.again} />`;
}

function NewUser({ again }) {
  const [made, setMade] = useState(/** @type {any} */ (null));
  const [way, setWay] = useState("made");
  const send = async (fields) => {
    const password = way === "made" ? randomPassword() : way === "typed" ? String(fields.get("password")) : null;
    const name = typed(fields, "name");
    const body = {
      name, password, roles: marked(fields, "role"), display: typed(fields, "display"), email: typed(fields, "email"),
      service: way === "service", again: Boolean(fields.get("again")),
    };
    await api("/api/users", { method: "POST", body });
    setMade({ name, password: way === "made" ? password : "" });
    await again();
  };
  return html`${made?.password && html`<${Once} secret=${made.password} what=${`The password of ${made.name}.`} onDone=${() => setMade(null)} />`}
    ${made && !made.password && html`<p role="status">The account <a href=${href(`/admin/users/${made.name}`)}>${made.name}</a> is made.</p>`}
    <${Sending} label="Make the account" send=${send}>
      <${Field} label="Name" note="Letters, digits, _ and -. It can't be changed later.">
        <input name="name" required maxlength="64" pattern=${NAME} autocomplete="off" /></${Field}>
      <${Field} label="Comes in by"><select name="way" value=${way} onChange=${(event) => setWay(event.target.value)}>
        <option value="made">a new password, shown once</option>
        <option value="typed">a password that you type</option>
        <option value="none">no password: by an invitation, or later</option>
        <option value="service">tokens only: it is a program</option></select></${Field}>
      ${way === "typed" && html`<${Field} label="Password" note="At least 10 characters.">
        <input name="password" type="password" autocomplete="new-password" minlength="10" required /></${Field}>`}
      <${Field} label="Shown as"><input name="display" maxlength="200" /></${Field}>
      <${Field} label="E-mail"><input name="email" type="email" maxlength="254" /></${Field}>
      <fieldset><legend>Roles besides <code>user</code></legend>${ROLES.map(([role, text]) => html`<label>
        <input type="checkbox" name="role" value=${role} /> ${role} <small>${text}</small></label>`)}</fieldset>
      <label><input type="checkbox" name="again" />
        Reuse the name of a deleted account; its tasks go to the new one</label>
    </${Sending}>`;
}

/** Good for some 116 bits. */
export function randomPassword(length = 20) {
  let text = "";
  while (text.length < length) {
    const [byte] = crypto.getRandomValues(new Uint8Array(1));
    if (byte < 256 - (256 % LETTERS.length)) text += LETTERS[byte % LETTERS.length];
  }
  return text;
}
