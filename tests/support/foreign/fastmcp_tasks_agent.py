"""FastMCP's client of the tasks extension. Environment: AGENT_CONFIG (JSON), AGENT_MARK."""

from __future__ import annotations

from typing import Any

from common import MARK, SERVER, tell
from fastmcp import Client
from fastmcp_tasks import ToolTask, call_tool_task


def agent() -> Client:
    return Client(SERVER["url"], auth=SERVER["headers"]["Authorization"][7:])


def named(name: str) -> dict[str, Any]:
    return {"io.metamcp/task": f"{name}-{MARK}"}


async def refused(calling: Any) -> str:
    """What the client raises."""
    try:
        return f"no error, but {await calling}"
    except Exception as error:
        return f"{type(error).__name__}: {error}"


def shown(status: Any) -> dict[str, Any]:
    fields: dict[str, Any] = status.model_dump(mode="json", include={"task_id", "status", "result"})
    return fields


async def ended(task: ToolTask) -> dict[str, Any]:
    return shown(await task.wait(timeout=60))


async def main() -> dict[str, Any]:
    work = {"task": "t", "attempt": 1, "ms": 1500}
    async with agent() as client:
        task = await call_tool_task(client, "one__work", work)
        hanging = await call_tool_task(client, "one__hang", {})
        await hanging.cancel()
        report = {
            "handle": task.create_result.model_dump(mode="json"),
            "status": shown(await task.status()),
            "ended": await ended(task),
            "result": (await task.result()).structured_content,
            "cancelled": await ended(hanging),
            "cancelled_result": await refused(hanging.result()),
            "polled": (await client.call_tool("one__echo", {"text": "hi"})).structured_content,
            "failed": await refused(client.call_tool("one__fail", {"message": "no"})),
            "own": await refused(call_tool_task(client, "list_hosts", {})),
            "left": await refused(
                client.call_tool("one__work", work, timeout=0.8, meta=named("left"))
            ),
        }
        kept = await call_tool_task(client, "one__work", work, meta=named("kept"))
        report["kept"] = kept.task_id
    async with agent() as client:
        again = await call_tool_task(client, "one__work", work, meta=named("kept"))
        return report | {"again": again.task_id, "again_ended": await ended(again)}


tell(main())
