"""A server of many hosts that mean harm, in a niced process: the path says what each does.

`/KIND/ANY/mcp` speaks MCP over HTTP, `/KIND/ANY/health` and `/execute` are a host of that kind.
`GET /seen` counts the requests so far by kind and method: what was attacked, and what has stopped.
"""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import itertools
import json
import re
from collections import Counter
from collections.abc import AsyncIterator
from typing import Any

import httpx

from tests.support import aside

POISON = "a" * 40 + "!"
"""What `^(a+)+$` needs 2^40 steps for where an engine goes back."""
PATTERN = {"type": "object", "properties": {"a": {"type": "string", "pattern": "^(a+)+$"}}}
LEVELS = 40
DOUBLING: dict[str, Any] = {
    "type": "object",
    "properties": {"a": {"$ref": f"#/$defs/n{LEVELS}"}},
    "$defs": {"n0": {"minLength": 1}}
    | {
        f"n{k + 1}": {"allOf": [{"$ref": f"#/$defs/n{k}"}, {"$ref": f"#/$defs/n{k}"}]}
        for k in range(LEVELS)
    },
}
"""40 levels that each ask twice for the one below."""
NOTE = (
    b'data: {"jsonrpc":"2.0","method":"notifications/message",'
    b'"params":{"level":"info","data":"more"}}\n\n'
)
PROGRESS = (
    'data: {"jsonrpc":"2.0","method":"notifications/progress",'
    '"params":{"progressToken":%s,"progress":%d}}\n\n'
)
AGAIN = b"id: 1\nretry: 0\ndata:\n\n"
"""An answer that breaks off and says to ask again at once."""
ASK = b'data: {"jsonrpc":"2.0","id":"q%d","method":"ping"}\n\n'
NOISE = {
    "comments": b":\n" * 16_384,
    "notes": NOTE * 200,
    "blanks": b" " * 32_768,
    "fields": b"event: message\n" * 2_000,
    "unended": b"x" * 32_768,
}
"""What goes on for ever, by kind; `list-KIND` does it in `tools/list`."""
BOMB = gzip.compress(b" " * 20_000_000)
"""20 kB that become 20 MB, again and again."""
SSE = {"Content-Type": "text/event-stream"}
HEAD = re.compile(rb"^([A-Z]+) (\S+) HTTP/1\.[01]\r\n", re.DOTALL)
MOST_HEAD = 64 * 1024

_seen: Counter[str] = Counter()
_turn = itertools.count()


async def passed(seconds: float) -> None:
    """Return after this time."""
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(asyncio.Event().wait(), seconds)


class Exchange:
    """One request and the way back."""

    def __init__(self, writer: asyncio.StreamWriter, path: str, body: bytes) -> None:
        self._writer = writer
        self.kind, _, self.rest = path.lstrip("/").partition("/")
        self.body = body

    async def answer(self, status: int, body: Any, **headers: str) -> None:
        """One whole answer: bytes as they are, all else as JSON."""
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        named = {"Content-Type": "application/json"} | {
            name.replace("_", "-"): value for name, value in headers.items()
        }
        await self.begin(status, {**named, "Content-Length": str(len(data))})
        await self.write(data)

    async def begin(self, status: int, headers: dict[str, str]) -> None:
        """The head alone; what follows ends with the connection."""
        lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        await self.write(f"HTTP/1.1 {status} So\r\n{lines}\r\n".encode())

    async def write(self, data: bytes) -> None:
        """Send, as fast as it is read."""
        self._writer.write(data)
        await self._writer.drain()

    async def flood(self, piece: bytes, headers: dict[str, str] = SSE) -> None:
        """Send this until nobody reads any more."""
        await self.begin(200, headers)
        while True:
            await self.write(piece)


async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """One connection."""
    with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError, ValueError):
        while True:
            head = await reader.readuntil(b"\r\n\r\n")
            found = HEAD.match(head)
            if found is None:
                break
            length = re.search(rb"(?i)\r\ncontent-length: *(\d+)", head)
            body = await reader.readexactly(int(length[1])) if length else b""
            exchange = Exchange(writer, found[2].decode(), body)
            await respond(exchange, found[1].decode())
    with contextlib.suppress(ConnectionError):
        writer.close()
        await writer.wait_closed()


async def respond(one: Exchange, method: str) -> None:
    """Do what the kind does."""
    what = one.rest.rpartition("/")[2]
    if one.kind == "seen":
        await one.answer(200, _seen)
        return
    _seen[f"{one.kind} {method} {what}"] += 1
    match one.kind:
        case "dead":
            await one.answer(503, b"not now", Retry_After="0")
        case "hole":
            await passed(3600)
        case "drip":
            await one.begin(200, {"Content-Type": "application/json"})
            while True:
                await one.write(b" ")
                await passed(0.5)
        case "cut":
            raise ConnectionError
        case "loop":
            await one.answer(307, b"", Location=f"/loop/{next(_turn)}/{what}")
        case "heads":
            await one.write(b"HTTP/1.1 200 So\r\n")
            for k in itertools.count():
                await one.write(
                    b"".join(b"X-%d-%d: %b\r\n" % (k, j, b"x" * 900) for j in range(50))
                )
        case "bomb":
            json_type = {"Content-Type": "application/json", "Content-Encoding": "gzip"}
            await one.flood(BOMB, json_type)
        case "deep":
            await one.answer(200, b"[" * 2_000_000)
        case _ if what == "health":
            await health(one)
        case _ if what == "execute":
            await execute(one)
        case "again" if method == "GET":
            await one.begin(200, {**SSE, "Content-Length": str(len(AGAIN))})
            await one.write(AGAIN)
        case _ if method == "POST":
            await message(one)
        case _:
            await one.answer(405, {})


async def health(one: Exchange) -> None:
    """Well, in words that change if that is the kind."""
    words = f"word {next(_turn)}" if one.kind == "churn" else "well"
    status = "unhealthy" if one.kind == "churn" else "healthy"
    await one.answer(200, {"status": status, "reason": words})


async def execute(one: Exchange) -> None:
    """The answer of a task."""
    if one.kind == "silent":
        await passed(7 * 86_400)
    if one.kind == "big":
        await one.flood(b"[0," * 10_000, {"Content-Type": "application/json"})
    await one.answer(200, {"ok": True})


async def message(one: Exchange) -> None:
    """One JSON-RPC message."""
    asked = json.loads(one.body)
    method = asked.get("method", "")
    _seen[f"{one.kind} {method}"] += 1
    if "id" not in asked:
        await one.answer(202, b"")
        return

    async def result(value: Any) -> None:
        await one.answer(200, {"jsonrpc": "2.0", "id": asked["id"], "result": value})

    match method:
        case "initialize":
            version = asked["params"]["protocolVersion"]
            server = {"name": f"hostile-{one.kind}", "version": "1"}
            await result(
                {"protocolVersion": version, "capabilities": {"tools": {}}, "serverInfo": server}
            )
        case "tools/list":
            if (noise := one.kind.removeprefix("list-")) != one.kind:
                await one.flood(NOISE[noise], SSE)
            more = {"nextCursor": f"c{next(_turn)}"} if one.kind == "pages" else {}
            await result({"tools": tools(one.kind), **more})
        case "tools/call":
            await call(one, asked, result)
        case "ping":
            await result({})
        case _:
            error = {"code": -32601, "message": "Method not found"}
            await one.answer(200, {"jsonrpc": "2.0", "id": asked["id"], "error": error})


def tools(kind: str) -> list[dict[str, Any]]:
    """What a host of this kind lists."""
    work: dict[str, Any] = {
        "name": "work",
        "description": "Work",
        "inputSchema": {"type": "object"},
        "annotations": {"readOnlyHint": True, "idempotentHint": True},
    }
    if kind == "pattern":
        return [{**work, "outputSchema": PATTERN}]
    if kind == "doubling":
        return [{**work, "outputSchema": DOUBLING}]
    if kind == "churn":
        turn = next(_turn)
        many = [{**work, "name": f"t{turn}_{k}", "description": "d" * 1_000} for k in range(100)]
        return [work, *many]
    if kind == "wide":
        return [work] + [
            {**work, "name": f"t{k}", "description": "d" * 10_000} for k in range(2_000)
        ]
    if kind == "tricks":
        names = ("-", "--", "a__b", "work__work", "../x", "a\u202eb", "\x1b[31m", "", "n" * 5_000)
        return [work] + [{**work, "name": name, "description": "[/nope]\x1b[2J"} for name in names]
    return [work]


async def call(one: Exchange, asked: dict[str, Any], result: Any) -> None:
    """What `work` does."""
    if one.kind in NOISE:
        kind = {"Content-Type": "application/json"} if one.kind in ("blanks", "unended") else SSE
        await one.flood(NOISE[one.kind], kind)
    match one.kind:
        case "silent":
            await passed(7 * 86_400)
        case "progress":
            token = json.dumps((asked["params"].get("_meta") or {}).get("progressToken", 0))
            await one.begin(200, SSE)
            for k in itertools.count():
                await one.write(
                    "".join(PROGRESS % (token, k * 100 + j) for j in range(100)).encode()
                )
        case "big":
            await one.begin(200, {"Content-Type": "application/json"})
            start = '{"jsonrpc":"2.0","id":%d,"result":{"content":[{"type":"text","text":"'
            await one.write((start % asked["id"]).encode())
            while True:
                await one.write(b"x" * 65_536)
        case "again":
            await one.begin(200, {**SSE, "Content-Length": str(len(AGAIN))})
            await one.write(AGAIN)
        case "asks":
            await one.begin(200, SSE)
            for k in itertools.count():
                await one.write(b"".join(ASK % (k * 100 + j) for j in range(100)))
        case "others":
            await one.answer(200, {"jsonrpc": "2.0", "id": 987_654, "result": {"content": []}})
        case "pattern" | "doubling":
            await result({"content": [], "structuredContent": {"a": POISON}})
        case _:
            await result({"content": [{"type": "text", "text": "done"}]})


async def program(arguments: dict[str, Any], say: aside.Say) -> None:
    """What the process runs: serve until it is ended."""
    server = await asyncio.start_server(serve, "127.0.0.1", 0, limit=MOST_HEAD, backlog=4_096)
    say(port=server.sockets[0].getsockname()[1])
    async with server:
        await server.serve_forever()


class Hostile:
    """The running server."""

    def __init__(self, url: str) -> None:
        self.url = url

    def mcp(self, kind: str, which: object = 0) -> str:
        """The URL of an MCP server of this kind."""
        return f"{self.url}/{kind}/{which}/mcp"

    def execute(self, kind: str, which: object = 0) -> str:
        """The URL of a host that answers `/execute`."""
        return f"{self.url}/{kind}/{which}"

    async def seen(self) -> dict[str, int]:
        """How many requests there were, as `KIND METHOD WHAT` and `KIND message`."""
        async with httpx.AsyncClient(trust_env=False, timeout=20) as http:
            return dict((await http.get(f"{self.url}/seen")).json())


@contextlib.asynccontextmanager
async def hostile() -> AsyncIterator[Hostile]:
    """The server, on a free port of 127.0.0.1, ended with the block."""
    async with aside.running(__name__, "program", {}) as process:
        port = process.first["port"]
        yield Hostile(f"http://127.0.0.1:{port}")
