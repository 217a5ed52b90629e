// Projects: which one is in, who else, and what they may use.
import { html, useState } from "../../lib.js";
import { api } from "../../api.js";
import { href } from "../../router.js";
import { me } from "../../session.js";
import { Failed } from "../../parts/told.js";
import { Deed, Field, More, Sending, Table, When, typed, useLoaded, usePaged } from "../admin/kit.js";

const ROLES = [["viewer", "sees tasks and results"], ["editor", "submits besides"], ["owner", "changes the project"]];
const TIES = [["repository", "Repository on GitHub"], ["space", "Space on Hugging Face"], ["dataset", "Dataset on Hugging Face"]];
const QUOTAS = [["open_tasks", "Tasks that are not over"], ["tasks_a_day", "Tasks a day"]];

export function Projects({ rest }) {
  return rest ? html`<${Project} id=${rest} />` : html`<${List} />`;
}

function List() {
  const list = usePaged("/api/projects");
  const send = async (fields) => {
    const body = { name: typed(fields, "name"), description: typed(fields, "description") };
    await api("/api/projects", { method: "POST", body });
    await list.again();
  };
  return html`${list.loaded && !list.items.length && html`<p class="empty">You are in no project yet. A project groups
      tasks that several people can see.</p>`}
    ${list.items.length > 0 && html`<${Table} label="Projects" heads=${["Name", "You are", "Members", "Open tasks", "Today", "Changed", ""]}>
      ${list.items.map((one) => html`<tr key=${one.id}>
        <th scope="row" class="wide"><a href=${href(`/account/projects/${one.id}`)}>${one.name}</a></th>
        <td>${roleIn(one) ?? "not in it"}</td><td class="n">${one.members.length}</td>
        <td class="n">${one.open_tasks.toLocaleString()}</td><td class="n">${one.tasks_today.toLocaleString()}</td>
        <td><${When} at=${one.changed} /></td><td>${one.archived ? "archived" : ""}</td></tr>`)}</${Table}>`}
    ${(list.items.length > 0 || list.error) && html`<${More} list=${list} what="project" />`}
    <h2>Make a project</h2>
    <${Sending} label="Make the project" send=${send}>
      <${Field} label="Name"><input name="name" required maxlength="100" /></${Field}>
      <${Field} label="What it is about"><input name="description" maxlength="2000" /></${Field}>
    </${Sending}>`;
}

function roleIn(project) {
  return project.members.find(({ user }) => user === me.value.user)?.role;
}

function Project({ id }) {
  const path = `/api/projects/${encodeURIComponent(id)}`;
  const found = useLoaded(async () => (await api(path)).data, [id]);
  const project = found.data;
  const manages = project && (roleIn(project) === "owner" || me.value.roles.includes("admin"));
  return html`<p><a href=${href("/account/projects")}>All projects</a></p><${Failed} error=${found.error} />
    ${project && html`<h2>${project.name}</h2>
      <dl class="summary">
        <dt>Id</dt><dd class="id">${project.id}</dd>
        ${project.description && html`<dt>About</dt><dd>${project.description}</dd>`}
        ${TIES.map(([name, title]) => project[name] && html`<dt>${title}</dt><dd>${project[name]}</dd>`)}
        ${QUOTAS.map(([name, title]) => html`<dt>${title}</dt><dd>${used(project, name)}</dd>`)}
        <dt>Tasks</dt><dd><a href=${href("/tasks", { project: project.id })}>See them</a></dd>
        ${project.archived && html`<dt>State</dt><dd>archived: it takes no tasks</dd>`}
      </dl>
      <${Members} path=${path} project=${project} manages=${manages} again=${found.again} />
      ${manages && html`<${Changes} path=${path} project=${project} again=${found.again} />`}`}`;
}

function used(project, name) {
  const count = name === "open_tasks" ? project.open_tasks : project.tasks_today;
  const most = project.limits[name];
  return most === undefined ? count.toLocaleString() : `${count.toLocaleString()} of ${most.toLocaleString()}`;
}

function Members({ path, project, manages, again }) {
  const put = async (user, role) => {
    await api(`${path}/members/${encodeURIComponent(user)}`, { method: "PUT", body: { role } });
    await again();
  };
  const remove = async (user) => {
    await api(`${path}/members/${encodeURIComponent(user)}`, { method: "DELETE" });
    await again();
  };
  const own = me.value.user;
  return html`<h3>Members</h3>
    <${Table} label="Members" heads=${["User", "Role", ""]}>${project.members.map(({ user, role }) => html`<tr key=${user}>
      <th scope="row">${user}</th><td>${role}</td>
      <td class="deeds">${manages && ROLES.filter(([other]) => other !== role).map(([other]) => html`<${Deed}
          key=${other} label=${`Make ${other}`} run=${() => put(user, other)} />`)}
        ${(manages || user === own) && html`<${Deed} label=${user === own ? "Leave" : "Put out"}
          sure=${user === own ? "Leave the project?" : `Put ${user} out?`} run=${() => remove(user)} />`}</td></tr>`)}</${Table}>
    ${manages && html`<${Sending} label="Take in" title="Take somebody in"
        send=${(fields) => put(typed(fields, "user"), typed(fields, "role"))}>
      <${Field} label="User" note="They see the project as soon as they look."><input name="user" required maxlength="64" /></${Field}>
      <${Field} label="Role"><select name="role">${ROLES.map(([role, text]) => html`<option value=${role}>${role}: ${text}</option>`)}</select></${Field}>
    </${Sending}>`}`;
}

function Changes({ path, project, again }) {
  const [told, setTold] = useState("");
  const send = async (fields) => {
    const limits = {};
    for (const [name] of QUOTAS) if (typed(fields, name)) limits[name] = Number(typed(fields, name));
    const body = { name: typed(fields, "name"), description: typed(fields, "description"), limits };
    for (const [name] of TIES) body[name] = typed(fields, name);
    await api(path, { method: "PATCH", body });
    setTold("Saved.");
    await again();
  };
  const archive = async (archived) => {
    await api(path, { method: "PATCH", body: { archived } });
    await again();
  };
  return html`<h3>Change it</h3>
    <${Sending} label="Save" title="Change the project" send=${send} key=${project.changed}>
      <${Field} label="Name"><input name="name" required maxlength="100" defaultValue=${project.name} /></${Field}>
      <${Field} label="What it is about"><input name="description" maxlength="2000" defaultValue=${project.description} /></${Field}>
      ${TIES.map(([name, title]) => html`<${Field} label=${title}><input name=${name} placeholder="OWNER/NAME" defaultValue=${project[name]} /></${Field}>`)}
      ${QUOTAS.map(([name, title]) => html`<${Field} label=${`${title}, at most`} note="Empty: no limit.">
        <input name=${name} type="number" min="0" defaultValue=${project.limits[name] ?? ""} /></${Field}>`)}
    </${Sending}><p role="status">${told}</p>
    <p class="deeds">${project.archived
      ? html`<${Deed} label="Open it again" run=${() => archive(false)} />`
      : html`<${Deed} label="Archive it" sure="It takes no tasks then; what was done stays." run=${() => archive(true)} />`}</p>`;
}
