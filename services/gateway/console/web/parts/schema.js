// From a JSON Schema to the fields of a form, and from what was typed to a value. Pure.
import { own } from "../own.js";

/**
 * What was typed so far: text for what has one field, a list of drafts, or drafts by name.
 * `undefined`: nothing was said.
 * @typedef {any} Draft
 */
/** @typedef {{value?: any, errors: Record<string, string>}} Read what came of a draft: by path what is wrong */

/** So deep a schema is followed; what lies below is written as JSON. */
const DEEPEST = 6;
/** Fields of a form at most: one whose schema has more is followed less deep. */
const MOST_FIELDS = 500;
/** References and choices that are followed for one field. */
const MOST_STEPS = 12;

/**
 * A schema with its reference followed, and without the `null` that only says "or nothing".
 * @param {any} schema @param {any} root @param {number} [steps] still to go @returns {any}
 */
export function plain(schema, root, steps = MOST_STEPS) {
  let found = schema ?? {};
  for (; typeof found.$ref === "string" && steps > 0; steps--) {
    const { $ref, ...beside } = found;
    found = { ...pointed(root, $ref), ...beside };
  }
  for (const key of ["anyOf", "oneOf"]) {
    const some = found[key]?.filter?.((/** @type {any} */ one) => one?.type !== "null");
    if (some?.length === 1 && found[key].length === 2 && steps > 0) {
      const { [key]: _, ...beside } = found;
      return plain({ ...some[0], ...beside }, root, steps - 1);
    }
  }
  if (Array.isArray(found.type)) {
    const types = found.type.filter((/** @type {string} */ one) => one !== "null");
    return { ...found, type: types.length === 1 ? types[0] : undefined };
  }
  return found;
}

/** @param {any} root @param {string} ref */
function pointed(root, ref) {
  if (!ref.startsWith("#/")) return {};
  let at = root;
  for (const part of ref.slice(2).split("/")) {
    at = own(at, decoded(part).replaceAll("~1", "/").replaceAll("~0", "~"));
  }
  return typeof at === "object" && at !== null && !at.$ref ? at : {};
}

/** @param {string} part */
function decoded(part) {
  try {
    return decodeURIComponent(part);
  } catch {
    return part;
  }
}

/** By schema: how deep it is followed. @type {WeakMap<object, number>} */
const depths = new WeakMap();

/** @param {any} root */
function deepest(root) {
  if (typeof root !== "object" || root === null) return DEEPEST;
  const depth = depths.get(root) ?? measured(root);
  depths.set(root, depth);
  return depth;
}

/** @param {any} root */
function measured(root) {
  let level = [root], fields = 0;
  for (let depth = 0; depth < DEEPEST; depth++) {
    const next = [];
    for (const one of level) {
      for (const member of members(plain(one, root))) {
        if (++fields > MOST_FIELDS) return depth;
        next.push(member);
      }
    }
    level = next;
  }
  return DEEPEST;
}

/** What has fields of its own below a schema's. @param {any} schema as `plain` gives it */
function members(schema) {
  if (schema.type === "object") return Object.values(schema.properties ?? {});
  return schema.type === "array" && schema.items ? [schema.items] : [];
}

/** The names of what an object needs. @param {any} schema @returns {Set<string>} */
export function requiredOf(schema) {
  return new Set(Array.isArray(schema.required) ? schema.required : []);
}

/**
 * Which field a schema gets.
 * @param {any} schema as `plain` gives it @param {any} [root] the whole @param {number} [depth]
 * @returns {"choice" | "boolean" | "number" | "text" | "object" | "list" | "json"}
 */
export function kindOf(schema, root = schema, depth = 0) {
  if (choicesOf(schema)) return "choice";
  if (["oneOf", "anyOf", "allOf"].some((key) => schema[key]?.some?.(isShape))) return "json";
  switch (schema.type) {
    case "boolean":
      return "boolean";
    case "integer":
    case "number":
      return "number";
    case "string":
      return "text";
    case "object":
      return Object.keys(schema.properties ?? {}).length && depth < deepest(root) ? "object" : "json";
    case "array":
      return schema.items && !Array.isArray(schema.items) && depth < deepest(root) ? "list" : "json";
    default:
      return "json";
  }
}

/** Of an alternative that has fields of its own; others only say which of the known ones are needed. */
function isShape(/** @type {any} */ one) {
  return Boolean(one?.properties || one?.type || one?.$ref || one?.enum || one?.const !== undefined);
}

/**
 * The values to choose from, with what people read; null: there is no such choice.
 * @param {any} schema @returns {{value: any, title: string}[] | null}
 */
export function choicesOf(schema) {
  if (Array.isArray(schema.enum)) {
    return schema.enum.map((/** @type {any} */ value, /** @type {number} */ at) => (
      { value, title: String(schema.enumNames?.[at] ?? named(value)) }));
  }
  if (schema.const !== undefined) return [{ value: schema.const, title: named(schema.const) }];
  const some = schema.oneOf ?? schema.anyOf;
  if (!some?.length || some.some((/** @type {any} */ one) => one?.const === undefined)) return null;
  return some.map((/** @type {any} */ one) => (
    { value: one.const, title: String(one.title ?? named(one.const)) }));
}

/** @param {any} value */
function named(value) {
  return typeof value === "string" ? value : JSON.stringify(value);
}

/**
 * The draft of a value; without one, of the schema's default.
 * @param {any} raw the schema @param {any} value @param {any} root @param {number} [depth] @returns {Draft}
 */
export function draftOf(raw, value, root, depth = 0) {
  const schema = plain(raw, root);
  const given = value === undefined ? schema.default : value;
  const kind = kindOf(schema, root, depth);
  if (kind === "object") {
    return Object.fromEntries(Object.entries(schema.properties).map(([name, one]) => (
      [name, draftOf(one, own(given, name), root, depth + 1)])));
  }
  if (kind === "list") {
    const items = Array.isArray(given) ? given : [];
    return items.map((one) => draftOf(schema.items, one, root, depth + 1));
  }
  if (given === undefined || given === null) return undefined;
  if (kind === "boolean") return given === true;
  if (kind === "choice") return JSON.stringify(given);
  if (kind === "json") return JSON.stringify(given, null, 2);
  return String(given);
}

/**
 * The value of a draft. An object of which nothing was said is none, unless it is needed.
 * @param {any} raw @param {Draft} draft @param {any} root
 * @param {{path?: string, needed?: boolean, depth?: number}} [at] @returns {Read}
 */
export function valueOf(raw, draft, root, { path = "", needed = false, depth = 0 } = {}) {
  const schema = plain(raw, root);
  switch (kindOf(schema, root, depth)) {
    case "object":
      return objectOf(schema, draft, root, { path, needed, depth });
    case "list":
      return listOf(schema, draft, root, { path, needed, depth });
    case "boolean":
      if (draft === undefined) return { value: needed ? false : undefined, errors: {} };
      return { value: draft === true, errors: {} };
  }
  const text = draft ?? "";
  if (text === "") return needed ? wrong(path, "it is needed") : { errors: {} };
  return scalar(schema, text, path, kindOf(schema, root, depth));
}

/** @param {any} schema @param {string} text @param {string} path @param {string} kind @returns {Read} */
function scalar(schema, text, path, kind) {
  switch (kind) {
    case "number": {
      const value = Number(text);
      const whole = schema.type === "integer";
      if (!Number.isFinite(value) || (whole && !Number.isInteger(value))) {
        return wrong(path, whole ? "expected a whole number" : "expected a number");
      }
      if (value < schema.minimum) return wrong(path, `expected at least ${schema.minimum}`);
      if (value > schema.maximum) return wrong(path, `expected at most ${schema.maximum}`);
      return { value, errors: {} };
    }
    case "text":
      if (text.length < schema.minLength) {
        return wrong(path, `expected at least ${schema.minLength} characters`);
      }
      if (text.length > schema.maxLength) {
        return wrong(path, `expected at most ${schema.maxLength} characters`);
      }
      return { value: text, errors: {} };
    default:
      try {
        return { value: JSON.parse(text), errors: {} };
      } catch (error) {
        return wrong(path, `expected JSON: ${error.message}`);
      }
  }
}

/**
 * @param {any} schema @param {Draft} draft @param {any} root
 * @param {{path: string, needed: boolean, depth: number}} at @returns {Read}
 */
function objectOf(schema, draft, root, { path, needed, depth }) {
  const required = requiredOf(schema);
  const said = needed || depth === 0 || isSaid(draft);
  /** @type {[string, any][]} */
  const values = [];
  /** @type {Record<string, string>} */
  const errors = {};
  if (!said) return { errors };
  for (const [name, one] of Object.entries(schema.properties)) {
    const at = { path: below(path, name), needed: required.has(name), depth: depth + 1 };
    const read = valueOf(one, own(draft, name), root, at);
    Object.assign(errors, read.errors);
    if (read.value !== undefined) values.push([name, read.value]);
  }
  return { value: Object.fromEntries(values), errors };
}

/**
 * @param {any} schema @param {Draft} draft @param {any} root
 * @param {{path: string, needed: boolean, depth: number}} at @returns {Read}
 */
function listOf(schema, draft, root, { path, needed, depth }) {
  const drafts = draft ?? [];
  /** @type {Record<string, string>} */
  const errors = {};
  if (!drafts.length) return { value: needed ? [] : undefined, errors };
  const value = drafts.map((/** @type {Draft} */ one, /** @type {number} */ index) => {
    const at = { path: below(path, index), needed: true, depth: depth + 1 };
    const read = valueOf(schema.items, one, root, at);
    Object.assign(errors, read.errors);
    return read.value;
  });
  if (value.length > schema.maxItems) errors[path] = `expected at most ${schema.maxItems}`;
  if (value.length < schema.minItems) errors[path] = `expected at least ${schema.minItems}`;
  return { value, errors };
}

/** Whether anything was said. @param {Draft} draft @returns {boolean} */
function isSaid(draft) {
  if (draft === undefined || draft === "" || draft === false) return false;
  if (typeof draft !== "object" || draft === null) return true;
  return Object.values(draft).some(isSaid);
}

/** @param {string} path @param {string} message @returns {Read} */
function wrong(path, message) {
  return { errors: { [path]: message } };
}

/** @param {string} path @param {string | number} name */
export function below(path, name) {
  return path ? `${path}.${name}` : String(name);
}

const PLACES = [
  /at `\$\.([^`]+)`/, /^(?:input|`content`)?\.([A-Za-z0-9_$-]+(?:\.[A-Za-z0-9_$-]+)*): /,
  /validation errors? for [^\n]+\n([A-Za-z0-9_$.-]+)\n/];

/**
 * What a value has that the schema names no field for: it goes along as it is.
 * @param {any} raw @param {any} value @returns {Record<string, any>}
 */
export function besides(raw, value) {
  const known = plain(raw, raw).properties;
  if (!known || typeof value !== "object" || value === null) return {};
  return Object.fromEntries(Object.entries(value).filter(([name]) => !Object.hasOwn(known, name)));
}

/**
 * The field that an error of the API or of a task is about; empty: none.
 * @param {string} message @param {string} within what stands before the form's own paths
 */
export function placeOf(message, within = "") {
  for (const form of PLACES) {
    const found = form.exec(message)?.[1].replace(/\[(\d+|\.\.\.)\]/g, ".$1");
    if (!found) continue;
    if (!within || found === within) return found === within ? "" : found;
    return found.startsWith(`${within}.`) ? found.slice(within.length + 1) : found;
  }
  return "";
}
