// Submits a task, waits for it and reads it: openapi-typescript's types, openapi-fetch's client.

import createClient from "openapi-fetch";
import type { components, paths } from "./schema.js";

declare const process: { argv: string[] };
const [baseUrl, token, task] = process.argv.slice(2) as [string, string, string];
const client = createClient<paths>({ baseUrl, headers: { Authorization: `Bearer ${token}` } });
const over = new Set<components["schemas"]["Status"]>(["succeeded", "failed", "cancelled", "timed_out", "rejected"]);

const hosts = await client.GET("/api/mcps");
if (hosts.error) throw new Error(hosts.error.error.message);
const tools: number = hosts.data.data.map((host) => host.tools.length).reduce((a, b) => a + b, 0);

// The same task again is the same task: it waits.
async function submit(wait: number) {
  const sent = await client.POST("/api/tasks", {
    params: { query: { wait } },
    body: { type: "work", id: task, input: { ms: 1, nested: { list: [1, "two", null] } } },
  });
  if (sent.error) throw new Error(sent.error.error.message);
  return sent.data.data;
}
await submit(0);
while (!over.has((await submit(20)).status));
const found = await client.GET("/api/tasks/{task}", { params: { path: { task } } });
if (found.error) throw new Error(found.error.error.message);
const view = found.data.data;
const read = await client.GET("/api/tasks/{task}/result", { params: { path: { task } }, parseAs: "text" });
const attempt: number | undefined = view.attempt;
console.log(JSON.stringify({ status: view.status, tools, attempt, result: JSON.parse(String(read.data)) }));
