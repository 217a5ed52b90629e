// The TypeScript SDK's client, whose person is asked something. Arguments: 1, or 2 and a mode of negotiation; the
// address of the server; a token. Prints one JSON object.

const [major, mode, url, token] = process.argv.slice(2);
const { Client, StreamableHTTPClientTransport, ElicitRequestSchema } = Object.assign(
  {},
  ...(await Promise.all(
    (major === "1"
      ? ["client/index.js", "client/streamableHttp.js", "types.js"].map((name) => `@modelcontextprotocol/sdk/${name}`)
      : ["@modelcontextprotocol/client"]
    ).map((name) => import(name)),
  )),
);

const capabilities = { elicitation: { form: {} } };
const options = major === "1" ? { capabilities } : { capabilities, versionNegotiation: { mode } };
const client = new Client({ name: "foreign", version: "1" }, options);
const asked = [];
client.setRequestHandler(major === "1" ? ElicitRequestSchema : "elicitation/create", async ({ params }) => {
  asked.push(params);
  return { action: "accept", content: { city: "Rome" } };
});
const headers = { Authorization: `Bearer ${token}` };
await client.connect(new StreamableHTTPClientTransport(new URL(url), { requestInit: { headers } }));
// From now on answers are held against the output schemas of tools.
await client.listTools();
const answer = await client.callTool({ name: "h1__echo", arguments: { text: "hi" } });
console.log(JSON.stringify({ text: answer.content[0].text, asked }));
await client.close();
