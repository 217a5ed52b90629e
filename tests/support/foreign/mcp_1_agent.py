"""The official SDK's client of before 2.0, as an agent. Environment: AGENT_CONFIG, AGENT_MARK."""

from __future__ import annotations

import asyncio
import json
import os
from datetime import timedelta
from importlib import metadata
from typing import Any

from mcp import ClientSession
from mcp.client.streamable_http import streamablehttp_client

CONFIG: dict[str, Any] = json.loads(os.environ["AGENT_CONFIG"])
SERVER = next(iter(CONFIG["mcpServers"].values()))
MARK = int(os.environ["AGENT_MARK"])


def said(result: Any) -> dict[str, Any]:
    return {
        "text": getattr(result.content[0], "text", ""),
        "kinds": [item.type for item in result.content],
        "structured": result.structuredContent,
        "is_error": result.isError,
    }


async def refused(calling: Any) -> str:
    """What the client raises."""
    try:
        return f"no error, but {await calling}"
    except BaseExceptionGroup as group:
        return str(group.exceptions[0])
    except Exception as error:
        return str(error)


async def every_tool(session: ClientSession) -> list[str]:
    found = await session.list_tools()
    names = [tool.name for tool in found.tools]
    while found.nextCursor:
        found = await session.list_tools(cursor=found.nextCursor)
        names += [tool.name for tool in found.tools]
    return names


async def cancelled(session: ClientSession) -> dict[str, Any]:
    """Leave a call that has said how far it is; this client tells the server so only at its end."""
    heard: asyncio.Queue[list[Any]] = asyncio.Queue()

    async def hear(progress: float, total: float | None, message: str | None) -> None:
        heard.put_nowait([progress, total, message])

    endless = {"steps": MARK, "ms": 100}
    calling = asyncio.create_task(
        session.call_tool("one__progress", endless, progress_callback=hear)
    )
    async with asyncio.timeout(60):
        progress = await heard.get()
    calling.cancel()
    (ended,) = await asyncio.gather(calling, return_exceptions=True)
    return {"progress": progress, "ended": type(ended).__name__}


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
        work = {"type": "work", "input": {"ms": 1}, "id": f"own-{MARK}", "wait_s": 30}
        call = session.call_tool
        named = {"io.metamcp/task": f"named-{MARK}"}
        await call("one__echo", {"text": "named"}, meta=named)
        report = {
            "tools": await every_tool(session),
            "echo": said(await call("one__echo", {"text": "hé"})),
            "sum": said(await call("zoo__sum", {"a": 1, "b": 2})),
            "odd": [said(await call(f"zoo__{name}", {})) for name in ("größe", "a.b/c-d")],
            "media": said(await call("one__media", {})),
            "big": said(await call("one__big", {"bytes": 2_000_000})),
            "own": said(await call("submit_task", work)),
            "hosts": said(await call("list_hosts", {})),
            "failed": said(await call("one__fail", {"message": "no"})),
            "unknown": await refused(call("one__nothing", {})),
            "timeout": await refused(call("one__hang", {}, timedelta(seconds=0.5))),
            "cancelled": await cancelled(session),
            "named": said(await call("get_task", {"task": f"named-{MARK}"})),
            "after": said(await call("one__echo", {"text": "after"})),
        }
    return report | {"stranger": await refused(stranger()), "version": metadata.version("mcp")}


print(json.dumps(asyncio.run(main())))
