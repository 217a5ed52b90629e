// What passes between the console's modules, for `tsc` alone: it is not served.

/** A fact as the websocket and the API tell it. */
interface FactRecord {
  seq: number;
  at: number;
  event: any;
}

/** A task as `GET /api/tasks` lists it, and as the fold of its facts makes it. */
interface TaskRow {
  id: string;
  user: string;
  type: string;
  status: string;
  seq: number;
  created_seq: number;
  created_at: number;
  updated_at: number;
  done_at: number | null;
  attempt: number;
  host: string;
  waiting: string;
  project: string;
  cancel_requested: boolean;
  tags?: Record<string, string>;
  again?: string;
  batch?: string;
}

/** A host as `GET /api/mcps` lists it. */
interface HostRow {
  id: string;
  name?: string;
  enabled?: boolean;
  health: { status: string; reason: string; [more: string]: any };
  tools?: { name: string; title?: string; description?: string; input_schema?: any }[];
  task_types?: Record<string, any>;
  [more: string]: any;
}

/** Whatever the console finds by a selector can take the focus. */
interface Element extends HTMLOrSVGElement {}
