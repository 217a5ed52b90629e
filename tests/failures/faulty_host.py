"""An MCP server over HTTP that says what it was told, and answers as the file `FAULT` names.

`right`; `swapped`: two calls each get the other's answer; `second`: another answer is left behind
on the connection; `wedged`: nothing is ever answered, notifications neither.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import sys
from pathlib import Path
from typing import Any

FAULT = "FAULT"
PAIR_S = 0.3
_HELLO = {
    "protocolVersion": "2025-06-18",
    "capabilities": {"tools": {}},
    "serverInfo": {"name": "faulty", "version": "1"},
}
_TOOL = {
    "name": "say",
    "inputSchema": {"type": "object", "properties": {"word": {"type": "string"}}},
    "annotations": {"readOnlyHint": True, "idempotentHint": True},
}
NEVER = asyncio.Event()
held: list[tuple[Any, asyncio.Future[Any]]] = []
"""Calls that wait for another one to change answers with."""


def fault() -> str:
    """What is wrong by now."""
    return Path(os.environ[FAULT]).read_text().strip()


async def said(id_: Any, word: str) -> tuple[Any, str]:
    """The id and the word of the answer to a call."""
    if fault() != "swapped":
        return id_, word
    if held:
        other, answer = held.pop()
        answer.set_result(id_)
        return other, word
    answer = asyncio.get_running_loop().create_future()
    held.append((id_, answer))
    try:
        return await asyncio.wait_for(answer, PAIR_S), word
    except TimeoutError:
        held.remove((id_, answer))
        return id_, word


async def result(message: dict[str, Any]) -> bytes:
    """The answer to a message."""
    id_, what = message.get("id"), message.get("method")
    params = message.get("params") or {}
    body: dict[str, Any]
    match what:
        case "initialize":
            body = {"result": _HELLO}
        case "tools/list":
            body = {"result": {"tools": [_TOOL]}}
        case "ping":
            body = {"result": {}}
        case "tools/call":
            id_, word = await said(id_, params["arguments"]["word"])
            body = {"result": {"content": [{"type": "text", "text": word}]}}
        case _:
            body = {"error": {"code": -32601, "message": "no such method"}}
    return json.dumps({"jsonrpc": "2.0", "id": id_} | body).encode()


def response(body: bytes, status: str = "200 OK") -> bytes:
    """One HTTP response."""
    head = f"HTTP/1.1 {status}\r\ncontent-type: application/json\r\n"
    return f"{head}content-length: {len(body)}\r\n\r\n".encode() + body


async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """One connection: requests one after the other."""
    with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
        while True:
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
            sizes = [line.partition(":")[2] for line in head.splitlines() if "ength:" in line]
            body = await reader.readexactly(int(sizes[0])) if sizes else b""
            if not head.startswith("POST "):
                writer.write(response(b"", "405 Method Not Allowed"))
                continue
            message = json.loads(body)
            if fault() == "wedged":
                await NEVER.wait()
            if "id" not in message:
                writer.write(response(b"", "202 Accepted"))
                continue
            writer.write(response(await result(message)))
            if fault() == "second" and message["method"] == "tools/call":
                await writer.drain()
                left = {"content": [{"type": "text", "text": "somebody else's"}]}
                late = {"jsonrpc": "2.0", "id": message["id"], "result": left}
                writer.write(response(json.dumps(late).encode()))
            await writer.drain()
    writer.close()


async def main() -> None:
    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    print(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/mcp", flush=True)
    async with server:
        await server.serve_forever()


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
