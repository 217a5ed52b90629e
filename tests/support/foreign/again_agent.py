"""A client in Python calls, and calls again when it is told to, up to twice.

Arguments: `mcp-1`, `fastmcp`, or an era for today's SDK (`legacy`, `auto`); URL and token. Prints a
line after the first call, and then what each of the others came to.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import sys
from typing import Any

TOOL, GIVEN = "one__echo", {"text": "hi"}
kind, url, token = sys.argv[1:]
headers = {"Authorization": f"Bearer {token}"}


@contextlib.asynccontextmanager
async def connected() -> Any:
    if kind == "mcp-1":
        from mcp import ClientSession
        from mcp.client.streamable_http import streamablehttp_client

        async with (
            streamablehttp_client(url, headers=headers) as (reading, writing, _),
            ClientSession(reading, writing) as session,
        ):
            await session.initialize()
            yield session.call_tool
    elif kind == "fastmcp":
        from fastmcp import Client

        async with Client(url, auth=token) as client:
            yield client.call_tool
    else:
        import httpx2
        from mcp import Client
        from mcp.client.streamable_http import streamable_http_client

        async with (
            httpx2.AsyncClient(headers=headers, timeout=30) as http,
            Client(streamable_http_client(url, http_client=http), mode=kind) as client,
        ):
            yield client.call_tool


async def main() -> None:
    async with connected() as call:
        await call(TOOL, GIVEN)
        print("called", flush=True)
        await asyncio.to_thread(sys.stdin.readline)
        tries = []
        while len(tries) < 2 and "hi" not in tries:
            try:
                tries.append((await asyncio.wait_for(call(TOOL, GIVEN), 30)).content[0].text)
            except Exception as error:
                tries.append(repr(error))
        print(json.dumps(tries), flush=True)


asyncio.run(main())
