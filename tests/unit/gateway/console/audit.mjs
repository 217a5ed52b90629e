// Audits stories from stdin with the console's own module, which the first argument names.
import { pathToFileURL } from "node:url";
import { text } from "node:stream/consumers";

const { audit, routesCheck } = await import(pathToFileURL(process.argv[2]).href);
const found = [];
for (const { audited, routes } of JSON.parse(await text(process.stdin))) {
  found.push([...(await audit(audited)), routesCheck(audited.records, routes)]);
}
process.stdout.write(JSON.stringify(found));
