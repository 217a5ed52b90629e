// A form from a JSON Schema: of a host's question, and of a tool's input. What has no field of its
// own is written as JSON.
import { html } from "../lib.js";
import { pretty } from "../format.js";

/** @param {{schema: any, values?: Record<string, any>}} props */
export function Form({ schema, values = {} }) {
  const required = new Set(schema.required ?? []);
  return Object.entries(schema.properties ?? {}).map(([name, one]) => {
    const given = values[name] ?? one.default;
    return html`<label class="field">
      <span>${one.title ?? name}${required.has(name) && " *"}</span>
      <${Field} name=${name} schema=${one} given=${given} required=${required.has(name)} />
      ${one.description && html`<small>${one.description}</small>`}
    </label>`;
  });
}

function Field({ name, schema, given, required }) {
  const choices = schema.enum ?? schema.oneOf?.map((one) => one.const);
  if (choices) {
    const names = schema.oneOf?.map((one) => one.title) ?? schema.enumNames ?? choices;
    return html`<select name=${name} required=${required}>
      <option value=""></option>
      ${choices.map((one, at) => html`<option value=${JSON.stringify(one)}
        selected=${one === given}>${String(names[at] ?? one)}</option>`)}
    </select>`;
  }
  switch (schema.type) {
    case "boolean":
      return html`<input type="checkbox" name=${name} defaultChecked=${given === true} />`;
    case "integer":
    case "number":
      return html`<input type="number" name=${name} defaultValue=${given} required=${required}
        min=${schema.minimum} max=${schema.maximum} step=${schema.type === "integer" ? 1 : "any"} />`;
    case "string":
      return html`<input name=${name} defaultValue=${given} required=${required}
        type=${TYPES[schema.format] ?? "text"} minlength=${schema.minLength} maxlength=${schema.maxLength} />`;
    default:
      return html`<textarea name=${name} rows="3" spellcheck="false" required=${required}
        defaultValue=${given === undefined ? "" : pretty(given)}></textarea>`;
  }
}

const TYPES = { email: "email", uri: "url", date: "date" };

/** What stands in a form's fields. Raises Error that names the field. */
export function valuesOf(form, schema) {
  const values = {};
  for (const [name, one] of Object.entries(schema.properties ?? {})) {
    const field = form.elements.namedItem(name);
    if (one.type === "boolean" && !one.enum) values[name] = field.checked;
    else if (field.value !== "") values[name] = valueOf(field.value, one, name);
  }
  return values;
}

function valueOf(text, schema, name) {
  if (!schema.enum && !schema.oneOf) {
    if (schema.type === "string") return text;
    if (schema.type === "integer" || schema.type === "number") return Number(text);
  }
  try {
    return JSON.parse(text);
  } catch (error) {
    throw new Error(`${name}: ${error.message}`);
  }
}
