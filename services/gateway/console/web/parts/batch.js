// Many tasks at once: JSON lines, pasted or from a file, and what became of each.
import { html, useSignal } from "../lib.js";
import { size } from "../format.js";
import { href } from "../router.js";
import { tagsOf } from "../tags.js";
import { sent } from "../upload.js";
import { Failed } from "./told.js";

const MOST_TASKS = 10_000;
const LINES = "application/x-ndjson";
const EXAMPLE = `{"type": "code_analysis", "input": {"files": {"a.py": "print(1)"}}}
{"type": "code_analysis", "input": {"files": {"b.py": "print(2)"}}}`;

export function Batch() {
  const text = useSignal(""), file = useSignal(/** @type {File | null} */ (null)), id = useSignal("");
  const project = useSignal(""), tags = useSignal("");
  const error = useSignal(/** @type {any} */ (null)), found = useSignal(/** @type {any} */ (null));
  const progress = useSignal(/** @type {number | null} */ (null));
  const body = () => (file.value ? new Blob([file.value], { type: LINES }) : new Blob([text.value], { type: LINES }));
  const count = text.value.split("\n").filter((line) => line.trim()).length;
  const take = (/** @type {File | undefined} */ one) => {
    file.value = one ?? null;
    found.value = null;
  };
  const send = async (/** @type {any} */ event) => {
    event.preventDefault();
    error.value = null;
    found.value = null;
    const query = new URLSearchParams();
    if (id.value.trim()) query.set("id", id.value.trim());
    if (project.value.trim()) query.set("project", project.value.trim());
    for (const [key, value] of Object.entries(tagsOf(tags.value))) query.append("tag", `${key}=${value}`);
    const bytes = body();
    progress.value = 0;
    try {
      const { data } = await sent("POST", `/api/batches${query.size ? `?${query}` : ""}`, bytes, (done) => {
        progress.value = done / Math.max(1, bytes.size);
      });
      found.value = data;
      // Sent again, it is the same batch: what was refused may fit then.
      id.value = data.batch;
    } catch (problem) {
      error.value = problem;
    } finally {
      progress.value = null;
    }
  };
  return html`<form class="submit" onSubmit=${send} onDragOver=${(e) => e.preventDefault()}
      onDrop=${(e) => { e.preventDefault(); take(e.dataTransfer.files[0]); }}>
    <p>One task on each line, as JSON: the fields of <code>POST /api/tasks</code>; at most ${MOST_TASKS.toLocaleString()}. Each is accepted or refused by itself.</p>
    ${file.value ? html`<p><b>${file.value.name}</b>, ${size(file.value.size)} <button type="button" onClick=${() => take(undefined)}>Take it out</button></p>`
      : html`<label class="field"><span>Tasks (JSON lines)</span><textarea name="lines" rows="10" spellcheck="false" value=${text.value}
        placeholder=${EXAMPLE} onInput=${(e) => { text.value = e.target.value; }}></textarea></label>`}
    <p><label>Or a file <input type="file" accept=".jsonl,.ndjson,.json" onChange=${(e) => take(e.target.files[0])} /></label></p>
    <div class="filters more"><label>Id <input name="id" value=${id.value} placeholder="made for you" spellcheck="false" onInput=${(e) => { id.value = e.target.value; }} /></label>
      <label>Project <input name="project" value=${project.value} placeholder="none" spellcheck="false" onInput=${(e) => { project.value = e.target.value; }} /></label>
      <label>Tags of all <input name="tags" value=${tags.value} placeholder="team=core, run=7" spellcheck="false" onInput=${(e) => { tags.value = e.target.value; }} /></label></div>
    <${Failed} error=${error.value} />
    <p><button class="yes" disabled=${progress.value !== null || (!file.value && !count)}>Submit ${file.value ? "the file" : `${count} ${count === 1 ? "task" : "tasks"}`}</button>
      ${progress.value !== null && html` <progress value=${progress.value} max="1" aria-label="Upload" />`}</p>
    ${found.value && html`<${Outcome} found=${found.value} />`}
  </form>`;
}

function Outcome({ found }) {
  const refused = found.refused ?? [], count = found.refused_count ?? refused.length;
  return html`<section class="card" aria-live="polite"><h2>Batch <span class="id">${found.batch}</span></h2>
    <p><b>${found.accepted}</b> accepted, <b>${found.duplicates}</b> were there already, <b class=${count ? "bad" : ""}>${count}</b> refused</p>
    ${found.cut && html`<p class="bad">It broke off: what was whole of it counts. Send all of it again under the same id.</p>`}
    <p><a href=${href("/tasks", { batch: found.batch })}>See its tasks</a></p>
    ${refused.length > 0 && html`<ol class="refused">${refused.map((one) => html`<li value=${one.line}><b>${one.reason}</b> ${one.message}</li>`)}</ol>
      ${count > refused.length && html`<p><small>and ${count - refused.length} more</small></p>`}
      <p><small>Mend these lines, and send all of it again under the same id: nothing is created twice.</small></p>`}</section>`;
}
