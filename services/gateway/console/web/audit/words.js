// How the audit writes values: as `services/audit/checks.py` does, so that both say the same.

/** A string or number as Python's `repr` shows it. @param {unknown} value */
export function repr(value) {
  if (typeof value !== "string") return value === null || value === undefined ? "None" : String(value);
  const mark = value.includes("'") && !value.includes('"') ? '"' : "'";
  let text = "";
  for (const one of value) {
    if (one === "\\" || one === mark) text += `\\${one}`;
    else text += ESCAPES[one] ?? hidden(one);
  }
  return mark + text + mark;
}

const ESCAPES = { "\n": "\\n", "\r": "\\r", "\t": "\\t" };

function hidden(one) {
  if (!/[\p{C}\p{Z}]/u.test(one) || one === " ") return one;
  const code = one.codePointAt(0) ?? 0;
  if (code < 256) return `\\x${code.toString(16).padStart(2, "0")}`;
  return code < 65_536 ? `\\u${code.toString(16).padStart(4, "0")}` : `\\U${code.toString(16).padStart(8, "0")}`;
}

/** A number without its fraction; a half goes to the even side. @param {number} value */
export function whole(value) {
  const below = Math.floor(value), half = value - below === 0.5;
  return String(half ? below + (below % 2) : Math.round(value));
}

/** So many of them. @param {number} count @param {string} word */
export function counted(count, word) {
  return `${count} ${word}${count === 1 ? "" : "s"}`;
}
