// You: who you are here, what you may and use, and your way out.
import { html, useState } from "../../lib.js";
import { api } from "../../api.js";
import { me } from "../../session.js";
import { size } from "../../format.js";
import { Deed, Field, Sending, Table, typed, useLoaded } from "../admin/kit.js";
import { Failed } from "../../parts/told.js";

/** What budgets bound, and in what time or where. */
const BUDGETS = {
  open_tasks: ["Open tasks"], open_bytes: ["Size of open tasks in the log"],
  stored_bytes: ["Size of stored files and results"], stored_blobs: ["Stored files and results"],
  facts: ["Tasks, cancellations and preferences", "in an hour"], tasks_a_day: ["Tasks", "in 24 hours"],
  hosts: ["Hosts that were added"], tokens: ["Tokens"], sign_ins: ["Sessions"],
  requests: ["HTTP requests", "in a minute, unless the gateway is set otherwise"],
  frames: ["Messages on websockets and NATS", "in a minute, unless the gateway is set otherwise"],
  websockets: ["Websockets", "at one gateway"], subscriptions: ["Subscriptions to facts", "at one gateway"],
  event_streams: ["Event streams", "at one gateway"], mcp_sessions: ["MCP sessions", "at one gateway"],
  history_readers: ["Reads of older facts at once", "at one gateway"],
};
/** Of these, 0 means no limit. */
const IN_A_TIME = ["facts", "tasks_a_day", "requests", "frames"];

export function You() {
  const { user, roles, scopes, budgets = {}, used = {}, exceptions = {} } = me.value;
  const path = `/api/users/${encodeURIComponent(user)}`;
  const account = useLoaded(async () => me.value.account && (await api(path)).data);
  return html`<dl class="summary">
      <dt>User</dt><dd>${user}</dd>
      <dt>Roles</dt><dd>${roles.join(", ")}</dd>
      <dt>Rights here</dt><dd>${scopes.join(", ")}</dd>
    </dl>
    <p class="deeds"><${Deed} label="Sign out" run=${leave} /></p>
    ${me.value.account && html`<p><a href="/device">Let a program in</a> that shows you a code, such as${" "}
      <code>metamcp login --device</code>.</p>`}
    <${Failed} error=${account.error} />
    ${account.data === false && html`<p>This user comes in with a token and has no account: there is no
      password, and no name to be shown. An admin can make accounts for people.</p>`}
    ${account.data && html`<${Named} account=${account.data} />
      ${account.data.has_password && html`<${Password} />`}`}
    <h2>Budgets</h2>
    ${roles.includes("admin") && html`<p><small>As an admin you are not held to what is counted in a time, nor to websockets,
      subscriptions, event streams and MCP sessions.</small></p>`}
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
      <${Field} label="Current password"><input name="old" type="password" autocomplete="current-password" required /></${Field}>
      <${Field} label="New password" note="At least 10 characters, and not easy to guess.">
        <input name="new" type="password" autocomplete="new-password" minlength="10" required /></${Field}>
    </${Sending}><p role="status">${told}</p>`;
}

/** A budget in words. @param {string} name */
export function budgetWords(name) {
  return (BUDGETS[name] ?? [name.replaceAll("_", " ")]).join(" ");
}

/** Budgets, and what of them is used. @param {{budgets: any, used: any, exceptions: any}} props */
export function Budgets({ budgets, used, exceptions }) {
  const some = Object.keys(exceptions).length > 0;
  return html`<${Table} label="Budgets" short heads=${["What", ["Used", "n"], ["At most", "n"], ...(some ? [""] : [])]}>
    ${Object.entries(budgets).map(([name, most]) => {
      const [what, where] = BUDGETS[name] ?? [budgetWords(name)];
      return html`<tr key=${name}><th scope="row" title=${name}>${what}${where && html` <small>${where}</small>`}</th>
        <td class="n">${used[name] === undefined ? "–" : amount(name, used[name])}</td>
        <td class="n">${IN_A_TIME.includes(name) && most === 0 ? "no limit" : amount(name, most)}</td>
        ${some && html`<td>${name in exceptions && "for this user alone"}</td>`}</tr>`;
    })}</${Table}><p><small>–: not counted here.</small></p>`;
}

function amount(name, value) {
  return name.endsWith("bytes") ? size(value) : value.toLocaleString();
}
