// What an address says behind its question mark, as fields. Pure.

/** Between the values of what a query says several times. */
const BETWEEN = "\n";

/** Each field, and of what stands there more than once all of it. @param {string} text */
export function queryOf(text) {
  const query = {};
  for (const [name, value] of new URLSearchParams(text)) {
    query[name] = Object.hasOwn(query, name) ? query[name] + BETWEEN + value : value;
  }
  return query;
}

/** All values that a query has for a name. @param {string | string[] | undefined} value */
export function several(value) {
  return (Array.isArray(value) ? value : (value ?? "").split(BETWEEN)).filter((one) => one !== "");
}

/**
 * The text of a query; of a list each value is said.
 * @param {Record<string, any>} query
 */
export function search(query) {
  const found = new URLSearchParams();
  for (const [name, value] of Object.entries(query)) {
    if (value === undefined || value === null) continue;
    for (const one of several(Array.isArray(value) ? value : String(value))) found.append(name, one);
  }
  return found.toString();
}
