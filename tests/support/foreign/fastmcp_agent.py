"""FastMCP's client, of 2, 3 or 4, as an agent. Environment: AGENT_CONFIG (JSON), AGENT_MARK."""

from __future__ import annotations

import asyncio
import json
import os
from typing import Any

import fastmcp
from fastmcp import Client

CONFIG: dict[str, Any] = json.loads(os.environ["AGENT_CONFIG"])
SERVER = next(iter(CONFIG["mcpServers"].values()))
MARK = int(os.environ["AGENT_MARK"])


def said(result: Any) -> dict[str, Any]:
    first = result.content[0]
    return {
        "text": getattr(first, "text", ""),
        "kinds": [item.type for item in result.content],
        "structured": result.structured_content,
        "is_error": result.is_error,
    }


async def refused(calling: Any) -> str:
    """What the client raises."""
    try:
        return f"no error, but {await calling}"
    except Exception as error:
        return str(error)


async def cancelled(client: Client) -> dict[str, Any]:
    """Cancel a call that has said how far it is."""
    heard: asyncio.Queue[list[Any]] = asyncio.Queue()

    async def hear(progress: float, total: float | None, message: str | None) -> None:
        heard.put_nowait([progress, total, message])

    endless = {"steps": MARK, "ms": 100}
    calling = asyncio.create_task(client.call_tool("one__progress", endless, progress_handler=hear))
    async with asyncio.timeout(60):
        progress = await heard.get()
    calling.cancel()
    (ended,) = await asyncio.gather(calling, return_exceptions=True)
    return {"progress": progress, "ended": type(ended).__name__}


async def stranger() -> Any:
    async with Client(SERVER["url"], auth="wrong") as client:
        return await client.list_tools()


async def main() -> dict[str, Any]:
    async with Client(CONFIG) as client:
        tools = await client.list_tools()
        work = {"type": "work", "input": {"ms": 1}, "id": f"own-{MARK}", "wait_s": 30}
        call = client.call_tool
        report = {
            "tools": [tool.name for tool in tools],
            "echo": said(await call("one__echo", {"text": "hé"})),
            "sum": said(await call("zoo__sum", {"a": 1, "b": 2})),
            "odd": [said(await call(f"zoo__{name}", {})) for name in ("größe", "a.b/c-d")],
            "media": said(await call("one__media", {})),
            "big": said(await call("one__big", {"bytes": 2_000_000})),
            "own": said(await call("submit_task", work)),
            "hosts": said(await call("list_hosts", {})),
            "failed": said(await call("one__fail", {"message": "no"}, raise_on_error=False)),
            "raised": await refused(call("one__fail", {"message": "no"})),
            "unknown": await refused(call("one__nothing", {})),
            "timeout": await refused(call("one__hang", {}, timeout=0.5)),
            "cancelled": await cancelled(client),
            "after": said(await call("one__echo", {"text": "after"})),
        }
    async with Client(SERVER["url"], auth=SERVER["headers"]["Authorization"][7:]) as client:
        named = {"io.metamcp/task": f"named-{MARK}"}
        await client.call_tool("one__echo", {"text": "named"}, meta=named)
        report["named"] = said(await client.call_tool("get_task", {"task": f"named-{MARK}"}))
    return report | {"stranger": await refused(stranger()), "version": fastmcp.__version__}


print(json.dumps(asyncio.run(main())))
