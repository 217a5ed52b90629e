// The TypeScript SDK's client, told a URL and nothing else. Arguments: 1 or 2, and the URL.
// Prints where a person has to go, reads where the browser was sent back to, prints what it sees.

import { createInterface } from "node:readline/promises";

const [major, url] = process.argv.slice(2);
const modules =
  major === "1"
    ? ["@modelcontextprotocol/sdk/client/index.js", "@modelcontextprotocol/sdk/client/streamableHttp.js"]
    : ["@modelcontextprotocol/client"];
const { Client, StreamableHTTPClientTransport } = Object.assign(
  {}, ...(await Promise.all(modules.map((name) => import(name)))),
);
const kept = {};
let goes;
const provider = {
  redirectUrl: "http://localhost:33418/callback",
  clientMetadata: {
    client_name: `TypeScript ${major}`,
    redirect_uris: ["http://localhost:33418/callback"],
    grant_types: ["authorization_code", "refresh_token"],
    response_types: ["code"],
    token_endpoint_auth_method: "none",
  },
  state: () => "state-of-typescript",
  clientInformation: () => kept.client,
  saveClientInformation: (client) => void (kept.client = client),
  tokens: () => kept.tokens,
  saveTokens: (tokens) => void (kept.tokens = tokens),
  codeVerifier: () => kept.verifier,
  saveCodeVerifier: (verifier) => void (kept.verifier = verifier),
  discoveryState: () => kept.discovery,
  saveDiscoveryState: (discovery) => void (kept.discovery = discovery),
  redirectToAuthorization: (where) => void (goes = String(where)),
  invalidateCredentials: (what) => {
    if (what === "all" || what === "tokens") kept.tokens = undefined;
  },
};

async function tools() {
  const client = new Client({ name: "foreign", version: "1" });
  const transport = new StreamableHTTPClientTransport(new URL(url), { authProvider: provider });
  try {
    await client.connect(transport);
    const names = (await client.listTools()).tools.map((tool) => tool.name);
    await client.close();
    return { names };
  } catch (error) {
    return { error: error.constructor.name, transport };
  }
}

const lines = createInterface({ input: process.stdin });
const first = await tools();
console.log(JSON.stringify({ error: first.error, goes }));
const back = new URL((await lines[Symbol.asyncIterator]().next()).value).searchParams;
await (major === "1" ? first.transport.finishAuth(back.get("code")) : first.transport.finishAuth(back));
const seen = await tools();
goes = undefined;
kept.tokens = { ...kept.tokens, access_token: "no longer good" };
const refreshed = await tools();
console.log(JSON.stringify({ seen: seen.names, refreshed: refreshed.names, asked: goes ?? null }));
lines.close();
