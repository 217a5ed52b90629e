// Runs cases of forms from stdin through the console's own modules, whose folder is the first argument.
import { pathToFileURL } from "node:url";
import { text } from "node:stream/consumers";

const from = (name) => import(pathToFileURL(`${process.argv[2]}/${name}`).href);
const { draftOf, kindOf, placeOf, plain, valueOf } = await from("parts/schema.js");
const { entryOf, fieldsOf } = await from("hostentry.js");
const { tagsOf, tagsOfLines } = await from("tags.js");

function told(deed) {
  try {
    return deed();
  } catch (error) {
    return { error: error.message };
  }
}

const RUN = {
  form: ({ schema, typed, begins, needed = true }) =>
    valueOf(schema, typed ?? draftOf(schema, begins, schema), schema, { needed }),
  kind: ({ schema }) => kindOf(plain(schema, schema), schema),
  size: ({ schema }) => JSON.stringify(draftOf(schema, undefined, schema) ?? "", (_, one) => one ?? "").length,
  tags: ({ line }) => Object.entries(tagsOf(line)),
  lines: ({ text }) => Object.entries(tagsOfLines(text)),
  place: ({ message, within }) => placeOf(message, within),
  entry: ({ kind, fields }) => entryOf(kind, fields),
  again: ({ host }) => {
    const { kind, fields } = fieldsOf(host);
    return entryOf(kind, fields);
  },
};
const cases = JSON.parse(await text(process.stdin));
process.stdout.write(JSON.stringify(cases.map(([what, given]) => told(() => RUN[what](given)))));
