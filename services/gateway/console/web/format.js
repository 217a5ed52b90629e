// How values are written for people. All of it is text: nothing a host says is ever markup.

/** @type {[string, number][]} */
const UNITS = [["d", 86400], ["h", 3600], ["min", 60], ["s", 1]];
const clock = new Intl.DateTimeFormat(undefined, { timeStyle: "medium" });
const day = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "medium" });

/** A point in time in the reader's zone: short where it was today. @param {number} at seconds */
export function time(at) {
  const when = new Date(at * 1000);
  return when.toDateString() === new Date().toDateString() ? clock.format(when) : day.format(when);
}

/** The exact time. @param {number} at */
export function exact(at) {
  return new Date(at * 1000).toISOString();
}

/** A span of time. @param {number} seconds */
export function span(seconds) {
  if (seconds < 0.001) return "0 ms";
  if (seconds < 1) return `${Math.round(seconds * 1000)} ms`;
  if (seconds < 60) return `${seconds.toFixed(seconds < 10 ? 1 : 0)} s`;
  const at = UNITS.findIndex(([, size]) => seconds >= size);
  const [unit, size] = UNITS[at];
  const whole = Math.floor(seconds / size), rest = UNITS[at + 1];
  const left = rest ? Math.floor((seconds - whole * size) / rest[1]) : 0;
  return left ? `${whole} ${unit} ${left} ${rest[0]}` : `${whole} ${unit}`;
}

/** @param {number} count bytes */
export function size(count) {
  for (const unit of ["bytes", "KiB", "MiB", "GiB"]) {
    if (count < 1024 || unit === "GiB") return `${unit === "bytes" ? count : count.toFixed(1)} ${unit}`;
    count /= 1024;
  }
  return "";
}

const WORDS = { timed_out: "timed out", input_required: "asks" };

/** A status or outcome in words. @param {string} word */
export function words(word) {
  return WORDS[word] ?? word;
}

/** Text that may be long, as far as a row shows it. @param {string} text */
export function short(text, most = 200) {
  return text.length > most ? `${text.slice(0, most)}…` : text;
}

/** JSON as it is read by people. @param {any} value */
export function pretty(value) {
  return JSON.stringify(value, null, 2);
}
