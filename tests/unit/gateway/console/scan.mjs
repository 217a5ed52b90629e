// Reads answers of scans, and the spans of stories, from stdin with the console's own modules.
import { pathToFileURL } from "node:url";
import { text } from "node:stream/consumers";

const [scan, spans] = await Promise.all(
  ["scan.js", "attempts.js"].map((name) => import(pathToFileURL(`${process.argv[2]}/${name}`).href)),
);
const { answers, stories } = JSON.parse(await text(process.stdin));
const logs = await Promise.all(answers.map(scan.sarif));
process.stdout.write(JSON.stringify({
  logs,
  rows: answers.map(scan.findingsOf),
  again: logs.map(scan.findingsOf),
  none: [{}, null, 3, "x", [], { findings: [{}] }, { runs: [] }].map(scan.findingsOf),
  spans: stories.map(({ records, now }) => spans.attempts(records, now)),
}));
