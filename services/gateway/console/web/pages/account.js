// Account: who has signed in here, what they may and use, and where they have signed in.
import { html, signal, useEffect, useState } from "../lib.js";
import { api } from "../api.js";
import { size } from "../format.js";
import { me } from "../session.js";
import { Failed, Time } from "../parts/told.js";

const sessions = signal([]);
const failed = signal(null);

async function load() {
  try {
    sessions.value = (await api("/api/auth/sessions")).data;
  } catch (error) {
    failed.value = error;
  }
}

export function AccountPage() {
  useEffect(() => void load(), []);
  const { user, roles, budgets = {}, used = {} } = me.value;
  return html`<h1>Account</h1>
    <${Failed} error=${failed.value} />
    <dl class="summary">
      <dt>User</dt><dd>${user}</dd>
      <dt>Roles</dt><dd>${roles.join(", ")}</dd>
    </dl>
    <${SignOut} />
    <p><a href="/device">Let a program in</a> that shows you a code, such as <code>metamcp login --device</code>.</p>
    <h2>Budgets</h2>
    <table><thead><tr><th scope="col">What</th><th scope="col">Used</th><th scope="col">At most</th></tr></thead>
      <tbody>${Object.entries(budgets).map(([name, most]) => html`<tr key=${name}>
        <th scope="row">${name.replaceAll("_", " ")}</th>
        <td>${used[name] === undefined ? "" : amount(name, used[name])}</td>
        <td>${amount(name, most)}</td></tr>`)}</tbody></table>
    <h2>Where you have signed in</h2>
    <ul class="cards">${sessions.value.map((one) => html`<${Session} key=${one.id} session=${one} />`)}</ul>`;
}

function amount(name, value) {
  return name.endsWith("bytes") ? size(value) : value.toLocaleString();
}

function Session({ session }) {
  const [error, setError] = useState(null);
  const end = async () => {
    try {
      await api(`/api/auth/sessions/${session.id}`, { method: "DELETE" });
      await load();
    } catch (problem) {
      setError(problem);
    }
  };
  return html`<li class="card"><b>${session.current ? "This browser" : session.method}</b>
    <p>${session.agent}</p><p>${session.address} since <${Time} at=${session.created} /></p>
    ${!session.current && html`<button onClick=${end}>End it</button>`}
    <${Failed} error=${error} /></li>`;
}

function SignOut() {
  const [error, setError] = useState(null);
  const leave = async () => {
    try {
      await api("/api/auth/logout", { method: "POST" });
      location.assign("/signin");
    } catch (problem) {
      setError(problem);
    }
  };
  return html`<button onClick=${leave}>Sign out</button><${Failed} error=${error} />`;
}
