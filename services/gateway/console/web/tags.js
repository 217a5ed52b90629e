// Tags of tasks as people write and read them. Pure.

/** One after the other in a line; a blank ends a tag only where another begins, as values may have some. */
const BETWEEN = /[\n,]+|\s+(?=[\w.-]+=)/;

/** A tag in words: `key`, or `key=value`. @param {string} key @param {string} value */
export function tagWords(key, value) {
  return value ? `${key}=${value}` : key;
}

/** Tags in a line: `team=core, run=7`. @param {string} text @returns {Record<string, string>} */
export function tagsOf(text) {
  return read(text.split(BETWEEN));
}

/** Tags of which each has a line of its own, with whatever its value is. @param {string} text */
export function tagsOfLines(text) {
  return read(text.split("\n"));
}

/** @param {string[]} words @returns {Record<string, string>} */
function read(words) {
  return Object.fromEntries(words.map((word) => word.trim()).filter(Boolean).map((word) => {
    const at = word.indexOf("=");
    return at < 0 ? [word, ""] : [word.slice(0, at).trim(), word.slice(at + 1).trim()];
  }));
}
