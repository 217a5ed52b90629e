// The very characters of a value inside a JSON text: digests are over those, and `JSON.parse`
// followed by `JSON.stringify` gives others (1.0, 1e5, escapes).

const SPACE = new Set([" ", "\t", "\n", "\r"]);
const ENDS = new Set([",", "}", "]", ...SPACE]);

/**
 * @param {string} text valid JSON @param {string[]} path names of members, from the outside
 * @returns {string | undefined} undefined: there is none
 */
export function rawAt(text, path) {
  let at = skip(text, 0);
  for (const name of path) {
    at = member(text, at, name);
    if (at < 0) return undefined;
  }
  return text.slice(at, end(text, at));
}

/** Where the value of this member begins; of several the last one counts, as for every parser. */
function member(text, at, name) {
  if (text[at] !== "{") return -1;
  let found = -1;
  at = skip(text, at + 1);
  while (text[at] !== "}") {
    const after = end(text, at);
    const key = JSON.parse(text.slice(at, after));
    const value = skip(text, skip(text, after) + 1);
    if (key === name) found = value;
    at = skip(text, end(text, value));
    if (text[at] === ",") at = skip(text, at + 1);
  }
  return found;
}

function skip(text, at) {
  while (SPACE.has(text[at])) at += 1;
  return at;
}

/** Behind the value that begins here. */
function end(text, at) {
  if (text[at] === '"') return endOfString(text, at);
  if (text[at] === "{" || text[at] === "[") return endOfNest(text, at);
  while (at < text.length && !ENDS.has(text[at])) at += 1;
  return at;
}

function endOfString(text, at) {
  for (at += 1; text[at] !== '"'; at += 1) if (text[at] === "\\") at += 1;
  return at + 1;
}

function endOfNest(text, at) {
  let depth = 0;
  do {
    const one = text[at];
    if (one === '"') {
      at = endOfString(text, at);
      continue;
    }
    if (one === "{" || one === "[") depth += 1;
    else if (one === "}" || one === "]") depth -= 1;
    at += 1;
  } while (depth);
  return at;
}
