// The list of tasks: pages of the API, kept up to date by the facts that follow.
import { batch, signal } from "./lib.js";
import { api } from "./api.js";
import { canBegin } from "./filters.js";
import { fits } from "./fits.js";
import { begin, evolve } from "./fold.js";
import { place } from "./order.js";
import { search } from "./query.js";
import { stream } from "./stream.js";

const PAGE = 200;
/** Facts before now that are read as well: lists of a busy gateway may be that far behind. */
const OVERLAP = 5000;
/** Rows kept at most: the oldest go first, and are read again where somebody goes there. */
export const MOST_ROWS = 100_000;
const SPARE = 10_000;
/** More changes at once than so: the rows are put in order anew. */
const MANY = 3000;
/** How soon the list is looked at again for tasks that have begun to fit. */
const REFILL_MS = 2000;
const REFILL_PAGES = 5;

const newest = (a, b) => b.created_seq - a.created_seq;
export const keyOf = (row) => `${row.user} ${row.id}`;

export class TaskList {
  /** @param {import("./filters.js").TaskFilter} filter @param {{to?: string}} [facts] of whom */
  constructor(filter, { to = "tasks" } = {}) {
    this.filter = filter;
    this.rows = signal([]);
    this.error = signal(null);
    this.busy = signal(true);
    this.known = new Map();
    this.shown = [];
    this.timer = 0;
    this.stale = false;
    this.closed = false;
    this.stop = stream.subscribe({
      to,
      overlap: OVERLAP,
      onEvents: (events) => this.heard(events),
      onLost: () => this.begin(),
    });
    this.begin();
  }

  close() {
    this.closed = true;
    this.stop();
    clearTimeout(this.timer);
  }

  /** Read the list anew. */
  begin() {
    Object.assign(this, { cursor: null, mark: null, over: false, reading: null });
    this.known = new Map();
    return this.more();
  }

  /** Read another page, unless one is on its way. */
  more() {
    if (this.over) return null;
    this.reading ??= this.read().finally(() => {
      this.reading = null;
    });
    return this.reading;
  }

  ask(cursor, mark) {
    return api(`/api/tasks?${search({ ...this.filter, limit: PAGE, cursor, mark })}`);
  }

  async read() {
    this.busy.value = true;
    const known = this.known;
    try {
      // A page of a filter may be short, or empty, and yet others follow.
      for (let empty = true; empty && !this.over && !this.closed;) {
        const page = await this.ask(this.cursor, this.mark);
        if (known !== this.known) return;
        this.cursor = page.next_cursor ?? null;
        this.mark = page.next_mark ?? null;
        this.over = this.cursor === null;
        for (const row of page.data) this.put(row);
        empty = page.data.length === 0;
      }
      batch(() => {
        this.error.value = null;
        this.sort();
      });
    } catch (error) {
      this.error.value = error;
      this.over = true;
    } finally {
      this.busy.value = false;
    }
  }

  /** A row as the API or a fact tells it; the later one counts. */
  put(row) {
    const key = keyOf(row), old = this.known.get(key);
    if (!old || old.seq < row.seq) this.known.set(key, row);
  }

  /** The stream tells it once a frame, however many facts there were. @param {FactRecord[]} events */
  heard(events) {
    const touched = new Map();
    let strange = false;
    for (const record of events) {
      const { event } = record;
      if (this.filter.user && event.user !== this.filter.user) continue;
      const key = `${event.user} ${event.task}`;
      const old = this.known.get(key);
      if (event.type === "task.created" && !old) this.known.set(key, slim(begin(record)));
      else if (old && old.seq < record.seq) this.known.set(key, slim(evolve(old, record)));
      else if (!old && event.task) strange = true;
      if (!touched.has(key)) touched.set(key, old);
    }
    if (touched.size > MANY || this.known.size > MOST_ROWS + SPARE) this.sort();
    else this.change(touched);
    if (strange && canBegin(this.filter)) this.refill();
  }

  /** Bring the rows in line of which facts have told; `touched`: as they were before. */
  change(touched) {
    const first = this.shown[0]?.created_seq ?? 0, fresh = [];
    let changed = false;
    for (const [key, old] of touched) {
      const row = this.known.get(key);
      if (row === old || !row) continue;
      const fit = fits(row, this.filter);
      if (row.created_seq > first) {
        // Most are newer than all that is here: they are put before it together.
        if (fit) fresh.push(row);
        continue;
      }
      const at = place(this.shown, row.created_seq);
      const there = this.shown[at]?.created_seq === row.created_seq;
      if (!there && !fit) continue;
      if (!changed) this.shown = this.shown.slice();
      changed = true;
      if (there && fit) this.shown[at] = row;
      else if (fit) this.shown.splice(at, 0, row);
      else this.shown.splice(at, 1);
    }
    if (fresh.length) this.shown = fresh.sort(newest).concat(this.shown);
    if (changed || fresh.length) this.rows.value = this.shown;
  }

  sort() {
    if (this.known.size > MOST_ROWS + SPARE) this.forget();
    const found = [];
    for (const row of this.known.values()) if (fits(row, this.filter)) found.push(row);
    this.shown = found.sort(newest);
    this.rows.value = this.shown;
  }

  /** Let go of the oldest rows; the list goes on behind those that are kept. */
  forget() {
    const kept = [...this.known.values()].sort(newest).slice(0, MOST_ROWS);
    this.known = new Map(kept.map((row) => [keyOf(row), row]));
    Object.assign(this, { cursor: kept[kept.length - 1].created_seq, mark: null, over: false });
  }

  /** Look for tasks that fit now and did not before: the facts of what is not here say too little. */
  refill() {
    if (this.timer) {
      this.stale = true;
      return;
    }
    this.stale = false;
    this.timer = setTimeout(async () => {
      const known = this.known, last = this.cursor ?? 0;
      try {
        /** @type {any} */
        let cursor = null, mark = null;
        for (let page = 0; page < REFILL_PAGES; page++) {
          const found = await this.ask(cursor, mark);
          if (known !== this.known || this.closed) return;
          for (const row of found.data) this.put(row);
          cursor = found.next_cursor ?? null;
          mark = found.next_mark ?? null;
          if (cursor === null || cursor <= last) break;
        }
        this.sort();
      } catch (error) {
        this.error.value = error;
      } finally {
        this.timer = 0;
        if (this.stale && !this.closed) this.refill();
      }
    }, REFILL_MS);
  }
}

/** A row without what no list shows. */
function slim(view) {
  const asks = view.question?.message ?? "";
  return { ...view, asks, spec: null, result: null, remarks: null };
}
