// Submits a task, waits for it and reads it: the client that @hey-api/openapi-ts writes.

import { client } from "./hey/client.gen.js";
import { createTask, getContentOfTasks, getTask, listHosts } from "./hey/sdk.gen.js";
import type { TaskView } from "./hey/types.gen.js";

declare const process: { argv: string[] };
const [baseUrl, token, task] = process.argv.slice(2) as [string, string, string];
client.setConfig({ baseUrl: baseUrl as never, auth: token });
const over = new Set<TaskView["status"]>(["succeeded", "failed", "cancelled", "timed_out", "rejected"]);

const hosts = await listHosts({ throwOnError: true });
const tools: number = hosts.data.data.map((host) => host.tools.length).reduce((a, b) => a + b, 0);

const input = { ms: 1, nested: { list: [1, "two", null] } };
// The same task again is the same task: it waits.
async function submit(wait: number) {
  const body = { type: "work", id: task, input };
  return (await createTask({ body, query: { wait }, throwOnError: true })).data.data;
}
await submit(0);
while (!over.has((await submit(20)).status));
const view = (await getTask({ path: { task }, throwOnError: true })).data.data;
const read = await getContentOfTasks({ path: { task }, parseAs: "text", throwOnError: true });
const attempt: number | undefined = view.attempt;
console.log(JSON.stringify({ status: view.status, tools, attempt, result: JSON.parse(String(read.data)) }));
