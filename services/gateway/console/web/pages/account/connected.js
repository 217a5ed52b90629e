// Connected accounts: elsewhere, for hosts and to sign in with, and programs that act for somebody.
import { html } from "../../lib.js";
import { api } from "../../api.js";
import { href } from "../../router.js";
import { Failed } from "../../parts/told.js";
import { Deed, Field, Sending, Table, When, typed, useLoaded } from "../admin/kit.js";

const PROVIDERS = [
  ["huggingface", "Hugging Face", "hf_…", "https://huggingface.co/settings/tokens", "To run your Spaces as hosts and keep big results in your own Dataset.",
    "It needs the right to write."],
  ["github", "GitHub", "ghp_…", "https://github.com/settings/tokens", "To read and write your repositories, also as input of tasks.",
    "A classic token needs the scope repo; a fine-grained one the permission Contents, read and write, for the repositories you mean."],
];
const HERE = encodeURIComponent("/console/account/connected");

export function Connected() {
  return html`<${Linked} /><${HostLinks} /><${Identities} /><${Grants} />`;
}

function Linked() {
  const list = useLoaded(async () => (await api("/api/accounts")).data);
  const of = (provider) => (list.data ?? []).find((one) => one.provider === provider);
  const link = (provider) => async (fields) => {
    await api(`/api/accounts/${provider}`, { method: "PUT", body: { token: typed(fields, "token") } });
    await list.again();
  };
  const unlink = (provider) => async () => {
    await api(`/api/accounts/${provider}`, { method: "DELETE" });
    await list.again();
  };
  return html`<h2>Accounts to work with</h2><${Failed} error=${list.error} />
    <ul class="cards">${list.data && PROVIDERS.map(([provider, title, form, made, purpose, rights]) => {
      const account = of(provider);
      return html`<li class="card" key=${provider}><h3>${title}</h3><p>${purpose}</p>
        ${account ? html`<p>Linked as <b>${account.name}</b> since <${When} at=${account.linked_at} /></p>
            <p><small>${(account.scopes ?? []).join(", ")}</small></p>
            <${Deed} label="Unlink" sure=${`Forget the token of ${title}?`} run=${unlink(provider)} />`
          : html`<${Sending} label="Link" title=${`Link ${title}`} send=${link(provider)}>
              <${Field} label="Token" note=${html`${rights} <a href=${made} target="_blank" rel="noreferrer">Make one at ${title}</a>.
                  It is kept sealed and never shown again.`}>
                <input name="token" type="password" autocomplete="off" required placeholder=${form} /></${Field}>
            </${Sending}>`}</li>`;
    })}</ul>`;
}

function HostLinks() {
  const list = useLoaded(async () => (await api("/api/links")).data);
  const unlink = async (host) => {
    const path = host.split("/").map(encodeURIComponent).join("/");
    await api(`/api/mcps/${path}/link`, { method: "DELETE" });
    await list.again();
  };
  return html`<h2>Hosts you have signed in at</h2><${Failed} error=${list.error} />
    ${list.data && (list.data.length ? html`<${Table} label="Sign-ins at hosts" heads=${["Host", "Issuer", "Since", "Ends", "State", ""]}>
      ${list.data.map((one) => html`<tr key=${one.host}><th scope="row">${one.host}</th><td>${one.issuer}</td>
        <td><${When} at=${one.linked_at} /></td><td><${When} at=${one.ends} none="renewed by itself" /></td>
        <td class="wide">${one.broken ? html`<span class="bad">${one.broken}</span>` : "good"}</td>
        <td class="deeds"><${Deed} label="Sign out there" run=${() => unlink(one.host)} /></td></tr>`)}</${Table}>`
      : html`<p class="empty">You are signed in at no host. Some <a href=${href("/hosts")}>hosts</a>${" "}
        ask who you are: sign in from a host's page.</p>`)}`;
}

function Identities() {
  const list = useLoaded(async () => {
    const [own, ways] = await Promise.all([api("/api/auth/identities"), api("/api/auth/providers")]);
    return { own: own.data, ways: ways.data };
  });
  const unlink = async (key) => {
    await api(`/api/auth/identities/${encodeURIComponent(key)}`, { method: "DELETE" });
    await list.again();
  };
  if (list.data && !list.data.own.length && !list.data.ways.length) return null;
  return html`<h2>To sign in with</h2><${Failed} error=${list.error} />
    ${list.data && html`${list.data.own.length > 0 && html`<${Table} label="Identities" heads=${["Provider", "Called there", "Since", ""]}>
        ${list.data.own.map((one) => html`<tr key=${one.key}><th scope="row">${one.provider}</th><td>${one.login}</td>
          <td><${When} at=${one.linked} /></td>
          <td class="deeds"><${Deed} label="Unlink" sure="You can't sign in with it any more." run=${() => unlink(one.key)} /></td>
        </tr>`)}</${Table}>`}
      <p class="deeds">${list.data.ways.map((way) => html`<a key=${way.name} target="_self"
        href=${`${way.start}?link=true&next=${HERE}`}>Link ${way.title}</a>`)}</p>`}`;
}

function Grants() {
  const list = useLoaded(async () => (await api("/api/auth/grants")).data);
  const withdraw = async (id) => {
    await api(`/api/auth/grants/${encodeURIComponent(id)}`, { method: "DELETE" });
    await list.again();
  };
  return html`<h2>Programs that act for you</h2><${Failed} error=${list.error} />
    ${list.data && (list.data.length ? html`<${Table} label="Programs that act for you" heads=${["Program", "May use", "Since", "Ends", ""]}>
      ${list.data.map((one) => html`<tr key=${one.id}><th scope="row" class="wide">${one.client_name || one.client}</th>
        <td class="wide">${one.scopes.join(", ")}</td><td><${When} at=${one.created} /></td><td><${When} at=${one.expires} /></td>
        <td class="deeds"><${Deed} label="Withdraw" sure="It is out within a second." run=${() => withdraw(one.id)} /></td></tr>`)}</${Table}>`
      : html`<p class="empty">No program may act for you yet. Does one show you a code?${" "}
        <a href="/device">Let it in</a>.</p>`)}`;
}
