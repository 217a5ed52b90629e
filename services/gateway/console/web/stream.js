// Our own websocket, `metamcp.v1`: subscriptions that outlive every cut without a gap.
import { batch, signal } from "./lib.js";
import { api, ApiError, signIn } from "./api.js";

/** Empty while nothing is followed, else `connecting`, `live`, or `cut`: shown in the header. */
export const connection = signal("");

const FIRST_MS = 250, LAST_MS = 15_000;
/** Facts that wait for the next frame of the page at most; it hears of more at once. */
const MOST_WAITING = 4000;

/**
 * @typedef {object} Subscription
 * @property {string} to tasks, task, batch, hosts or all
 * @property {string} [task]
 * @property {string} [batch]
 * @property {string[]} [types]
 * @property {number | "start" | null} [after]
 * @property {number} [overlap] begin so many facts before now: a list that is read beside may be
 *   a little older than the facts
 * @property {(events: FactRecord[]) => void} onEvents once a frame of the page, however many came
 * @property {() => void} [onReady] from here on nothing is missed: once for each connection
 * @property {() => void} [onLive] history has been delivered
 * @property {(frame: any) => void} [onProgress]
 * @property {() => void} [onLost] facts may be missing: read the state anew
 * @property {(error: {code: string, message: string}) => void} [onRefused]
 */

class Stream {
  constructor() {
    this.subs = new Map();
    /** @type {WebSocket | null} */
    this.socket = null;
    this.epoch = "";
    this.head = 0;
    this.failures = 0;
    this.names = 0;
    this.running = false;
    this.waiting = 0;
    this.frame = 0;
    connection.value = "";
  }

  /** Follow facts until what this returns is called. @param {Subscription} asked */
  subscribe(asked) {
    const sub = { ...asked, name: `s${++this.names}`, after: asked.after ?? null, mark: null, heard: [] };
    this.subs.set(sub.name, sub);
    if (this.socket?.readyState === WebSocket.OPEN && this.epoch) this.ask(sub);
    else this.run();
    return () => {
      this.subs.delete(sub.name);
      if (this.socket?.readyState === WebSocket.OPEN) {
        this.send({ op: "unsubscribe", ref: ++this.names, sub: sub.name });
      }
    };
  }

  send(frame) {
    this.socket?.send(JSON.stringify(frame));
  }

  ask(sub) {
    const { name, to, task, types, overlap, mark } = sub;
    let { after } = sub;
    if (after === null && overlap) after = this.head > overlap ? this.head - overlap : "start";
    sub.ref = ++this.names;
    const frame = { op: "subscribe", ref: sub.ref, sub: name, to, after };
    if (task) frame.task = task;
    if (sub.batch) frame.batch = sub.batch;
    if (types) frame.types = types;
    if (typeof after === "number") Object.assign(frame, { epoch: this.epoch, mark });
    this.send(frame);
  }

  async run() {
    if (this.running) return;
    this.running = true;
    connection.value = "connecting";
    while (this.subs.size) {
      const code = await this.connect();
      if (code >= 4400 && code < 4500) return void signIn();
      connection.value = "cut";
      const wait = Math.min(LAST_MS, FIRST_MS * 2 ** this.failures++);
      await new Promise((rested) => setTimeout(rested, wait * (0.5 + Math.random() / 2)));
    }
    this.running = false;
  }

  /** One connection, to its end; the answer is its close code. */
  async connect() {
    let ticket;
    try {
      ticket = (await api("/api/auth/ticket", { method: "POST" })).data.ticket;
    } catch (error) {
      return error instanceof ApiError && error.status === 401 ? 4401 : 0;
    }
    const scheme = location.protocol === "https:" ? "wss:" : "ws:";
    const url = `${scheme}//${location.host}/api/stream?ticket=${ticket}`;
    const socket = (this.socket = new WebSocket(url, "metamcp.v1"));
    socket.onmessage = ({ data }) => this.heard(JSON.parse(data));
    return new Promise((ended) => {
      socket.onclose = ({ code }) => ended(code);
    });
  }

  heard(frame) {
    switch (frame.op) {
      case "hello":
        return this.hello(frame);
      case "ack":
        return this.acked(frame);
      case "events":
        return this.events(frame);
      case "caught_up":
        this.flush();
        return this.subs.get(frame.sub)?.onLive?.();
      case "progress":
        for (const sub of this.subs.values()) sub.onProgress?.(frame);
        return;
      case "error":
        return this.refused(frame);
    }
  }

  hello({ epoch, head }) {
    this.flush();
    const another = this.epoch && this.epoch !== epoch;
    this.epoch = epoch;
    this.head = head;
    this.failures = 0;
    connection.value = "live";
    for (const sub of this.subs.values()) {
      if (another) this.lost(sub);
      this.ask(sub);
    }
  }

  lost(sub) {
    Object.assign(sub, { after: sub.after === null ? null : "start", mark: null });
    sub.onLost?.();
  }

  acked({ ref, recovered, seq }) {
    this.flush();
    const sub = [...this.subs.values()].find((one) => one.ref === ref);
    if (!sub) return;
    if (recovered === false) {
      sub.onLost?.();
      Object.assign(sub, { after: seq, mark: null });
    } else if (sub.after === null && !sub.overlap && seq !== undefined) sub.after = seq;
    sub.onReady?.();
  }

  events({ sub: name, events, mark }) {
    const sub = this.subs.get(name);
    if (!sub) return;
    for (const event of events) sub.heard.push(event);
    const last = events[events.length - 1].seq;
    this.head = Math.max(this.head, last);
    Object.assign(sub, { after: last, mark });
    this.waiting += events.length;
    // A page that nobody sees has no frames, and must not gather facts for ever.
    if (document.hidden || this.waiting > MOST_WAITING) this.flush();
    else this.frame ||= requestAnimationFrame(() => this.flush());
  }

  /** Have everybody hear what has come. */
  flush() {
    cancelAnimationFrame(this.frame);
    this.frame = this.waiting = 0;
    batch(() => {
      for (const sub of this.subs.values()) {
        if (sub.heard.length) sub.onEvents(sub.heard.splice(0));
      }
    });
  }

  refused({ ref, code, message }) {
    const sub = [...this.subs.values()].find((one) => one.ref === ref);
    if (!sub) return;
    if (code === "unavailable" || code === "rate_limited") return void this.socket?.close();
    this.subs.delete(sub.name);
    sub.onRefused?.({ code, message });
  }
}

export const stream = new Stream();
