"""Makes a client a program that does as it is told: a line of JSON for each order, one for its end.

Environment: DRIVEN (JSON): `url` and `token`, or `command`; `era`. It lies beside those programs.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import Awaitable, Callable
from typing import Any

GIVEN: dict[str, Any] = json.loads(os.environ["DRIVEN"])
LOGS: list[Any] = []
"""What log messages have said."""
SAID = {"name": "Ada"}
"""What a person answers who is asked something."""


def wire(model: Any) -> Any:
    """A message as it is written, whatever the client calls its fields."""
    return model.model_dump(by_alias=True, mode="json", exclude_none=True)


async def every(kind: str, ask: Callable[..., Awaitable[Any]]) -> list[Any]:
    """All pages of a list."""
    page = wire(await ask())
    found = page[kind]
    while cursor := page.get("nextCursor"):
        page = wire(await ask(cursor=cursor))
        found += page[kind]
    return found


class Steps(list[float]):
    """What progress there was."""

    async def hear(self, progress: float, total: float | None, message: str | None) -> None:
        self.append(progress)


def say(**fields: Any) -> None:
    print(json.dumps(fields), flush=True)


async def _obey(one: Any, order: dict[str, Any]) -> None:
    number, done = order.pop("number"), order.pop("do")
    try:
        if done == "heard":
            say(number=number, answer=LOGS)
        else:
            say(number=number, answer=await getattr(one, done)(**order))
    except BaseExceptionGroup as group:
        say(number=number, error=f"{type(group.exceptions[0]).__name__}: {group.exceptions[0]}")
    except Exception as error:
        say(number=number, error=f"{type(error).__name__}: {error}")


async def serve(one: Any, era: str) -> None:
    """Say which protocol was agreed on, then do as told until there are no more orders."""
    say(number=0, answer=era)
    async with asyncio.TaskGroup() as doing:
        while line := await asyncio.to_thread(sys.stdin.readline):
            doing.create_task(_obey(one, json.loads(line)))
