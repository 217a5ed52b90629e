// Add a host, or change one that was added so.
import { html, useEffect, useSignal } from "../lib.js";
import { api } from "../api.js";
import { go, href, place, refine } from "../router.js";
import { entryOf, fieldsOf, KINDS } from "../hostentry.js";
import { isAdmin, me } from "../session.js";
import { Failed } from "../parts/told.js";

const HTTP = [
  [`bearer_from`, "Secret sent as bearer token", "Its name, not its value."],
  ["headers", "Headers", "NAME: VALUE, one on each line. They are stored readably; write a secret as {secret:NAME}.", "rows"],
];
/** @type {Record<string, string[][]>} */
const FIELDS = {
  http: [["url", "URL *", "https://… of the MCP server"], ...HTTP],
  stdio: [
    ["command", "Command *", "A program that speaks MCP on standard input and output, such as npx or uvx."],
    ["args", "Arguments", "One on each line.", "rows"],
    ["env", "Environment", "NAME=VALUE, one on each line. It is stored readably; write a secret as {secret:NAME}.", "rows"],
    [`env_from`, "Passed on", "Names of variables that the executor passes on from its own environment."],
    ["cwd", "Folder", "It runs in."],
  ],
  openapi: [
    ["url", "Base URL *", "What the operations' paths are added to."],
    ["document_url", "URL of the document *", "An OpenAPI 3 document, as JSON or YAML."],
    ["operations", "Operations", "Names to take, * for any characters; empty: all."],
    ["secrets", "Secrets", "SCHEME=NAME: the name of the secret for a security scheme of the document.", "rows"], ...HTTP,
  ],
  execute: [["url", "URL *", "Answers POST /execute and GET /health."],
    ["task_types", "Task types *", "Names of those that it serves."], ...HTTP],
  space: [["space", "Space *", "OWNER/NAME of a Gradio Space that is an MCP server."], ...HTTP],
};

export function AddHostPage() {
  const { change = "" } = place.value.query;
  const fields = useSignal(/** @type {Record<string, string>} */ ({})), id = useSignal(change);
  const told = useSignal(""), error = useSignal(/** @type {any} */ (null)), busy = useSignal(false);
  useEffect(() => {
    if (!change) return;
    api(`/api/mcps/${change}`).then(({ data }) => {
      const found = fieldsOf(data);
      fields.value = found.fields;
      refine({ kind: found.kind });
    }, (problem) => {
      error.value = problem;
    });
  }, [change]);
  const kind = Object.hasOwn(FIELDS, place.value.query.kind ?? "") ? place.value.query.kind : "http";
  const send = async (/** @type {string} */ verb) => {
    error.value = null;
    told.value = "";
    busy.value = true;
    try {
      const name = id.value.trim();
      if (!name) throw new Error("Say the host's id.");
      const body = entryOf(kind, fields.value);
      const path = `/api/mcps/${name.split("/").map(encodeURIComponent).join("/")}`;
      if (verb === "check") {
        const { data } = await api(`${path}/check`, { method: "POST", body });
        told.value = data.new ? `It could be registered as ${data.host}.` : `${data.host} is there, exactly so.`;
      } else {
        const { data } = await api(path, { method: change ? "PUT" : "POST", body });
        go(`/hosts/${data.id}`);
      }
    } catch (problem) {
      error.value = problem;
    } finally {
      busy.value = false;
    }
  };
  const set = (/** @type {string} */ name) => (/** @type {any} */ e) => {
    fields.value = { ...fields.value, [name]: e.target.value };
  };
  return html`<h1>${change ? `Change ${change}` : "Add a host"}</h1>
    <form class="add" onSubmit=${(e) => { e.preventDefault(); send("add"); }}>
      <p class="pale">* required</p>
      <label class="field"><span>Kind</span><select onChange=${(e) => refine({ kind: e.target.value })}>
        ${Object.entries(KINDS).map(([one, title]) => html`<option value=${one} selected=${one === kind}>${title}</option>`)}</select></label>
      ${kind === "stdio" && !isAdmin.value && html`<p class="note">Programs run on the operator's machine: only admins add them.</p>`}
      ${!change && html`<label class="field"><span>Id *</span><input name="id" aria-required="true" value=${id.value} spellcheck="false" autocomplete="off"
        onInput=${(e) => { id.value = e.target.value; }} />
        <small>${isAdmin.value ? "Letters, digits, _ and -. The host is there for everybody."
          : `Letters, digits, _ and -. The host is yours: ${me.value?.user}/…`}</small></label>`}
      <label class="field"><span>Name for people</span><input name="title" value=${fields.value.title ?? ""} onInput=${set("title")} /></label>
      ${FIELDS[kind].map(([name, title, about, rows]) => html`<label class="field" key=${`${kind}.${name}`}><span>${title}</span>
        ${rows ? html`<textarea name=${name} rows="3" spellcheck="false" value=${fields.value[name] ?? ""} onInput=${set(name)}></textarea>`
          : html`<input name=${name} aria-required=${title.endsWith("*")} spellcheck="false" autocomplete="off" value=${fields.value[name] ?? ""} onInput=${set(name)} />`}
        <small>${about}</small></label>`)}
      <details open=${Boolean(fields.value.more)}><summary>More</summary>
        <label class="field"><span>Everything else of a host, as JSON</span>
          <textarea name="more" rows="6" spellcheck="false" value=${fields.value.more ?? ""} onInput=${set("more")}
            placeholder=${'{"capabilities": [{"name": "code_analysis"}], "limits": {"max_concurrency": 2}}'}></textarea>
          <small>Capabilities, task types, limits, probe, access, approvals: as in a manifest.</small></label></details>
      <p class="note">Values of secrets are never typed here: the operator puts them into${" "}<code>secrets/${isAdmin.value ? "" : `${me.value?.user}/`}NAME</code> of the data folder, and the host names them.</p>
      <${Failed} error=${error.value} />
      <p class="buttons"><button class="yes" disabled=${busy.value}>${change ? "Change it" : "Add it"}</button>
        <button type="button" disabled=${busy.value} onClick=${() => send("check")}>Only check</button>
        <a class="button quiet" href=${href(change ? `/hosts/${change}` : "/hosts")}>Back</a>
        <output aria-live="polite">${told.value}</output></p>
    </form>`;
}
