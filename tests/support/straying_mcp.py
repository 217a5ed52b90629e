"""A server of MCP whose answers go astray: twice, to nothing, or after nobody waits any more.

Its tool `answer` does what `how` says. Over stdio it is a program, over HTTP it runs in the test:
`/mcp` is streamable HTTP, `/old` the transport of 2024.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import sys
from collections.abc import AsyncIterator
from typing import Any

HELLO = {
    "protocolVersion": "2025-06-18",
    "capabilities": {"tools": {}},
    "serverInfo": {"name": "straying", "version": "1"},
}
TOOL = {"name": "answer", "inputSchema": {"type": "object"}}
EVENTS = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nmcp-session-id: s1\r\n\r\n"
LATER = b"later"
"""What follows is sent where a server speaks by itself, if it has such a place."""


def answer(id_: Any, result: Any) -> bytes:
    return json.dumps({"jsonrpc": "2.0", "id": id_, "result": result}).encode()


class Straying:
    """What one server knows and says."""

    def __init__(self) -> None:
        self.held: list[Any] = []
        self.greeted = 0
        self.holding = asyncio.Event()

    def said(self, message: dict[str, Any]) -> list[bytes]:
        """The messages that follow one of a client."""
        id_, method = message.get("id"), message.get("method")
        arguments = (message.get("params") or {}).get("arguments") or {}
        if id_ is None:
            return []
        match method:
            case "initialize":
                self.greeted += 1
                return [answer(id_, HELLO)]
            case "tools/list":
                return [answer(id_, {"tools": [TOOL]})]
            case "tools/call":
                return self._called(id_, arguments.get("how", ""))
        return [
            json.dumps(
                {"jsonrpc": "2.0", "id": id_, "error": {"code": -32601, "message": "no"}}
            ).encode()
        ]

    def _called(self, id_: Any, how: str) -> list[bytes]:
        mine = answer(id_, {"content": [{"type": "text", "text": f"{how} {self.greeted}"}]})
        match how:
            case "twice":
                return [mine, LATER, mine]
            case "stray":
                return [answer(4242, {"content": []})]
            case "hold":
                self.held.append(id_)
                self.holding.set()
                return []
            case "late":
                return [*(answer(old, {"content": []}) for old in self.held), mine]
            case _:
                return [mine]


class StrayingSite:
    """The same behind a URL."""

    def __init__(self) -> None:
        self.server = Straying()
        self.url = ""
        self._aside: asyncio.StreamWriter | None = None
        self._tasks: set[asyncio.Task[None] | None] = set()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._tasks.add(asyncio.current_task())
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
                method, path, _ = head.split(" ", 2)
                size = int(head.partition("content-length:")[2].split("\r\n")[0] or 0)
                body = await reader.readexactly(size)
                if method == "get":
                    self._aside = writer
                    writer.write(EVENTS.encode())
                    if path == "/old":
                        writer.write(b"event: endpoint\ndata: /old/post\n\n")
                elif method != "post" or path == "/old":
                    writer.write(b"HTTP/1.1 405 No\r\ncontent-length: 0\r\n\r\n")
                elif path == "/mcp" and b'"id"' in body:
                    writer.write(EVENTS.encode())
                    said = self.server.said(json.loads(body))
                    self._write(writer, said)
                    if said:
                        break  # else the answer is still to come
                else:
                    writer.write(b"HTTP/1.1 202 Yes\r\ncontent-length: 0\r\n\r\n")
                    self._write(self._aside, self.server.said(json.loads(body)))
                await writer.drain()
        writer.close()

    def _write(self, writer: asyncio.StreamWriter | None, said: list[bytes]) -> None:
        for message in said:
            if message == LATER:
                writer = self._aside or writer
            elif writer is not None:
                writer.write(b"data: " + message + b"\n\n")


@contextlib.asynccontextmanager
async def straying(path: str) -> AsyncIterator[StrayingSite]:
    """One server at this path."""
    site = StrayingSite()
    async with await asyncio.start_server(site.serve, "127.0.0.1", 0) as server:
        site.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}{path}"
        yield site
        for task in site._tasks:
            if task is not None:
                task.cancel()
        await asyncio.wait([task for task in site._tasks if task is not None])


def main() -> None:
    """Speak over standard input and output."""
    server, out = Straying(), sys.stdout.buffer
    for line in sys.stdin:
        for message in server.said(json.loads(line)):
            if message != LATER:
                out.write(message + b"\n")
        out.flush()


if __name__ == "__main__":
    main()
