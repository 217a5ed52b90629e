"""What agents with different clients do alike. They are programs: this lies beside them."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Awaitable, Callable
from typing import Any

CONFIG: dict[str, Any] = json.loads(os.environ["AGENT_CONFIG"])
"""What docs/mcp.md shows."""
SERVER = next(iter(CONFIG["mcpServers"].values()))
MARK = int(os.environ["AGENT_MARK"])
NAMED = {"io.metamcp/task": f"named-{MARK}"}
AT_ONCE = {"io.metamcp/patience_s": 0}
"""A call of something that lasts longer than one waits."""

Call = Callable[[str, dict[str, Any]], Awaitable[dict[str, Any]]]


def said(result: Any, structured: Any, is_error: bool) -> dict[str, Any]:
    """What a tool answered; clients name two of the fields in their own ways."""
    return {
        "text": getattr(result.content[0], "text", ""),
        "kinds": [item.type for item in result.content],
        "structured": structured,
        "is_error": is_error,
    }


async def refused(calling: Awaitable[Any]) -> str:
    """What the client raises."""
    try:
        return f"no error, but {await calling}"
    except BaseExceptionGroup as group:
        return str(group.exceptions[0])
    except Exception as error:
        return str(error)


async def calls(call: Call) -> dict[str, Any]:
    """Call tools of all kinds."""
    work = {"type": "work", "input": {"ms": 1}, "id": f"own-{MARK}", "wait_s": 30}
    return {
        "echo": await call("one__echo", {"text": "hé"}),
        "sum": await call("zoo__sum", {"a": 1, "b": 2}),
        "odd": [await call(f"zoo__{name}", {}) for name in ("größe", "a.b/c-d")],
        "media": await call("one__media", {}),
        "big": await call("one__big", {"bytes": 2_000_000}),
        "own": await call("submit_task", work),
        "hosts": await call("list_hosts", {}),
        "failed": await call("one__fail", {"message": "no"}),
    }


async def cancelled(begin: Callable[[dict[str, Any], Any], Awaitable[Any]]) -> dict[str, Any]:
    """Leave a call, which `begin` makes with arguments and a hearer, once it says how far it is."""
    heard: asyncio.Queue[list[Any]] = asyncio.Queue()

    async def hear(progress: float, total: float | None, message: str | None) -> None:
        heard.put_nowait([progress, total, message])

    calling = asyncio.ensure_future(begin({"steps": MARK, "ms": 100}, hear))
    async with asyncio.timeout(60):
        progress = await heard.get()
    calling.cancel()
    (ended,) = await asyncio.gather(calling, return_exceptions=True)
    return {"progress": progress, "ended": type(ended).__name__}


def tell(report: Awaitable[dict[str, Any]]) -> None:
    """Run the agent and print what it has seen."""

    async def whole() -> dict[str, Any]:
        return await report

    print(json.dumps(asyncio.run(whole())))
