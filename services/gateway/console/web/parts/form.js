// A form from a JSON Schema: of a host's question, a tool's input, a task type. What has no field of
// its own is written as JSON.
import { html, useMemo, useSignal } from "../lib.js";
import { own } from "../own.js";
import { below, besides, choicesOf, draftOf, kindOf, placeOf, plain, requiredOf, valueOf } from "./schema.js";

const MOST_CHOICES_IN_SIGHT = 400;
const LONG_TEXT = new Set(["text", "code", "content", "body", "query", "prompt", "message"]);

let made = 0;

/** What is in a form, and what is wrong with it. @typedef {ReturnType<typeof useForm>} FormState */

/**
 * The state of one form. `values()` is null while something is wrong, which the fields then say.
 * @param {any} schema @param {any} [values] what it begins with
 */
export function useForm(schema, values) {
  const draft = useSignal(draftOf(schema ?? {}, values, schema));
  const errors = useSignal(/** @type {Record<string, string>} */ ({}));
  const more = useSignal(besides(schema ?? {}, values));
  return useMemo(() => ({
    /** Before the ids of its fields: several forms stand on one page. */
    id: `form${++made}`,
    schema: schema ?? {},
    draft,
    errors,
    values() {
      const read = valueOf(schema ?? {}, draft.value, schema, { needed: kindOf(plain(schema, schema), schema) === "object" });
      errors.value = read.errors;
      if (Object.keys(read.errors).length) return null;
      return Object.keys(more.value).length ? { ...more.value, ...read.value } : read.value ?? {};
    },
    /** Put new values into it. @param {any} given */
    fill(given) {
      draft.value = draftOf(schema ?? {}, given, schema);
      more.value = besides(schema ?? {}, given);
      errors.value = {};
    },
    /** Show an error at the field that it names; false: it names none. @param {string} message */
    refuse(message, within = "") {
      const path = placeOf(message, within);
      if (path) errors.value = { [path]: message };
      return Boolean(path);
    },
  }), [schema]);
}

/** @param {{form: FormState}} props */
export function Form({ form }) {
  const { schema, draft, errors } = form;
  const whole = plain(schema, schema);
  if (kindOf(whole, schema) === "object") {
    return html`<${Fields} schema=${whole} root=${schema} path="" draft=${draft.value} depth=${0} of=${form.id}
      errors=${errors.value} change=${(/** @type {any} */ value) => put(form, value)} />`;
  }
  if (takesNothing(whole)) return html`<p class="pale">Nothing is asked for.</p>`;
  return html`<${Field} name="JSON" schema=${whole} root=${schema} path="" draft=${draft.value} of=${form.id}
    errors=${errors.value} depth=${0} needed=${false} change=${(/** @type {any} */ value) => put(form, value)} />`;
}

/** Whether nothing can be said. @param {any} schema */
function takesNothing(schema) {
  const { type, properties, additionalProperties: more, oneOf, anyOf, allOf } = schema;
  if (oneOf || anyOf || allOf || (type && type !== "object")) return false;
  return !Object.keys(properties ?? {}).length && (more === undefined || more === false);
}

/** @param {FormState} form @param {any} value */
function put(form, value) {
  form.draft.value = value;
}

function Fields({ schema, root, path, draft, errors, change, depth, of }) {
  const required = requiredOf(schema);
  return Object.entries(schema.properties).map(([name, one]) => html`<${Field} key=${name} name=${name}
    schema=${plain(one, root)} root=${root} path=${below(path, name)} draft=${own(draft, name)}
    needed=${required.has(name)} errors=${errors} depth=${depth + 1} of=${of}
    change=${(/** @type {any} */ value) => change({ ...draft, [name]: value })} />`);
}

function Field(props) {
  const { name, schema, root, path, needed, errors, depth, of } = props;
  const kind = kindOf(schema, root, depth), id = `${of}-${path || "all"}`, wrong = own(errors, path);
  const title = html`${schema.title || name}${needed && html`<b class="needed" title="needed"> *</b>`}`;
  const about = html`${wrong && html`<small class="bad" id=${`${id}-wrong`} role="alert">${wrong}</small>`}
    ${schema.description && html`<small class="about">${schema.description}</small>`}`;
  if (kind === "object" || kind === "list") {
    return html`<fieldset class="field group"><legend>${title}</legend>${about}
      ${kind === "object" ? html`<${Fields} ...${props} depth=${depth} />` : html`<${List} ...${props} />`}
    </fieldset>`;
  }
  if (kind === "boolean") {
    return html`<label class="field check"><input type="checkbox" name=${path}
      checked=${props.draft === true} onChange=${(e) => props.change(e.target.checked)} />
      <span>${title}</span>${about}</label>`;
  }
  return html`<label class="field"><span>${title}</span>
    <${Control} ...${props} kind=${kind} id=${id} />${about}</label>`;
}

function List({ schema, root, path, draft, errors, change, depth, name, of }) {
  const items = draft ?? [];
  const set = (/** @type {number} */ at, /** @type {any} */ value) => change(items.with(at, value));
  return html`${items.map((/** @type {any} */ one, /** @type {number} */ at) => html`<div class="item" key=${at}>
      <${Field} name=${`${at + 1}`} schema=${plain(schema.items, root)} root=${root} path=${below(path, at)}
        draft=${one} needed=${false} errors=${errors} of=${of} depth=${depth + 1} change=${(/** @type {any} */ value) => set(at, value)} />
      <button type="button" class="quiet" aria-label=${`Take ${at + 1} out of ${name}`}
        onClick=${() => change(items.toSpliced(at, 1))}>✕</button></div>`)}
    <button type="button" disabled=${items.length >= (schema.maxItems ?? Infinity)}
      onClick=${() => change([...items, draftOf(schema.items, undefined, root, depth + 1)])}>Add one</button>`;
}

function Control({ name, schema, path, draft, errors, change, kind, id, needed }) {
  const wrong = own(errors, path) ? { "aria-invalid": "true", "aria-describedby": `${id}-wrong` } : {};
  const text = draft ?? "";
  const said = (/** @type {any} */ event) => change(event.target.value);
  const common = { name: path || name, "aria-required": needed, spellcheck: false, ...wrong };
  if (kind === "choice") {
    const choices = choicesOf(schema)?.slice(0, MOST_CHOICES_IN_SIGHT) ?? [];
    return html`<select ...${common} onChange=${said}>
      <option value="" selected=${text === ""}>${needed ? "choose one" : "not said"}</option>
      ${choices.map(({ value, title }) => html`<option value=${JSON.stringify(value)}
        selected=${JSON.stringify(value) === text}>${title}</option>`)}</select>`;
  }
  if (kind === "number") {
    return html`<input ...${common} type="number" value=${text} onInput=${said} min=${schema.minimum}
      max=${schema.maximum} step=${schema.type === "integer" ? 1 : "any"} />`;
  }
  if (kind === "json") {
    return html`<textarea ...${common} rows="4" placeholder="JSON" value=${text} onInput=${said}></textarea>`;
  }
  if (LONG_TEXT.has(name) || text.includes("\n") || schema.maxLength > 500) {
    return html`<textarea ...${common} rows="3" value=${text} onInput=${said}></textarea>`;
  }
  return html`<input ...${common} value=${text} onInput=${said} type=${TYPES[schema.format] ?? "text"} />`;
}

const TYPES = { email: "email", uri: "url", date: "date" };
