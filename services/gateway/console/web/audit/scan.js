// Findings of a scan, of ours or in SARIF, as rows; and ours as SARIF, as `contracts/sarif.py` writes it.
// Pure. tests/unit/gateway/console/test_scan.py runs both over the same answers.
import { sha256 } from "./story.js";

/** From the least to the most serious. */
export const LEVELS = ["INFO", "WARNING", "ERROR"];
const SAME = {
  CRITICAL: "ERROR", HIGH: "ERROR", MEDIUM: "WARNING", LOW: "INFO", NOTE: "INFO", NONE: "INFO",
};
const SARIF_LEVELS = { ERROR: "error", WARNING: "warning", INFO: "note" };
const SCORES = { ERROR: "8.0", WARNING: "5.0", INFO: "2.0" };

/**
 * @typedef {object} Finding
 * @property {string} level one of LEVELS @property {string} severity in the scanner's word
 * @property {string} path @property {number | null} line
 * @property {string} rule @property {string} message
 */

/** What a tool answered: its structured value, else its text, read as JSON where it is JSON. */
export function unwrap(output) {
  if (typeof output !== "object" || output === null || !Array.isArray(output.content)) return output;
  const structured = output.structured ?? output.structuredContent ?? null;
  if (structured !== null) {
    const alone = typeof structured === "object" && Object.keys(structured).join() === "result";
    return alone ? structured.result : structured;
  }
  const texts = output.content.filter(({ type }) => type === "text").map(({ text }) => text ?? "");
  if (texts.length !== output.content.length) return output.content;
  try {
    return JSON.parse(texts.join(""));
  } catch {
    return texts.join("\n");
  }
}

/** Whether this is an answer of our scan, which can be written as SARIF. */
export function isScan(value) {
  return Array.isArray(value?.findings) && Array.isArray(value.engines) && value.findings.every(isFinding);
}

/** Whether this is a SARIF log. */
export function isSarif(value) {
  return Array.isArray(value?.runs) && typeof value.version === "string" && value.version.startsWith("2.");
}

function isFinding(one) {
  return ["path", "rule", "severity"].every((name) => typeof one?.[name] === "string");
}

/** The findings, the worst first; null: this is no answer of a scan. @returns {Finding[] | null} */
export function findingsOf(value) {
  const found = isSarif(value) ? value.runs.flatMap((run) => (run.results ?? []).map(fromSarif))
    : Array.isArray(value?.findings) && value.findings.every(isFinding) ? value.findings.map(fromOurs)
      : null;
  return found?.sort((a, b) => LEVELS.indexOf(b.level) - LEVELS.indexOf(a.level)
    || (a.path < b.path ? -1 : Number(a.path > b.path)) || (a.line ?? 0) - (b.line ?? 0)) ?? null;
}

function fromOurs({ severity, path, line, rule, message }) {
  return { level: level(severity), severity, path, line: whole(line), rule, message: String(message ?? "") };
}

function fromSarif(one) {
  const place = one.locations?.[0]?.physicalLocation, severity = one.level ?? "warning";
  return {
    level: level(severity), severity, path: String(place?.artifactLocation?.uri ?? ""),
    line: whole(place?.region?.startLine), rule: String(one.ruleId ?? one.rule?.id ?? ""),
    message: String(one.message?.text ?? one.message?.markdown ?? ""),
  };
}

function whole(line) {
  return Number.isInteger(line) ? line : null;
}

/** One of the three levels; rules of users know others too. */
export function level(severity) {
  const name = String(severity).toUpperCase();
  return LEVELS.includes(name) ? name : SAME[name] ?? "INFO";
}

/** An answer of our scan as a SARIF log. @param {any} answer */
export async function sarif(answer) {
  const rules = rulesOf(answer.findings), engines = answer.engines ?? [];
  return {
    $schema: "https://json.schemastore.org/sarif-2.1.0.json", version: "2.1.0",
    runs: [{
      tool: {
        driver: { name: "MetaMCP security scan", rules },
        extensions: engines.map(({ name, version }) => (version ? { name, version } : { name })),
      },
      columnKind: "unicodeCodePoints",
      originalUriBaseIds: { "%SRCROOT%": { description: { text: "The folder that was scanned." } } },
      invocations: [invocation(answer, engines)],
      results: await resultsOf(answer.findings, rules),
    }],
  };
}

function rulesOf(findings) {
  const first = new Map(), worst = new Map();
  for (const one of findings) {
    if (!first.has(one.rule)) first.set(one.rule, one);
    const before = worst.get(one.rule) ?? one.severity;
    worst.set(one.rule, LEVELS.indexOf(one.severity) > LEVELS.indexOf(before) ? one.severity : before);
  }
  return [...first.keys()].sort().map((rule) => ruleOf(rule, first.get(rule), worst.get(rule)));
}

function ruleOf(rule, one, severity) {
  const cwes = one.cwe.flatMap((text) => /\bcwe-?(\d+)/i.exec(text)?.[1] ?? []);
  const described = {
    id: rule,
    shortDescription: { text: one.cwe[0] ?? rule },
    fullDescription: { text: one.message || rule },
    help: { text: one.fix, markdown: one.fix },
    defaultConfiguration: { level: SARIF_LEVELS[severity] },
    properties: {
      tags: ["security", ...cwes.map((number) => `external/cwe/cwe-${number}`)],
      precision: one.confidence.toLowerCase(), "security-severity": SCORES[severity],
    },
  };
  const name = (rule.match(/[A-Za-z0-9]+/g) ?? [])
    .map((part) => part[0].toUpperCase() + part.slice(1).toLowerCase()).join("");
  if (name !== rule) described.name = name;
  if (cwes.length) described.helpUri = `https://cwe.mitre.org/data/definitions/${cwes[0]}.html`;
  return described;
}

async function resultsOf(findings, rules) {
  const places = new Map(rules.map(({ id }, at) => [id, at])), seen = new Map(), found = [];
  for (const one of findings) {
    const print = await fingerprint(one), count = (seen.get(print) ?? 0) + 1;
    seen.set(print, count);
    found.push({
      ruleId: one.rule, ruleIndex: places.get(one.rule), level: SARIF_LEVELS[one.severity],
      message: { text: one.message || one.rule },
      locations: [{ physicalLocation: { artifactLocation: file(one.path), region: region(one) } }],
      partialFingerprints: { primaryLocationLineHash: `${print}:${count}` },
      properties: {
        confidence: one.confidence, cwe: one.cwe, engines: one.engines, rules: one.rules, fix: one.fix,
      },
    });
  }
  return found;
}

function region({ line, end_line, column, end_column, code }) {
  const last = Math.max(line, end_line), found = { startLine: line, endLine: last, startColumn: column };
  if (Number.isInteger(end_column) && (last > line || end_column > column)) found.endColumn = end_column;
  return { ...found, snippet: { text: code } };
}

/** The same wherever the line stands in its file, and however it is indented. */
async function fingerprint({ path, rule, code }) {
  const words = code.split(/[\s\x1c-\x1f\x85]+/).filter(Boolean).join(" ");
  return (await sha256(new TextEncoder().encode([path, rule, words].join("\0")))).slice(0, 16);
}

function file(path) {
  const odd = (one) => `%${one.charCodeAt(0).toString(16).toUpperCase()}`;
  const uri = encodeURIComponent(path.toWellFormed()).replace(/[!'()*]/g, odd).replaceAll("%2F", "/");
  return { uri, uriBaseId: "%SRCROOT%" };
}

function invocation(answer, engines) {
  const troubled = engines.filter(({ problem }) => problem);
  return {
    executionSuccessful: !troubled.length,
    toolExecutionNotifications: [
      ...(answer.not_scanned ?? []).map((one) => untold(one, "note")),
      ...(answer.failed ?? []).map((one) => untold(one, "error")),
      ...troubled.map(({ name, problem }) => ({
        level: "error", descriptor: { id: "engine_failed" }, message: { text: `${name}: ${problem}` },
      })),
    ],
  };
}

function untold({ reason, message, path }, level) {
  return {
    level, descriptor: { id: reason }, message: { text: message || reason },
    locations: [{ physicalLocation: { artifactLocation: file(path) } }],
  };
}
