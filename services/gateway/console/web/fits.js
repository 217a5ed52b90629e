// Whether a task fits a filter: the rules of `GET /api/tasks`, word for word. Pure.
// tests/unit/gateway/console/test_fits.py asks both of the same tasks.

/** @param {any} row a task of the list @param {import("./filters.js").TaskFilter} filter */
export function fits(row, filter) {
  const { status, tag, text } = filter;
  if (status.length && !status.includes(row.status)) return false;
  for (const name of ["type", "project", "batch", "user"]) {
    if (filter[name] !== undefined && (row[name] ?? "") !== filter[name]) return false;
  }
  if (filter.host !== undefined && (row.host ?? "") !== filter.host) return false;
  if (tag.some((one) => !tagged(row.tags ?? {}, one))) return false;
  if (text !== undefined && !holds(row.type, text) && !holds(row.id, text)) return false;
  return within(row.created_at, filter.created_after, filter.created_before) && ended(row, filter);
}

function tagged(tags, wanted) {
  if (Object.hasOwn(tags, wanted)) return true;
  const [key, ...value] = wanted.split("=");
  return value.length > 0 && Object.hasOwn(tags, key) && tags[key] === value.join("=");
}

function holds(whole, part) {
  return whole.toLowerCase().includes(part.toLowerCase());
}

function within(at, after, before) {
  return (after === undefined || at >= after) && (before === undefined || at < before);
}

/** @param {any} row @param {import("./filters.js").TaskFilter} filter */
function ended(row, { ended_after: after, ended_before: before, longer_s: longer, shorter_s: shorter }) {
  if ([after, before, longer, shorter].every((one) => one === undefined)) return true;
  if (row.done_at === null || row.done_at === undefined) return false;
  const took = row.done_at - row.created_at;
  return within(row.done_at, after, before) && within(took, longer, shorter);
}
