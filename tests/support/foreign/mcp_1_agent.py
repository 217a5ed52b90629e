"""The official SDK's client of before 2.0, as an agent. Environment: AGENT_CONFIG, AGENT_MARK."""

from __future__ import annotations

from datetime import timedelta
from importlib import metadata
from typing import Any

import common
from common import AT_ONCE, MARK, NAMED, SERVER, refused
from mcp import ClientSession
from mcp.client.streamable_http import streamablehttp_client


def said(result: Any) -> dict[str, Any]:
    return common.said(result, result.structuredContent, result.isError)


async def every_tool(session: ClientSession) -> list[str]:
    found = await session.list_tools()
    names = [tool.name for tool in found.tools]
    while found.nextCursor:
        found = await session.list_tools(cursor=found.nextCursor)
        names += [tool.name for tool in found.tools]
    return names


async def stranger() -> Any:
    wrong = {"Authorization": "Bearer wrong"}
    async with (
        streamablehttp_client(SERVER["url"], headers=wrong) as (reading, writing, _),
        ClientSession(reading, writing) as session,
    ):
        return await session.initialize()


async def main() -> dict[str, Any]:
    async with (
        streamablehttp_client(SERVER["url"], headers=SERVER["headers"]) as (reading, writing, _),
        ClientSession(reading, writing) as session,
    ):
        await session.initialize()
        call = session.call_tool

        async def answered(tool: str, given: dict[str, Any]) -> dict[str, Any]:
            return said(await call(tool, given))

        await call("one__echo", {"text": "named"}, meta=NAMED)
        report = await common.calls(answered)
        report |= {
            "tools": await every_tool(session),
            "unknown": await refused(call("one__nothing", {})),
            "early": said(await call("one__hang", {}, meta=AT_ONCE)),
            "timeout": await refused(call("one__hang", {}, timedelta(seconds=0.5))),
            # This client tells the server of what it has left only at the session's end.
            "cancelled": await common.cancelled(
                lambda given, hear: call("one__progress", given, progress_callback=hear)
            ),
            "named": await answered("get_task", {"task": f"named-{MARK}"}),
            "after": await answered("one__echo", {"text": "after"}),
        }
    return report | {"stranger": await refused(stranger()), "version": metadata.version("mcp")}


common.tell(main())
