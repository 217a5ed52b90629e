// The TypeScript SDK's client that does as it is told, as driver.py does. Arguments: 1 or 2.
// Environment: DRIVEN (JSON): url, token, era.

import { createInterface } from "node:readline";

const [major] = process.argv.slice(2);
const { url, token, era } = JSON.parse(process.env.DRIVEN);
const old = major === "1";
const modules = old
  ? ["client/index.js", "client/streamableHttp.js", "types.js"].map((name) => `@modelcontextprotocol/sdk/${name}`)
  : ["@modelcontextprotocol/client"];
const sdk = Object.assign({}, ...(await Promise.all(modules.map((name) => import(name)))));

const logs = [];
const options = {
  capabilities: { elicitation: old ? {} : { form: {} } },
  ...(!old && era !== "legacy" && { versionNegotiation: { mode: "auto" } }),
};
const client = new sdk.Client({ name: "driven", version: "1" }, options);
client.setRequestHandler(old ? sdk.ElicitRequestSchema : "elicitation/create", () => ({
  action: "accept", content: { name: "Ada" },
}));
client.setNotificationHandler(old ? sdk.LoggingMessageNotificationSchema : "notifications/message", (message) => {
  logs.push(message.params.data);
});
const requestInit = { headers: { Authorization: `Bearer ${token}` } };
const transport = new sdk.StreamableHTTPClientTransport(new URL(url), { requestInit });
await client.connect(transport);

async function every(kind, ask) {
  const found = [];
  let cursor;
  do {
    const page = await ask(cursor === undefined ? undefined : { cursor });
    found.push(...page[kind]);
    cursor = page.nextCursor;
  } while (cursor !== undefined);
  return found;
}

let level;
const does = {
  tools: () => every("tools", (page) => client.listTools(page)),
  async call({ tool, arguments: given, limit_s, meta }) {
    const steps = [];
    const settings = { timeout: limit_s * 1000, onprogress: ({ progress }) => steps.push(progress) };
    const _meta = { ...meta, ...(level && { "io.modelcontextprotocol/logLevel": level }) };
    const params = { name: tool, arguments: given, _meta };
    const result = await (old ? client.callTool(params, undefined, settings) : client.callTool(params, settings));
    return { ...result, steps };
  },
  prompts: () => every("prompts", (page) => client.listPrompts(page)),
  prompt: ({ name }) => client.getPrompt({ name }),
  resources: () => every("resources", (page) => client.listResources(page)),
  read: ({ uri }) => client.readResource({ uri }),
  heard: async () => logs,
  async level() {
    if (old || era === "legacy") await client.setLoggingLevel("info");
    else level = "info";
  },
};

const say = (fields) => process.stdout.write(`${JSON.stringify(fields)}\n`);
say({ number: 0, answer: old ? transport.protocolVersion : client.getNegotiatedProtocolVersion() });
const pending = new Set();
for await (const line of createInterface({ input: process.stdin })) {
  const { number, do: what, ...given } = JSON.parse(line);
  const doing = does[what](given).then(
    (answer) => say({ number, answer: answer ?? null }),
    (error) => say({ number, error: `${error.name}: ${error.message} ${error.cause ?? ""}`.trim() }),
  );
  pending.add(doing);
}
await Promise.all(pending);
await client.close();
