"""The official SDK's client of before 2.0 goes over a limit, waits as told, and goes on.

Arguments: URL and token. Prints what it was told and what it got then.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
import sys

from mcp import ClientSession
from mcp.client.streamable_http import streamablehttp_client


async def main() -> None:
    url, token = sys.argv[1:]
    async with (
        streamablehttp_client(url, headers={"Authorization": f"Bearer {token}"}) as (r, w, _),
        ClientSession(r, w) as session,
    ):
        await session.initialize()
        told = None
        while told is None:
            answer = await session.call_tool("list_hosts", {})
            told = answer.content[0].text if answer.isError else None
        refused = "nothing"
        try:
            await session.list_tools()
        except Exception as error:
            refused = str(error)
        with contextlib.suppress(TimeoutError):
            seconds = int(re.findall(r"wait (\d+) s", told)[0])
            await asyncio.wait_for(asyncio.Event().wait(), seconds)
        again = await session.call_tool("list_hosts", {})
    print(json.dumps({"told": told, "refused": refused, "again": again.structuredContent}))


asyncio.run(main())
