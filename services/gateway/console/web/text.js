// Text of others as it may stand on a page: what is invisible is shown by its name, what would move
// or reorder its neighbours is shown and does nothing, and what is endless has an end.

/** Characters of one text in a page at most; `Clipped` has ways to see more. */
export const MOST_TEXT = 256 * 1024;
/** Characters of a text that is told in an attribute. */
const MOST_LABEL = 1000;

/** Control characters but tabs and line ends, and those that turn the direction of writing. */
const UNSEEN = /[\0-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]|\r(?!\n)/g;
const ANY_UNSEEN = new RegExp(UNSEEN.source);
/** Where an address would run something, or show a page of the host's own making as ours. */
const RUNS = /^[\0-\x20]*(javascript|vbscript|data):/i;

/** @param {string} text */
export function visible(text) {
  const cut = text.length > MOST_TEXT ? clipped(text, MOST_TEXT) : text;
  return ANY_UNSEEN.test(cut) ? cut.replace(UNSEEN, named) : cut;
}

/** The beginning of a text, and how much more there is. @param {string} text @param {number} most */
export function clipped(text, most) {
  if (text.length <= most) return text;
  return `${whole(text, most)}… (${(text.length - most).toLocaleString()} characters more)`;
}

/** So many characters at most, without half of one at the end. @param {string} text @param {number} most */
export function whole(text, most) {
  const last = text.charCodeAt(most - 1);
  return text.slice(0, last >= 0xd800 && last < 0xdc00 ? most - 1 : most);
}

/**
 * A child of an element, as it may stand there.
 * @param {any} child
 */
export function child(child) {
  if (typeof child === "string") return visible(child);
  return Array.isArray(child) && child.some(isText) ? child.map((one) => (isText(one) ? visible(one) : one)) : child;
}

const LABELS = ["title", "aria-label", "placeholder", "alt", "label"];

/** The same of an element's attributes. @param {Record<string, any> | null} props */
export function attributes(props) {
  if (!props) return props;
  for (const name of LABELS) {
    const text = props[name];
    if (isText(text)) props[name] = visible(clipped(text, MOST_LABEL));
  }
  const { href } = props;
  if (isText(href) && props.download === undefined && RUNS.test(href.replace(/[\t\n\r]/g, ""))) {
    delete props.href;
  }
  return props;
}

function isText(one) {
  return typeof one === "string";
}

function named(character) {
  const code = character.charCodeAt(0);
  if (code < 0x20) return String.fromCharCode(0x2400 + code);
  return code === 0x7f ? "\u2421" : `[U+${code.toString(16).toUpperCase().padStart(4, "0")}]`;
}
