// Submit: a task type with an input that works, files by drop, and off it goes; or many at once.
import { html, useEffect, useSignal } from "../lib.js";
import { api } from "../api.js";
import { pretty, size } from "../format.js";
import { go, href, place, refine } from "../router.js";
import { tagsOf } from "../tags.js";
import { chosen, droppedFiles, inputFiles, MOST_FILES, upload } from "../upload.js";
import { Empty, Failed, Json } from "../parts/told.js";
import { Form, useForm } from "../parts/form.js";
import { kindOf, plain } from "../parts/schema.js";
import { Batch } from "../parts/batch.js";

const INLINE_INPUT = 48 * 1024;
/** Bytes of an input that stands in the task itself; a larger one is uploaded. */

export function SubmitPage() {
  const types = useSignal(/** @type {Map<string, any> | null} */ (null)), error = useSignal(/** @type {any} */ (null));
  useEffect(() => {
    api("/api/mcps").then(({ data }) => {
      types.value = typesOf(data);
    }, (problem) => {
      error.value = problem;
    });
  }, []);
  const { type = "", many = "" } = place.value.query;
  const known = types.value, one = known?.get(type);
  return html`<div class="title"><h1>Submit</h1>
      <div class="switch" role="group" aria-label="How many">
        <button aria-pressed=${!many} onClick=${() => refine({ many: "" })}>One task</button>
        <button aria-pressed=${Boolean(many)} onClick=${() => refine({ many: "1" })}>A batch</button></div></div>
    <${Failed} error=${error.value} />
    ${many ? html`<${Batch} />` : html`
      ${known?.size === 0 && html`<${Empty}><p>No host serves a task type yet. Types come from your <a href=${href("/hosts")}>hosts</a>.</p><//>`}
      <label>Task type <select data-search onChange=${(e) => refine({ type: e.target.value, host: "" })}>
        <option value="">choose one</option>
        ${[...(known?.keys() ?? [])].sort().map((name) => html`<option value=${name} selected=${name === type}>${name}</option>`)}
      </select></label>
      ${known && known.size > 0 && !one && html`<${Empty}><p>${type ? `No host serves ${type}.` : "Choose a task type; its form opens here."}${" "}
        Types come from your <a href=${href("/hosts")}>hosts</a>.</p><//>`}
      ${one && html`<${Editor} key=${type} type=${type} binding=${one.binding} hosts=${one.hosts} />`}`}`;
}

/** Task types with how the first host serves each, and all hosts that do. */
function typesOf(hosts) {
  const types = new Map();
  for (const host of hosts) {
    for (const [name, binding] of Object.entries(host.task_types ?? {})) {
      const known = types.get(name);
      if (known) known.hosts.push(host.id);
      else types.set(name, { binding, hosts: [host.id] });
    }
  }
  return types;
}

function Editor({ type, binding, hosts }) {
  const schema = binding.input_schema ?? {}, example = binding.example ?? {};
  const form = useForm(schema, example), text = useSignal(pretty(example));
  const files = useSignal(/** @type {File[]} */ ([])), left = useSignal(0);
  const more = useSignal(/** @type {Record<string, string>} */ ({ host: place.value.query.host ?? "" }));
  const sent = useSignal(/** @type {number[] | null} */ (null)), error = useSignal(/** @type {any} */ (null));
  const fielded = kindOf(plain(schema, schema), schema) === "object";
  const asForm = fielded && place.value.query.as !== "json";
  const takesFiles = "files" in (schema.properties ?? example ?? {});
  const read = () => (asForm ? form.values() : JSON.parse(text.value));
  const turn = () => {
    error.value = null;
    try {
      const values = read();
      if (values === null) return;
      if (asForm) text.value = pretty(values);
      else form.fill(values);
      refine({ as: asForm ? "json" : "" });
    } catch (problem) {
      error.value = problem;
    }
  };
  const take = (/** @type {Iterable<File>} */ list) => {
    const found = chosen(list);
    left.value += found.left;
    files.value = [...files.value, ...found.taken];
    error.value = files.value.length > MOST_FILES ? new Error(`A task has at most ${MOST_FILES} files: send an archive.`) : null;
  };
  const submit = async (/** @type {any} */ event) => {
    event.preventDefault();
    error.value = null;
    try {
      const input = read();
      if (input === null) return;
      sent.value = [0, 1];
      if (files.value.length) {
        input.files = await inputFiles(files.value, (done, all) => {
          sent.value = [done, all];
        });
      }
      const body = { type, ...await inputOf(input), ...moreOf(more.value) };
      go(`/tasks/${(await api("/api/tasks", { method: "POST", body })).data.id}`);
    } catch (problem) {
      if (!(asForm && form.refuse(problem.message, "input"))) error.value = problem;
      sent.value = null;
    }
  };
  return html`<form class="submit" onSubmit=${submit} novalidate>
    <p>${binding.summary}</p>
    ${fielded && html`<p><button type="button" aria-pressed=${!asForm} onClick=${turn}>${asForm ? "Write it as JSON" : "Back to the form"}</button></p>`}
    ${asForm ? html`<${Form} form=${form} />` : html`<label class="field"><span>Input (JSON)</span>
      <textarea name="input" rows="14" spellcheck="false" value=${text.value} onInput=${(e) => { text.value = e.target.value; }}></textarea></label>`}
    ${takesFiles && html`<${Drop} files=${files.value} left=${left.value} take=${take} clear=${() => { files.value = []; left.value = 0; }} />`}
    <${More} more=${more} hosts=${hosts} />
    <${Failed} error=${error.value} />
    <p><button class="yes" disabled=${sent.value !== null}>Submit</button>
      ${sent.value && files.value.length > 0 && html` <progress value=${sent.value[0]} max=${sent.value[1] || 1} aria-label="Upload" />
        <small>${size(sent.value[0])} of ${size(sent.value[1])}</small>`}</p>
    <details><summary>Schema of the input</summary><${Json} value=${schema} label="Schema" /></details>
  </form>`;
}

/** A big input lies in the object store, and the task points to it. @param {any} input */
async function inputOf(input) {
  const blob = new Blob([JSON.stringify(input)], { type: "application/json" });
  return blob.size <= INLINE_INPUT ? { input } : { input_pointer: await upload(blob, () => {}) };
}

/** What stands under "More". @param {Record<string, string>} more */
function moreOf(more) {
  /** @type {Record<string, any>} */
  const body = {};
  for (const name of ["host", "priority", "project"]) if (more[name]) body[name] = more[name];
  if (more.deadline) body.deadline_s = Number(more.deadline) * 60;
  if (more.tags?.trim()) body.tags = tagsOf(more.tags);
  return body;
}

/** @param {{more: any, hosts: string[]}} props */
function More({ more, hosts }) {
  const set = (/** @type {string} */ name) => (/** @type {any} */ e) => {
    more.value = { ...more.value, [name]: e.target.value };
  };
  const { host = "" } = more.value;
  return html`<details open=${Boolean(host)}><summary>More</summary><div class="filters more">
    <label>Host <select name="host" onChange=${set("host")}><option value="">the best of ${hosts.length}</option>
      ${hosts.map((id) => html`<option value=${id} selected=${id === host}>${id}</option>`)}</select></label>
    <label>Priority <select name="priority" onChange=${set("priority")}><option value="">normal</option>
      <option value="high">high</option><option value="low">low</option></select></label>
    <label>Project <input name="project" spellcheck="false" onInput=${set("project")} placeholder="none" /></label>
    <label>Tags <input name="tags" spellcheck="false" onInput=${set("tags")} placeholder="team=core, run=7" /></label>
    <label>Deadline <input name="deadline" type="number" min="0.1" step="any" onInput=${set("deadline")} /> minutes</label>
  </div></details>`;
}

/** Where files go, by drop or choice; they take the place of `files` in the input. */
function Drop({ files, left, take, clear }) {
  const over = useSignal(false), error = useSignal(/** @type {any} */ (null));
  const dropped = async (/** @type {any} */ event) => {
    event.preventDefault();
    over.value = false;
    try {
      take(await droppedFiles(event.dataTransfer));
    } catch (problem) {
      error.value = problem;
    }
  };
  return html`<fieldset class=${over.value ? "drop over" : "drop"} onDrop=${dropped}
    onDragOver=${(e) => { e.preventDefault(); over.value = true; }} onDragLeave=${() => { over.value = false; }}>
    <legend>Files, in the place of those in the input: drop files or folders here</legend>
    <label>Files <input type="file" multiple onChange=${(e) => take([...e.target.files])} /></label>
    <label>A folder <input type="file" webkitdirectory onChange=${(e) => take([...e.target.files])} /></label>
    ${files.length > 0 && html`<p>${files.length} files, ${size(files.reduce((sum, one) => sum + one.size, 0))}
      <button type="button" onClick=${clear}>Take them out</button></p>`}
    ${left > 0 && html`<p><small>${left} files of .git, node_modules, __pycache__ and .venv are left out.</small></p>`}
    <${Failed} error=${error.value} /></fieldset>`;
}
