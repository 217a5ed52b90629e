// From the fields of the form that adds a host to its description, and back. Pure.

/** @typedef {Record<string, string>} HostFields */

export const KINDS = {
  http: "MCP server behind a URL", stdio: "Program on this machine", openapi: "HTTP API with an OpenAPI document",
  execute: "Server of POST /execute", space: "Hugging Face Space",
};

/** What a host is, beside its endpoint, as long as nobody says otherwise. */
const USUAL = {
  enabled: true, workspace: true, replay: "hints", on_leave: "keep", sessions: "user",
  limits: { max_concurrency: 4, start_s: 60, max_output_bytes: 134217728 },
  probe: { tool: null, arguments: {}, interval_s: 30 },
  flags: { can_run_on_user_space: false, requires_user_space: false, result_pointer_preferred: false,
    fallback_to_oracle: true, accepts_heavy: false },
};
const MORE = ["capabilities", "task_types", "flags", "limits", "probe", "access", "tool_access", "approve", "approvers",
  "path_arguments", "roots", "workspace", "callable_tools", "replay", "on_leave", "cache", "sessions", "enabled"];

/**
 * The description. Raises Error that says what is wrong.
 * @param {string} kind @param {HostFields} fields @returns {Record<string, any>}
 */
export function entryOf(kind, fields) {
  const entry = { ...moreOf(fields.more), endpoint: endpointOf(kind, fields) };
  if (fields.title) entry.name = fields.title;
  const types = words(fields.task_types);
  if (kind === "execute" && types.length) {
    entry.task_types = { ...Object.fromEntries(types.map((name) => [name, {}])), ...entry.task_types };
  }
  return entry;
}

/** @param {string} kind @param {HostFields} fields */
function endpointOf(kind, fields) {
  switch (kind) {
    case "stdio":
      return said({
        kind, command: needed(fields.command, "the command"), args: lines(fields.args), cwd: fields.cwd,
        env: pairs(fields.env, "=", "the environment"), env_from: words(fields.env_from),
      });
    case "openapi":
      return said({
        kind, url: needed(fields.url, "the API's base URL"), document_url: needed(fields.document_url, "the document's URL"),
        operations: words(fields.operations), secrets: pairs(fields.secrets, "=", "the secrets"), ...reached(fields),
      });
    case "space": {
      const space = needed(fields.space, "the Space").replace(/^hf:\/\//, "").replace(/^https:\/\/huggingface\.co\/spaces\//, "");
      return said({ kind: "http", url: `hf://${space}`, ...reached(fields) });
    }
    default:
      return said({ kind, url: needed(fields.url, "the URL"), ...reached(fields) });
  }
}

/** @param {HostFields} fields */
function reached(fields) {
  return { headers: pairs(fields.headers, ":", "the headers"), bearer_from: fields.bearer_from };
}

/**
 * The fields that say of a host what it is now.
 * @param {any} host @returns {{kind: string, fields: HostFields}}
 */
export function fieldsOf(host) {
  const { kind, ...at } = host.endpoint;
  const space = kind === "http" && at.url?.startsWith("hf://");
  const joined = (/** @type {Record<string, string> | undefined} */ named, /** @type {string} */ mark) => (
    Object.entries(named ?? {}).map(([name, value]) => `${name}${mark}${value}`).join("\n"));
  const more = Object.fromEntries(MORE.filter((name) => unusual(name, host[name])).map((name) => [name, host[name]]));
  return {
    kind: space ? "space" : kind,
    fields: {
      title: host.name === host.id ? "" : host.name ?? "", url: at.url ?? "", space: space ? at.url.slice(5) : "",
      command: at.command ?? "", args: (at.args ?? []).join("\n"), cwd: at.cwd ?? "", env: joined(at.env, "="),
      env_from: (at.env_from ?? []).join(" "), headers: joined(at.headers, ": "), bearer_from: at.bearer_from ?? "",
      document_url: at.document_url ?? "", operations: (at.operations ?? []).join(" "), secrets: joined(at.secrets, "="),
      task_types: "", more: Object.keys(more).length ? JSON.stringify(more, null, 2) : "",
    },
  };
}

/** @param {string} name @param {any} value */
function unusual(name, value) {
  if (value === null || value === undefined) return false;
  if (name in USUAL) return !same(value, USUAL[name]);
  return typeof value === "object" ? Object.keys(value).length > 0 : true;
}

/** @param {any} one @param {any} other @returns {boolean} */
function same(one, other) {
  if (typeof one !== "object" || typeof other !== "object" || !one || !other) return one === other;
  return Object.entries(one).every(([name, value]) => same(value, other[name] ?? (value === null ? null : undefined)));
}

/** @param {string | undefined} text */
function moreOf(text) {
  if (!text?.trim()) return {};
  let found;
  try {
    found = JSON.parse(text);
  } catch (error) {
    throw new Error(`More: expected JSON: ${error.message}`);
  }
  if (typeof found !== "object" || found === null || Array.isArray(found)) throw new Error("More: expected a JSON object");
  return found;
}

/** @param {string | undefined} text @param {string} what */
function needed(text, what) {
  if (!text?.trim()) throw new Error(`Say ${what}.`);
  return text.trim();
}

/** @param {string | undefined} text */
function lines(text) {
  return (text ?? "").split("\n").map((line) => line.replace(/\r$/, "")).filter((line) => line !== "");
}

/** @param {string | undefined} text */
function words(text) {
  return (text ?? "").split(/[\s,]+/).filter(Boolean);
}

/** @param {string | undefined} text @param {string} mark @param {string} what */
function pairs(text, mark, what) {
  return Object.fromEntries(lines(text).map((line) => {
    const at = line.indexOf(mark);
    if (at < 1) throw new Error(`In ${what}: expected NAME${mark}VALUE, not "${line.slice(0, 60)}".`);
    return [line.slice(0, at).trim(), line.slice(at + mark.length).trim()];
  }));
}

/** Without what says nothing. @param {Record<string, any>} endpoint */
function said(endpoint) {
  return Object.fromEntries(Object.entries(endpoint).filter(([, value]) => (
    value !== undefined && value !== "" && (typeof value !== "object" || Object.keys(value).length))));
}
