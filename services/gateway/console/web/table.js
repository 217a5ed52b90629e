// Tasks in the order of their creation, the newest first: what a list shows while facts come.
// A change costs its search; nothing is sorted anew. Of the oldest no more are kept than is said.
import { begin, evolve } from "./fold.js";

/** Past the most by so many, the oldest are let go of, all at once. */
const SLACK = 1000;

export class TaskTable {
  /** @param {(row: TaskRow) => boolean} fits which rows are shown @param {number} most rows kept */
  constructor(fits, most) {
    this.fits = fits;
    this.most = most;
    /** @type {Map<string, TaskRow>} */
    this.known = new Map();
    /** @type {TaskRow[]} */
    this.all = [];
    /** @type {TaskRow[]} */
    this.shown = [];
    /** Nothing that was created before this is kept. */
    this.floor = 0;
  }

  /** Whether some were let go of: what is older is not here, however much more is read. */
  get full() {
    return this.floor > 0;
  }

  /** A row as the API or a fact tells it; the later one counts. @param {TaskRow} row */
  put(row) {
    const old = this.known.get(row.id);
    if (row.created_seq < this.floor || (old && old.seq >= row.seq)) return;
    this.known.set(row.id, row);
    place(this.all, row, true);
    place(this.shown, row, this.fits(row));
    if (this.all.length > this.most + SLACK) this.trim();
  }

  /** What a fact changes. @param {FactRecord} record */
  hear(record) {
    const { event } = record;
    if (event.type === "task.created") return this.put(light(begin(record)));
    const row = this.known.get(event.task);
    if (row && row.seq < record.seq) this.put(light(evolve(row, record)));
  }

  trim() {
    for (const row of this.all.splice(this.most)) this.known.delete(row.id);
    this.floor = this.all[this.all.length - 1].created_seq;
    while (this.shown.length && this.shown[this.shown.length - 1].created_seq < this.floor) {
      this.shown.pop();
    }
  }
}

/** A list shows neither input nor result, which may be big. @param {Record<string, any>} row */
function light(row) {
  row.spec = row.result = null;
  return /** @type {TaskRow} */ (row);
}

/** Have `row` in its place, or have nothing there. @param {TaskRow[]} rows @param {boolean} there */
function place(rows, row, there) {
  // Most changes are of the newest: they are looked for at the front first.
  let low = 0, high = rows.length;
  for (let step = 1; low + step < high; step *= 2) {
    if (rows[low + step].created_seq < row.created_seq) {
      high = low + step;
    } else low += step;
  }
  while (low < high) {
    const middle = (low + high) >> 1;
    if (rows[middle].created_seq > row.created_seq) low = middle + 1;
    else high = middle;
  }
  const found = rows[low]?.created_seq === row.created_seq;
  if (found && there) rows[low] = row;
  else if (found || there) rows.splice(low, found ? 1 : 0, ...(there ? [row] : []));
}
