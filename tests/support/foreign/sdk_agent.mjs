// The TypeScript SDK's client as an agent. Arguments: 1, or 2 and a mode of negotiation.
// Environment: AGENT_CONFIG (JSON), AGENT_MARK. Prints one JSON object.

const [major, mode] = process.argv.slice(2);
const server = Object.values(JSON.parse(process.env.AGENT_CONFIG).mcpServers)[0];
const mark = Number(process.env.AGENT_MARK);

const modules =
  major === "1"
    ? ["@modelcontextprotocol/sdk/client/index.js", "@modelcontextprotocol/sdk/client/streamableHttp.js"]
    : ["@modelcontextprotocol/client"];
const { Client, StreamableHTTPClientTransport } = Object.assign(
  {}, ...(await Promise.all(modules.map((name) => import(name)))),
);

async function connected(headers) {
  const options = major === "1" ? {} : { versionNegotiation: { mode } };
  const client = new Client({ name: "foreign", version: "1" }, options);
  const transport = new StreamableHTTPClientTransport(new URL(server.url), { requestInit: { headers } });
  await client.connect(transport);
  return [client, transport];
}

const said = ({ content, structuredContent, isError }) => ({
  text: content[0].text ?? "",
  kinds: content.map((item) => item.type),
  structured: structuredContent ?? null,
  is_error: isError ?? false,
});

const refused = (calling) =>
  calling.then((answer) => `no error, but ${JSON.stringify(answer)}`, (error) => error.message);

const [client, transport] = await connected(server.headers);
// The second parameter of 1.x is a schema of results.
const call = (name, given, options = {}, _meta = undefined) => {
  const params = { name, arguments: given, ...(_meta && { _meta }) };
  return major === "1" ? client.callTool(params, undefined, options) : client.callTool(params, options);
};

async function everyTool() {
  const names = [];
  let cursor;
  do {
    const page = await client.listTools(cursor === undefined ? undefined : { cursor });
    names.push(...page.tools.map((tool) => tool.name));
    cursor = page.nextCursor;
  } while (cursor !== undefined);
  return names;
}

async function cancelled() {
  const stop = new AbortController();
  let progress;
  const onprogress = (heard) => {
    progress ??= [heard.progress, heard.total, heard.message];
    stop.abort("enough");
  };
  const ended = await refused(call("one__progress", { steps: mark, ms: 100 }, { onprogress, signal: stop.signal }));
  return { progress, ended };
}

const work = { type: "work", input: { ms: 1 }, id: `own-${mark}`, wait_s: 30 };
await call("one__echo", { text: "named" }, {}, { "io.metamcp/task": `named-${mark}` });
const report = {
  tools: await everyTool(),
  echo: said(await call("one__echo", { text: "hé" })),
  sum: said(await call("zoo__sum", { a: 1, b: 2 })),
  odd: [said(await call("zoo__größe", {})), said(await call("zoo__a.b/c-d", {}))],
  media: said(await call("one__media", {})),
  big: said(await call("one__big", { bytes: 2000000 })),
  own: said(await call("submit_task", work)),
  hosts: said(await call("list_hosts", {})),
  failed: said(await call("one__fail", { message: "no" })),
  unknown: await refused(call("one__nothing", {})),
  early: said(await call("one__hang", {}, {}, { "io.metamcp/patience_s": 0 })),
  timeout: await refused(call("one__hang", {}, { timeout: 500 })),
  cancelled: await cancelled(),
  named: said(await call("get_task", { task: `named-${mark}` })),
  after: said(await call("one__echo", { text: "after" })),
  stranger: await refused(connected({ Authorization: "Bearer wrong" })),
};
await transport.terminateSession?.();
await client.close();
console.log(JSON.stringify(report));
