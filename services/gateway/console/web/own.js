// Names that others chose, as keys: an object also answers to what every object has. Pure.

/**
 * What an object has itself under a name; `constructor` is none of it unless somebody has put it there.
 * @param {any} object @param {string | number} name
 */
export function own(object, name) {
  return object !== null && typeof object === "object" && Object.hasOwn(object, name) ? object[name] : undefined;
}
