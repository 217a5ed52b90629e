// The list of tasks: pages of the API, kept up to date by the facts that follow.
import { batch, signal } from "./lib.js";
import { api } from "./api.js";
import { begin, evolve } from "./fold.js";
import { stream } from "./stream.js";

const PAGE = 200;
/** Facts before now that are read as well: lists of a busy gateway may be that far behind. */
const OVERLAP = 5000;
/** Rows kept at most; what is older is found again by its address or a filter. */
const MOST = 100_000;

export class TaskList {
  /** @param {{status?: string, type?: string}} filter */
  constructor(filter) {
    this.filter = filter;
    this.rows = signal([]);
    this.error = signal(null);
    this.busy = signal(true);
    this.known = new Map();
    this.cursor = null;
    this.over = false;
    this.pending = [];
    this.frame = 0;
    this.stop = stream.subscribe({
      to: "tasks",
      overlap: OVERLAP,
      onEvents: (events) => this.heard(events),
      onLost: () => this.begin(),
    });
    this.begin();
  }

  close() {
    this.stop();
    cancelAnimationFrame(this.frame);
  }

  /** Read the list anew. */
  begin() {
    Object.assign(this, { cursor: null, over: false, reading: null });
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

  async read() {
    this.busy.value = true;
    const known = this.known;
    try {
      const query = { ...this.filter, limit: PAGE, cursor: this.cursor };
      const page = await api("/api/tasks", { query });
      if (known !== this.known) return;
      this.cursor = page.next_cursor ?? null;
      this.over = this.cursor === null || known.size >= MOST;
      for (const row of page.data) this.put(row);
      batch(() => {
        this.error.value = null;
        this.show();
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
    const old = this.known.get(row.id);
    if (!old || old.seq < row.seq) this.known.set(row.id, row);
  }

  heard(events) {
    this.pending.push(...events);
    // Once a frame, however many facts there were.
    this.frame ||= requestAnimationFrame(() => this.apply());
  }

  apply() {
    this.frame = 0;
    for (const record of this.pending.splice(0)) {
      const { event } = record;
      if (event.type === "task.created") this.put(begin(record));
      const row = this.known.get(event.task);
      if (row && row.seq < record.seq) this.known.set(row.id, evolve(row, record));
    }
    this.show();
  }

  show() {
    const { status, type } = this.filter;
    const shown = [];
    for (const row of this.known.values()) {
      if ((!status || row.status === status) && (!type || row.type === type)) shown.push(row);
    }
    this.rows.value = shown.sort((a, b) => b.created_seq - a.created_seq);
  }
}
