// The TypeScript SDK's client goes over a limit, waits as told, and goes on. Arguments: 1 or 2, URL, token.

const [major, url, token] = process.argv.slice(2);
const modules =
  major === "1"
    ? ["@modelcontextprotocol/sdk/client/index.js", "@modelcontextprotocol/sdk/client/streamableHttp.js"]
    : ["@modelcontextprotocol/client"];
const { Client, StreamableHTTPClientTransport } = Object.assign(
  {}, ...(await Promise.all(modules.map((name) => import(name)))),
);
const options = major === "1" ? {} : { versionNegotiation: { mode: "auto" } };
const client = new Client({ name: "foreign", version: "1" }, options);
const headers = { Authorization: `Bearer ${token}` };
await client.connect(new StreamableHTTPClientTransport(new URL(url), { requestInit: { headers } }));
const call = () => client.callTool({ name: "list_hosts", arguments: {} });
let answer;
do answer = await call();
while (!answer.isError);
const told = answer.content[0].text;
const refused = await client.listTools().then(() => "nothing", (error) => error.message);
const seconds = Number(told.match(/wait (\d+) s/)[1]);
await new Promise((go) => setTimeout(go, seconds * 1000));
const again = (await call()).structuredContent;
console.log(JSON.stringify({ told, refused, again }));
await client.close();
