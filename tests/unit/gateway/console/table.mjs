// Puts rows and facts into the console's table; what it shows after some of them goes to stdout.
import { pathToFileURL } from "node:url";
import { text } from "node:stream/consumers";

const { TaskTable } = await import(pathToFileURL(process.argv[2]).href);
const { status, most, steps, at } = JSON.parse(await text(process.stdin));
const table = new TaskTable((row) => !status || row.status === status, most);
const after = {};
let longest = 0;
for (const [number, step] of steps.entries()) {
  if (step.event) table.hear(step);
  else table.put(step);
  longest = Math.max(longest, table.shown.length);
  if (at.includes(number)) {
    after[number] = table.shown.map((row) => [row.id, row.status, row.spec ?? null, row.result ?? null]);
  }
}
process.stdout.write(JSON.stringify({ after, longest, kept: table.known.size, full: table.full }));
