"""A server that harms whoever listens to it, or errs as real ones do.

Over HTTP, where it prints its address, the path says how; over stdio (first argument: `stdio`) the
second argument does. Its tool `odd` answers as `how` says, made longer by `pad` bytes. It speaks
just enough of MCP (2025 era) and of `/execute` to be called.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import sys
import threading
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

from tests.support.forked import Forked

ROOT = Path(__file__).resolve().parents[2]

SHAPES: dict[str, Any] = {
    "regex": {"type": "object", "properties": {"t": {"pattern": "^(a+)+$"}}},
    "lookahead": {"type": "object", "properties": {"t": {"pattern": "^(?=(a+)+$)"}}},
    "doubling": {
        "type": "object",
        "$ref": "#/$defs/d0",
        "$defs": {
            **{f"d{n}": {"allOf": [{"$ref": f"#/$defs/d{n + 1}"}] * 2} for n in range(40)},
            "d40": {"type": "object"},
        },
    },
}
"""Schemas of the tool's answer."""
SLOW = "a" * 60 + "!"
ENDLESS: dict[str, tuple[str, bytes]] = {
    "comments": ("text/event-stream", b":\n" * 30_000),
    "blank": ("text/event-stream", b"\n" * 60_000),
    "fields": ("text/event-stream", b"x: y\n" * 12_000),
    "line": ("text/event-stream", b"x" * 60_000),
    "progress": (
        "text/event-stream",
        b'data: {"jsonrpc":"2.0","method":"notifications/progress",'
        b'"params":{"progressToken":1,"progress":1}}\n\n' * 500,
    ),
    "pings": (
        "text/event-stream",
        b'data: {"jsonrpc":"2.0","id":7,"method":"ping"}\n\n' * 500,
    ),
    "data": ("text/event-stream", b"data: " + b"x" * 60_000),
    "json": ("application/json", b"[" + b"1," * 30_000),
    "bomb": ("application/json", b"[" + b"[]," * 20_000),
}
"""Answers that never end: the media type, and what is sent again and again."""


ODD: dict[str, str] = {
    "code": '{"jsonrpc":"2.0","id":%(id)s,"error":{"code":%(code)s,"message":"its own"}}',
    "text code": '{"jsonrpc":"2.0","id":%(id)s,"error":{"code":"E7","message":"its own"}}',
    "bare error": '{"id":%(id)s,"error":"its own"}',
    "null id": '{"jsonrpc":"2.0","id":null,"error":{"code":-32603,"message":"its own"}}',
    "no version": '{"id":%(id)s,"result":{"content":[%(text)s]}}',
    "surrogate": '{"jsonrpc":"2.0","id":%(id)s,"result":{"content":[%(text)s,'
    '{"type":"text","text":"cut \\ud83d"}]}}',
    "nan": '{"jsonrpc":"2.0","id":%(id)s,"result":{"content":[%(text)s],'
    '"structuredContent":{"mean":NaN}}}',
    "unknown": '{"jsonrpc":"2.0","id":%(id)s,"result":{"content":[%(text)s,{"type":"video"}]}}',
    "no content": '{"jsonrpc":"2.0","id":%(id)s,"result":{"structuredContent":[%(text)s]}}',
    "null error": '{"jsonrpc":"2.0","id":%(id)s,"result":{"content":[%(text)s],"isError":null},'
    '"error":null}',
    "digits": '{"jsonrpc":"2.0","id":%(id)s,"result":{"content":[%(text)s],'
    '"structuredContent":%(digits)s}}',
    "broken": '{"jsonrpc":"2.0","id":%(id)s,"result":{"content":[%(text)s,]}}',
    "no list": '{"jsonrpc":"2.0","id":%(id)s,"result":{"content":%(text)s}}',
    "plain": '{"jsonrpc":"2.0","id":%(id)s,"result":{"content":[%(text)s]}}',
}
"""Answers of the tool `odd`."""


def odd(id_: Any, arguments: dict[str, Any]) -> bytes:
    """The answer that is asked for."""
    text = {"type": "text", "text": "x" * arguments.get("pad", 1)}
    fields = {
        "id": json.dumps(id_),
        "code": arguments.get("code", 0),
        "text": json.dumps(text),
        "digits": "9" * 5000,
    }
    return (ODD[arguments["how"]] % fields).encode()


def answer(id_: Any, result: Any) -> bytes:
    return json.dumps({"jsonrpc": "2.0", "id": id_, "result": result}).encode()


def listed(how: str, cursor: str | None) -> dict[str, Any]:
    if how == "pages":
        return {"tools": [], "nextCursor": f"{int(cursor or 0) + 1}"}
    tool: dict[str, Any] = {"name": "t", "inputSchema": {"type": "object"}}
    if how in SHAPES:
        tool["outputSchema"] = SHAPES[how]
    return {"tools": [tool, {"name": "odd", "inputSchema": {"type": "object"}}]}


def called(how: str) -> dict[str, Any]:
    text = {"content": [{"type": "text", "text": "done"}]}
    return text | {"structuredContent": {"t": SLOW}} if how in SHAPES else text


HELLO = {
    "protocolVersion": "2025-06-18",
    "capabilities": {"tools": {}},
    "serverInfo": {"name": "adverse", "version": "1"},
}
FORGET = {
    "forget-400": (
        "400 Bad Request",
        '{"jsonrpc":"2.0","error":{"code":-32000,"message":"Bad Request: No valid session ID'
        ' provided"},"id":null}',
    ),
    "forget-init": (
        "400 Bad Request",
        '{"jsonrpc":"2.0","error":{"code":-32000,"message":"Server not initialized"},"id":null}',
    ),
    "forget-text": ("400 Bad Request", "Bad Request: No valid session ID provided"),
    "forget-404": ("404 Not Found", "no session"),
    "forget-401": ("401 Unauthorized", "session expired"),
    "forget-said": (
        "200 OK",
        '{"jsonrpc":"2.0","id":%s,"error":{"code":-32600,"message":"Session not found"}}',
    ),
}
"""How servers say that they have forgotten a session; each knows the newest only, and forgets it
with the call `{"how": "forget"}`."""
WAYS: dict[str, tuple[str, str, str]] = {
    "cr": ("200 OK", "text/event-stream", "event: message\rdata: %s\r\r"),
    "crlf": ("200 OK", "text/event-stream", ": x\r\n\r\nid: 1\r\ndata: %s\r\n\r\n"),
    "unended": ("200 OK", "text/event-stream", "data: %s"),
    "named": ("200 OK", "text/event-stream", "event: ping\ndata: {}\n\nevent: x\ndata: %s\n\n"),
    "bom": ("200 OK", "text/event-stream", "\ufeffdata: %s\n\n"),
    "typeless": ("200 OK", "text/plain", "%s"),
    "batch": ("200 OK", "application/json", "[%s]"),
    "html": ("200 OK", "text/html", "<p>sign in</p>"),
    "accepted": ("202 Accepted", "text/plain", ""),
    "empty": ("200 OK", "application/json", ""),
    "silence": ("200 OK", "text/event-stream", ": nothing\n\n"),
    "swapped": ("200 OK", "application/json", '{"jsonrpc":"2.0","id":999,"result":{}}'),
    "forbidden": (
        "403 Forbidden",
        "application/json",
        '{"jsonrpc":"2.0","id":null,"error":{"code":-32001,"message":"not you"}}',
    ),
    "away": ("302 Found\r\nlocation: https://example.org/login", "text/plain", ""),
    "rest": ("429 Too Many Requests\r\nretry-after: 3600", "text/plain", "slow down"),
    "date": (
        "503 Busy\r\nretry-after: Wed, 21 Oct 2037 07:28:00 GMT",
        "text/plain",
        "come back",
    ),
}
"""How the answer of a call is sent; by path."""
session_ids: dict[str, str] = {}
calls: dict[str, int] = {}
old_streams: dict[str, Connection] = {}
"""The one stream of a server of 2024, and code -7777 ends it."""


class Connection:
    """One connection: requests one after the other."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer
        self.given = ""
        self.path: list[str] = []

    async def serve(self) -> None:
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            while True:
                head = (await self.reader.readuntil(b"\r\n\r\n")).decode("latin-1")
                method, path, _ = head.split(" ", 2)
                given = [
                    line.partition(":")[2].strip()
                    for line in head.splitlines()
                    if line.lower().startswith("mcp-session-id:")
                ]
                self.given = given[0] if given else ""
                lengths = [
                    int(line.partition(":")[2])
                    for line in head.splitlines()
                    if line.lower().startswith("content-length:")
                ]
                body = await self.reader.readexactly(lengths[0]) if lengths else b""
                await self.respond(method, path.strip("/").split("/"), body)
        self.writer.close()

    async def respond(self, method: str, path: list[str], body: bytes) -> None:
        how, self.path = path[0], path
        if await self.at_a_place_of_its_own(how, method, path):
            return None
        message = json.loads(body)
        id_, what = message.get("id"), message.get("method")
        params = message.get("params") or {}
        if id_ is None:
            return await self.whole(b"", "202 Accepted")
        match what:
            case "initialize" if how in FORGET:
                session_ids[how] = f"s{len(session_ids)}-{id(message)}"
                given = f"200 OK\r\nmcp-session-id: {session_ids[how]}"
                return await self.whole(answer(id_, HELLO), given)
            case "initialize":
                return await self.whole(answer(id_, HELLO))
            case _ if how in FORGET and self.given != session_ids.get(how):
                status, text = FORGET[how]
                said = text % json.dumps(id_) if "%s" in text else text
                return await self.whole(said.encode(), status)
            case "tools/list" if how == "list-hang":
                await asyncio.Event().wait()
            case "tools/list" if how.startswith("list-"):
                return await self.endless(how.removeprefix("list-"))
            case "tools/list":
                return await self.whole(answer(id_, listed(how, params.get("cursor"))))
            case "tools/call":
                calls[how] = calls.get(how, 0) + 1
                arguments = params.get("arguments") or {}
                if arguments.get("how") == "forget":
                    session_ids[how] = "gone"
                    arguments = {"how": "plain"}
                body = odd(id_, arguments) if "how" in arguments else answer(id_, called(how))
                if how in WAYS:
                    status, kind, text = WAYS[how]
                    sent = text.replace("%s", body.decode()).encode()
                    return await self.whole(sent, status, kind)
                return await self.end_of_call(how, body)
        return await self.whole(
            json.dumps(
                {"jsonrpc": "2.0", "id": id_, "error": {"code": -32601, "message": "no"}}
            ).encode()
        )

    async def at_a_place_of_its_own(self, how: str, method: str, path: list[str]) -> bool:
        """Answer what is no message."""
        match how, method, path[-1]:
            case _, _, "health":
                await self.whole(b'{"status": "healthy"}')
            case _, _, "execute":
                await self.end_of_call(how, b'{"done": true}')
            case _, _, "calls":
                await self.whole(str(calls.get(how, 0)).encode())
            case "old", "GET", _:
                old_streams["old"] = self
                start = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n"
                self.writer.write(f"{start}event: endpoint\ndata: /old/post?s=1\n\n".encode())
                await self.writer.drain()
            case "moved", _, "mcp":
                await self.whole(b"", f"307 Moved\r\nlocation: /{how}/there")
            case ("old", _, "mcp") | (_, "GET" | "DELETE", _):
                await self.whole(b"", "405 Method Not Allowed")
            case _:
                return False
        return True

    async def end_of_call(self, how: str, body: bytes) -> None:
        if how in ENDLESS:
            return await self.endless(how)
        if how == "hang":
            await asyncio.Event().wait()
        return await self.whole(body)

    async def whole(
        self, body: bytes, status: str = "200 OK", kind: str = "application/json"
    ) -> None:
        if self.path[:2] == ["old", "post?s=1"] and body:
            stream = old_streams["old"].writer
            if b'"its own"' in body and b"-7777" in body:
                stream.close()
            else:
                stream.write(b"event: message\r\ndata: " + body + b"\r\n\r\n")
            body, status = b"", "202 Accepted"
        head = f"HTTP/1.1 {status}\r\ncontent-type: {kind}\r\ncontent-length: {len(body)}\r\n\r\n"
        self.writer.write(head.encode() + body)
        await self.writer.drain()

    async def endless(self, how: str) -> None:
        kind, part = ENDLESS[how]
        head = f"HTTP/1.1 200 OK\r\ncontent-type: {kind}\r\ntransfer-encoding: chunked\r\n\r\n"
        self.writer.write(head.encode())
        while True:
            self.writer.write(b"%x\r\n%s\r\n" % (len(part), part))
            await self.writer.drain()


async def main() -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await Connection(reader, writer).serve()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    print(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", flush=True)
    async with server:
        await server.serve_forever()


def on_stdio(how: str) -> None:
    """Speak over standard input and output."""
    out = sys.stdout.buffer
    if how == "bom":
        out.write(b"\xef\xbb\xbf")
    for number, line in enumerate(sys.stdin):
        message = json.loads(line)
        method, id_ = message.get("method"), message.get("id")
        params = message.get("params") or {}
        if number == 0 and method != "initialize" and how == "strict":
            sys.exit("expected initialize")
        if method == "server/discover" and how == "silent":
            threading.Event().wait()
        if id_ is None:
            continue
        arguments = params.get("arguments") or {}
        match method:
            case "initialize":
                body = answer(id_, HELLO)
            case "tools/list":
                body = answer(id_, listed(how, None))
            case "tools/call" if "how" in arguments:
                body = odd(id_, arguments)
            case "tools/call":
                body = answer(id_, called(how))
            case _:
                body = odd(id_, {"how": "code", "code": -32601})
        out.write(body + b"\n")
        out.flush()


@contextlib.asynccontextmanager
async def adverse() -> AsyncIterator[str]:
    """The address of such a server, in a process of its own."""
    running = Forked("tests.support.adverse_mcp", os.environ)
    try:
        yield await running.line()
    finally:
        await running.kill()


def ways() -> Iterator[str]:
    """The endless ones that are no answer, of MCP."""
    yield from ("comments", "blank", "fields", "line", "progress", "pings", "data")


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        if sys.argv[1:2] == ["stdio"]:
            on_stdio(sys.argv[2])
        else:
            asyncio.run(main())
