"""An MCP server that keeps what it is told in the session's memory, as browsers and notebooks do.

Over stdio a session is the process; over HTTP it has an id, and a cookie that is set beside it.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import sys
from collections.abc import AsyncIterator
from typing import Any

from aiohttp import web

PROTOCOL = "2025-11-25"
SESSION, COOKIE = "Mcp-Session-Id", "keeper"
HINTS = {"readOnlyHint": True, "idempotentHint": True}
TOOL = {"name": "keep", "inputSchema": {"type": "object"}, "annotations": HINTS}
CARELESS = TOOL | {"name": "write", "annotations": {"readOnlyHint": False}}


def answer(request: dict[str, Any], notes: list[str], who: object) -> dict[str, Any] | None:
    """What this server says to a request; None to what asks for nothing."""
    if "id" not in request:
        return None
    match request["method"]:
        case "initialize":
            result: dict[str, Any] = {
                "protocolVersion": PROTOCOL,
                "capabilities": {"tools": {}},
                "serverInfo": {"name": "keeper", "version": "1"},
            }
        case "tools/list":
            result = {"tools": [TOOL, CARELESS]}
        case "tools/call":
            notes.append(request["params"]["arguments"]["text"])
            kept = {"notes": list(notes), "who": who}
            text = [{"type": "text", "text": json.dumps(kept)}]
            result = {"content": text, "structuredContent": kept}
        case _:
            result = {}
    return {"jsonrpc": "2.0", "id": request["id"], "result": result}


def main() -> None:
    notes: list[str] = []
    for line in sys.stdin:
        if said := answer(json.loads(line), notes, os.getpid()):
            print(json.dumps(said), flush=True)


class Keeper:
    """The server over HTTP."""

    def __init__(self) -> None:
        self.url = ""
        self.notes: dict[str, list[str]] = {}
        """By session."""
        self.cookies: set[tuple[str, str]] = set()
        """Every cookie that came back, and the session in which it did."""
        self._numbers = itertools.count(1)

    async def handle(self, request: web.Request) -> web.Response:
        if request.method == "DELETE":
            self.notes.pop(request.headers.get(SESSION, ""), None)
            return web.Response(status=200)
        if request.method != "POST":
            return web.Response(status=405)
        asked = await request.json()
        session = request.headers.get(SESSION) or f"session-{next(self._numbers)}"
        if cookie := request.cookies.get(COOKIE):
            self.cookies.add((cookie, session))
        said = answer(asked, self.notes.setdefault(session, []), session)
        if said is None:
            return web.Response(status=202)
        response = web.json_response(said, headers={SESSION: session})
        response.set_cookie(COOKIE, session)
        return response


@contextlib.asynccontextmanager
async def keeper() -> AsyncIterator[Keeper]:
    """The server over HTTP, on a free port."""
    one = Keeper()
    app = web.Application()
    app.router.add_route("*", "/mcp", one.handle)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    one.url = f"http://127.0.0.1:{runner.addresses[0][1]}/mcp"
    try:
        yield one
    finally:
        await runner.cleanup()


if __name__ == "__main__":
    main()
