// The list of tasks: pages of the API, kept up to date by the facts that follow.
import { batch, signal } from "./lib.js";
import { api } from "./api.js";
import { stream } from "./stream.js";
import { TaskTable } from "./table.js";

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
    this.table = this.empty();
    this.cursor = null;
    this.over = false;
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
  }

  empty() {
    const { status, type } = this.filter;
    return new TaskTable(
      (row) => (!status || row.status === status) && (!type || row.type === type), MOST,
    );
  }

  /** Read the list anew. */
  begin() {
    Object.assign(this, { cursor: null, over: false, reading: null });
    this.table = this.empty();
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
    const table = this.table;
    try {
      const query = { ...this.filter, limit: PAGE, cursor: this.cursor };
      const page = await api("/api/tasks", { query });
      if (table !== this.table) return;
      this.cursor = page.next_cursor ?? null;
      this.over = this.cursor === null || table.full;
      for (const row of page.data) table.put(row);
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

  /** The stream tells it once a frame. @param {FactRecord[]} records */
  heard(records) {
    for (const record of records) this.table.hear(record);
    this.show();
  }

  show() {
    this.over ||= this.table.full;
    this.rows.value = this.table.shown.slice();
  }
}
