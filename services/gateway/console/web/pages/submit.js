// Submit: a task type with an input that works, files by drop, and off it goes.
import { html, useEffect, useState } from "../lib.js";
import { api } from "../api.js";
import { pretty, size } from "../format.js";
import { go, place, refine } from "../router.js";
import { inputFiles } from "../upload.js";
import { Empty, Failed, Json } from "../parts/told.js";

export function SubmitPage() {
  const [types, setTypes] = useState(null);
  const [error, setError] = useState(null);
  useEffect(() => {
    api("/api/mcps").then(({ data }) => setTypes(typesOf(data)), setError);
  }, []);
  const { type = "" } = place.value.query;
  const chosen = types?.get(type);
  return html`<h1>Submit</h1>
    <${Failed} error=${error} />
    ${types?.size === 0 && html`<${Empty}><p>No host serves a task type yet.</p><//>`}
    <label>Task type <select data-search value=${type} onChange=${(e) => refine({ type: e.target.value })}>
      <option value="">choose one</option>
      ${[...(types?.keys() ?? [])].sort().map((name) => html`<option value=${name} selected=${name === type}>${name}</option>`)}
    </select></label>
    ${chosen && html`<${Editor} key=${type} type=${type} binding=${chosen.binding} hosts=${chosen.hosts} />`}`;
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
  const [text, setText] = useState(pretty(binding.example ?? {}));
  const [host, setHost] = useState("");
  const [files, setFiles] = useState([]);
  const [sent, setSent] = useState(null);
  const [error, setError] = useState(null);
  const takesFiles = "files" in (binding.input_schema?.properties ?? binding.example ?? {});
  const take = (list) => setFiles([...files, ...list]);
  const submit = async (event) => {
    event.preventDefault();
    setError(null);
    try {
      const input = JSON.parse(text);
      if (files.length) {
        setSent([0, 1]);
        input.files = await inputFiles(files, (done, all) => setSent([done, all]));
      }
      const body = { type, input, ...(host ? { host } : {}) };
      go(`/tasks/${(await api("/api/tasks", { method: "POST", body })).data.id}`);
    } catch (problem) {
      setError(problem);
      setSent(null);
    }
  };
  return html`<form onSubmit=${submit}>
    <p>${binding.summary}</p>
    <label class="field"><span>Input (JSON)</span>
      <textarea rows="12" spellcheck="false" value=${text} onInput=${(e) => setText(e.target.value)}></textarea></label>
    ${takesFiles && html`<${Drop} files=${files} take=${take} clear=${() => setFiles([])} />`}
    <label>Host <select value=${host} onChange=${(e) => setHost(e.target.value)}>
      <option value="">the best of ${hosts.length}</option>
      ${hosts.map((id) => html`<option value=${id}>${id}</option>`)}</select></label>
    <${Failed} error=${error} />
    <p><button class="yes" disabled=${sent !== null}>Submit</button>
      ${sent && html` <progress value=${sent[0]} max=${sent[1] || 1} aria-label="Upload" />`}</p>
    <details><summary>Schema of the input</summary><${Json} value=${binding.input_schema ?? {}} label="Schema" /></details>
  </form>`;
}

/** Where files go, by drop or choice; they take the place of `files` in the input. */
function Drop({ files, take, clear }) {
  const dropped = (event) => {
    event.preventDefault();
    take([...event.dataTransfer.files]);
  };
  return html`<fieldset class="drop" onDragOver=${(e) => e.preventDefault()} onDrop=${dropped}>
    <legend>Files, in the place of those in the input: drop them here</legend>
    <label>Files <input type="file" multiple onChange=${(e) => take([...e.target.files])} /></label>
    <label>A folder <input type="file" webkitdirectory onChange=${(e) => take([...e.target.files])} /></label>
    ${files.length > 0 && html`<p>${files.length} files, ${size(files.reduce((sum, one) => sum + one.size, 0))}
      <button type="button" onClick=${clear}>Take them out</button></p>`}
  </fieldset>`;
}
