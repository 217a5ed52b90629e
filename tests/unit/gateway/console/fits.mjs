// Says which rows fit each query, as the console's list decides it.
import { pathToFileURL } from "node:url";

const web = pathToFileURL(`${process.argv[2]}/`);
const { filterOf, seconds, moment } = await import(new URL("filters.js", web));
const { queryOf, search } = await import(new URL("query.js", web));
const { fits } = await import(new URL("fits.js", web));
const { place } = await import(new URL("order.js", web));

let text = "";
for await (const piece of process.stdin) text += piece;
const { rows, queries, now } = JSON.parse(text);
const told = queries.map((one) => {
  const { filter, wrong } = filterOf(queryOf(one), now);
  return { asked: search(filter), wrong, ids: rows.filter((row) => fits(row, filter)).map((row) => row.id) };
});
const spans = ["90", "5m", "2h", "1.5d", "x", "-1", "1y"].map(seconds);
const moments = ["2h", "1700000000", "2026-12-24T18:00:00Z", "soon"].map((one) => moment(one, now));
const places = [9, 7, 6, 1].map((seq) => place([{ created_seq: 9 }, { created_seq: 6 }], seq));
console.log(JSON.stringify({ told, spans, moments, places }));
