"""FastMCP's client, of 2, 3 or 4, as an agent. Environment: AGENT_CONFIG (JSON), AGENT_MARK."""

from __future__ import annotations

from typing import Any

import common
import fastmcp
from common import AT_ONCE, CONFIG, MARK, NAMED, SERVER, refused
from fastmcp import Client


def said(result: Any) -> dict[str, Any]:
    return common.said(result, result.structured_content, result.is_error)


async def stranger() -> Any:
    async with Client(SERVER["url"], auth="wrong") as client:
        return await client.list_tools()


async def main() -> dict[str, Any]:
    async with Client(CONFIG) as client:
        call = client.call_tool

        async def answered(tool: str, given: dict[str, Any]) -> dict[str, Any]:
            return said(await call(tool, given, raise_on_error=False))

        tools = await client.list_tools()
        report = await common.calls(answered)
        report |= {
            "tools": [tool.name for tool in tools],
            "raised": await refused(call("one__fail", {"message": "no"})),
            "unknown": await refused(call("one__nothing", {})),
            "early": said(await call("one__hang", {}, meta=AT_ONCE, raise_on_error=False)),
            "timeout": await refused(call("one__hang", {}, timeout=0.5)),
            "cancelled": await common.cancelled(
                lambda given, hear: call("one__progress", given, progress_handler=hear)
            ),
            "after": await answered("one__echo", {"text": "after"}),
        }
    async with Client(SERVER["url"], auth=SERVER["headers"]["Authorization"][7:]) as client:
        await client.call_tool("one__echo", {"text": "named"}, meta=NAMED)
        report["named"] = said(await client.call_tool("get_task", {"task": f"named-{MARK}"}))
    return report | {"stranger": await refused(stranger()), "version": fastmcp.__version__}


common.tell(main())
