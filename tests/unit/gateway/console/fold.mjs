// Folds stories from stdin with the console's own module, which the first argument names.
import { pathToFileURL } from "node:url";
import { text } from "node:stream/consumers";

const { fold } = await import(pathToFileURL(process.argv[2]).href);
const stories = JSON.parse(await text(process.stdin));
process.stdout.write(JSON.stringify(stories.map(fold)));
