// Run a task again with edits: only what was changed is sent, the rest is the old task's.
import { html, useEffect, useRef, useState } from "../lib.js";
import { api } from "../api.js";
import { pretty } from "../format.js";
import { go } from "../router.js";
import { Form, useForm } from "./form.js";
import { Failed } from "./told.js";

const PRIORITIES = ["high", "normal", "low"];

/** @param {{task: any, onClose: () => void}} props */
export function Again({ task, onClose }) {
  const { id, spec } = task;
  const [error, setError] = useState(/** @type {any} */ (null));
  const [busy, setBusy] = useState(false);
  const [asJson, setAsJson] = useState(false);
  const schema = useToolSchema(spec), form = useForm(schema, spec.input?.arguments);
  const first = useRef(/** @type {any} */ (null));
  useEffect(() => first.current?.focus(), []);
  // The schema comes later than the form.
  useEffect(() => {
    if (schema) form.fill(spec.input.arguments ?? {});
  }, [schema]);
  const send = async (event) => {
    event.preventDefault();
    const given = schema && !asJson ? form.values() : undefined;
    if (given === null) return;
    setBusy(true);
    setError(null);
    try {
      const body = editsOf(event.target, spec, given);
      const made = await api(`/api/tasks/${encodeURIComponent(id)}/again`, { method: "POST", body });
      go(`/tasks/${made.data.id}`);
    } catch (problem) {
      if (!given || !form.refuse(problem.message, "input.arguments")) setError(problem);
      setBusy(false);
    }
  };
  return html`<form class="card again" aria-label="Run it again" onSubmit=${send}>
    <h2>Run it again</h2>
    <div class="beside">
      <label class="field"><span>Type</span><input name="type" required defaultValue=${spec.type} ref=${first} /></label>
      <label class="field"><span>Host</span><input name="host" defaultValue=${spec.host ?? ""} placeholder="any" /></label>
      <label class="field"><span>Priority</span><select name="priority">${PRIORITIES.map((one) => html`<option
        value=${one} selected=${one === (spec.priority ?? "normal")}>${one}</option>`)}</select></label>
    </div>
    ${schema && html`<p class="forms">
      <button type="button" aria-pressed=${!asJson} onClick=${() => setAsJson(false)}>Form</button>
      <button type="button" aria-pressed=${asJson} onClick=${() => setAsJson(true)}>JSON</button></p>`}
    ${schema && !asJson ? html`<fieldset><legend>${spec.input.tool}</legend>
        <${Form} form=${form} /></fieldset>`
      : spec.input_pointer ? html`<p><small>Its input lies in the object store and goes along as it is.</small></p>`
        : html`<label class="field"><span>Input (JSON)</span><textarea name="input" rows="8" spellcheck="false"
          defaultValue=${pretty(spec.input ?? {})}></textarea></label>`}
    <${Failed} error=${error} />
    <button class="yes" disabled=${busy}>Run</button> <button type="button" onClick=${onClose}>Close</button>
  </form>`;
}

/** What differs from the old task; `given`: the tool's arguments, where a form has them. Raises Error. */
function editsOf(form, spec, given) {
  /** @type {Record<string, any>} */
  const edits = {};
  const field = (name) => form.elements.namedItem(name);
  if (field("type").value !== spec.type) edits.type = field("type").value;
  if (field("host").value !== (spec.host ?? "")) edits.host = field("host").value || null;
  if (field("priority").value !== (spec.priority ?? "normal")) edits.priority = field("priority").value;
  const input = given ? { ...spec.input, arguments: given } : typed(field("input"));
  if (input !== undefined && pretty(input) !== pretty(spec.input ?? {})) edits.input = input;
  return edits;
}

function typed(field) {
  if (!field) return undefined;
  try {
    return JSON.parse(field.value);
  } catch (error) {
    throw new Error(`The input is no JSON: ${error.message}`);
  }
}

/** The schema of the tool that a task calls at a host which it names; null: there is none here. */
function useToolSchema(spec) {
  const [schema, setSchema] = useState(/** @type {any} */ (null));
  const tool = spec.type === "mcp.call" && spec.host && typeof spec.input?.tool === "string" ? spec.input.tool : "";
  useEffect(() => {
    if (!tool) return;
    const path = `/api/mcps/${spec.host.split("/").map(encodeURIComponent).join("/")}`;
    api(path).then(({ data }) => {
      const found = data.tools?.find(({ name }) => name === tool)?.input_schema;
      if (found?.type === "object" && found.properties) setSchema(found);
    }).catch(() => setSchema(null));
  }, [tool, spec.host]);
  return schema;
}
