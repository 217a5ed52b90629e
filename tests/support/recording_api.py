"""An HTTP API with the recorder's tools, and its description: calls are written down."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

from aiohttp import web

from tests.support.apis import OK, api

NAMES = ("echo", "work", "hang", "fail", "media")
DOCUMENT = api(
    {
        f"/{name}": {
            "post": {
                "operationId": name,
                "requestBody": {"content": {"application/json": {"schema": {"type": "object"}}}},
                **OK,
            }
        }
        for name in NAMES
    }
)


@contextlib.asynccontextmanager
async def recording(file: Path) -> AsyncIterator[str]:
    """The API in this loop, on a free port; its URL."""

    async def handle(request: web.Request) -> web.StreamResponse:
        tool = request.path.removeprefix("/")
        data: dict[str, Any] = await request.json() if request.can_read_body else {}
        with file.open("a") as record:
            record.write(json.dumps({"event": "start", "tool": tool, "arguments": data}) + "\n")
        if tool == "hang":
            await asyncio.Event().wait()
        if tool == "work":
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(asyncio.Event().wait(), data.get("ms", 0) / 1000)
        if tool == "fail":
            return web.json_response({"message": data.get("message")}, status=422)
        return web.json_response({"result": data.get("text", "")})

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", handle)
    runner = web.AppRunner(app, handler_cancellation=True, shutdown_timeout=0.1)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()
