// A client in TypeScript calls, and calls again when it is told to, up to twice.
// Arguments: 1 or 2 and a mode of negotiation, or `bridge` and its command; then URL and token.
// Prints a line after the first call, and then what each of the others came to.
import { createInterface } from "node:readline";

const [major, mode, url, token] = process.argv.slice(2);
const first = major !== "2";
const modules = first
  ? ["client/index.js", "client/streamableHttp.js", "client/stdio.js"].map((one) => `@modelcontextprotocol/sdk/${one}`)
  : ["@modelcontextprotocol/client"];
const found = Object.assign({}, ...(await Promise.all(modules.map((name) => import(name)))));
const headers = { Authorization: `Bearer ${token}` };
const client = new found.Client({ name: "foreign", version: "1" }, first ? {} : { versionNegotiation: { mode } });
const args = [mode, url, "--allow-http", "--header", `Authorization:Bearer ${token}`];
const transport =
  major === "bridge"
    ? new found.StdioClientTransport({ command: process.execPath, args, env: process.env, stderr: "ignore" })
    : new found.StreamableHTTPClientTransport(new URL(url), { requestInit: { headers } });
await client.connect(transport);
const call = async () => (await client.callTool({ name: "one__echo", arguments: { text: "hi" } })).content[0].text;
await call();
console.log("called");
await new Promise((told) => createInterface({ input: process.stdin }).once("line", told));
const tries = [];
while (tries.length < 2 && !tries.includes("hi")) tries.push(await call().catch((error) => String(error)));
console.log(JSON.stringify(tries));
process.exit(0);
