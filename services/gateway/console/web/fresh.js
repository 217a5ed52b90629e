// What only the server can compute, read again when facts say that it has changed: at most once in
// some seconds, however many facts there are, and never while nobody looks.
import { signal } from "./lib.js";
import { stream } from "./stream.js";

const REST_MS = 2000;
const MINUTE_MS = 60_000;

export class Fresh {
  /**
   * @param {() => Promise<any>} read
   * @param {{to: string[], minutes?: boolean}} when facts of what; `minutes`: time alone changes it
   */
  constructor(read, { to, minutes = false }) {
    this.read = read;
    this.data = signal(null);
    this.error = signal(null);
    this.timer = 0;
    this.last = 0;
    this.reading = false;
    this.again = false;
    this.closed = false;
    this.stops = to.map((one) => stream.subscribe({
      to: one,
      onEvents: () => this.soon(),
      onReady: () => this.soon(),
      onLost: () => this.soon(),
    }));
    this.seen = () => document.visibilityState === "visible" && this.soon();
    document.addEventListener("visibilitychange", this.seen);
    this.clock = minutes ? setInterval(() => this.soon(), MINUTE_MS) : 0;
    this.now();
  }

  close() {
    this.closed = true;
    for (const stop of this.stops) stop();
    clearTimeout(this.timer);
    clearInterval(this.clock);
    document.removeEventListener("visibilitychange", this.seen);
  }

  /** Something has changed. */
  soon() {
    if (this.timer || this.closed || document.visibilityState !== "visible") return;
    if (this.reading) {
      this.again = true;
      return;
    }
    const wait = Math.max(0, this.last + REST_MS - performance.now());
    this.timer = setTimeout(() => {
      this.timer = 0;
      this.now();
    }, wait);
  }

  async now() {
    this.reading = true;
    this.again = false;
    this.last = performance.now();
    try {
      const data = await this.read();
      if (this.closed) return;
      this.data.value = data;
      this.error.value = null;
    } catch (error) {
      if (!this.closed) this.error.value = error;
    } finally {
      this.reading = false;
      if (this.again) this.soon();
    }
  }
}
