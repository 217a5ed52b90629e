// Profiles: what agents are shown at /mcp/PROFILE.
import { html, useState } from "../../lib.js";
import { api } from "../../api.js";
import { pretty } from "../../format.js";
import { isAdmin, me } from "../../session.js";
import { Failed } from "../../parts/told.js";
import { Deed, Field, NAME, Sending, Table, typed, useLoaded } from "../admin/kit.js";

const SET_ELSEWHERE = ["name", "user", "project", "by", "changed"];
const KEYS = [["description", "what it is for"], ["hosts", "which hosts; none named: all"],
  ["only", "of a host, only these tools: {\"git\": [\"git_log\"]}"],
  ["without", "of a host, all but these tools, as above"],
  ["changes", "another name or description for a tool: [{\"host\": \"git\", \"tool\": \"git_log\", \"name\": \"history\"}]"],
  ["approve", "tools whose calls a person has to allow: [\"git_commit\", \"*delete*\"]; or \"destructive\""],
  ["tools", "\"all\"; or \"search\": agents find tools by search, and see no list"]];
const EMPTY = { description: "", hosts: ["*"], without: { "*": ["*delete*"] } };

export function Profiles() {
  const list = useLoaded(async () => (await api("/api/profiles")).data);
  const [edited, setEdited] = useState(/** @type {any} */ (null));
  const place = (one) => ({ project: one.project || undefined, everybody: !one.user && !one.project ? "true" : undefined });
  const remove = async (one) => {
    await api(`/api/profiles/${encodeURIComponent(one.name)}`, { method: "DELETE", query: place(one) });
    await list.again();
  };
  const send = async (fields) => {
    const body = JSON.parse(typed(fields, "body"));
    const query = { everybody: fields.get("everybody") ? "true" : undefined, project: edited?.project || undefined };
    await api(`/api/profiles/${encodeURIComponent(typed(fields, "name"))}`, { method: "PUT", body, query });
    setEdited(null);
    await list.again();
  };
  const profiles = list.data ?? [];
  return html`<p>A profile says which hosts and tools an agent is shown at${" "}
      <code>/mcp/PROFILE</code>, where PROFILE is the name that you give it below.</p>
    <${Failed} error=${list.error} />
    ${list.data && !profiles.length && html`<p class="empty">No profiles yet. Make one below.</p>`}
    ${profiles.length > 0 && html`<${Table} label="Profiles" heads=${["Name", "Whose", "What for", "Address", ""]}>
      ${profiles.map((one) => html`<tr key=${`${one.user}/${one.project}/${one.name}`}>
        <th scope="row">${one.name}</th><td>${whose(one)}</td><td class="wide">${one.description}</td>
        <td class="id">/mcp/${one.name}</td>
        <td class="deeds"><button onClick=${() => setEdited(one)}>Change</button>
          ${one.user === me.value.user && html`<${Deed} label="Remove" sure="Agents that use it find nothing then." run=${() => remove(one)} />`}</td>
      </tr>`)}</${Table}>`}
    <h2>${edited ? `Change ${edited.name}` : "Make a profile"}</h2>
    <${Sending} label="Save the profile" send=${send} key=${edited?.name ?? ""}>
      <${Field} label="Name"><input name="name" required maxlength="64" pattern=${NAME} defaultValue=${edited?.name ?? ""} /></${Field}>
      <${Field} label="What is shown, as JSON" note="In names, * stands for anything.">
        <textarea name="body" rows="12" spellcheck="false" required defaultValue=${pretty(edited ? bodyOf(edited) : EMPTY)}></textarea></${Field}>
      <dl class="summary">${KEYS.map(([name, text]) => html`<dt><code>${name}</code></dt><dd>${text}</dd>`)}</dl>
      ${isAdmin.value && html`<label><input type="checkbox" name="everybody" defaultChecked=${Boolean(edited && !edited.user && !edited.project)} />
        For everybody</label>`}
    </${Sending}>`;
}

function whose(one) {
  if (one.project) return `project ${one.project}`;
  return one.user === me.value.user ? "yours" : one.user || "everybody's";
}

function bodyOf(profile) {
  return Object.fromEntries(Object.entries(profile).filter(([name]) => !SET_ELSEWHERE.includes(name)));
}
