"""The command `queue`: who waits for what, in which order, and who works."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from rich.console import Group, RenderableType
from rich.text import Text

from services.cli.client import Api, find_target
from services.cli.common import NO_OPTIONS, CliError, Exit, Options, run
from services.cli.input import check_ids
from services.cli.show.fitted import Column, FittedTable
from services.cli.show.tasks import plain

PATH = "/api/queue"
WORKERS = "/api/workers"
MOST_SHOWN = 2000
"""Tasks of the queue that have a position."""
PAGE = 500
REASONS = {
    "turn": "its turn, or a slot of an executor",
    "host_busy": "a slot of {hosts}",
    "host_down": "a host that works again",
    "share": "attempts of the same user to end",
    "no_host": "a host that can serve it",
    "later": "its time: a later start, or the pause after a failure",
    "answer": "a person's answer",
}
"""What a task waits for, by the word of the API."""


def queue(
    *,
    limit: int = 50,
    user: str | None = None,
    options: Options = NO_OPTIONS,
) -> int:
    """Show who waits for a host and for what, first what is served next, and who works.

    Parameters
    ----------
    limit
        So many tasks at most.
    user
        Only tasks of this user; for the roles auditor and admin, who see everybody's otherwise.
    """
    check_ids(user=user)
    if not 1 <= limit <= MOST_SHOWN:
        raise CliError(Exit.USAGE, f"--limit is from 1 to {MOST_SHOWN:,}, not {limit:,}.")
    return run(_queue(options, limit, user))


async def _queue(options: Options, limit: int, user: str | None) -> int:
    async with Api(find_target(options)) as api:
        found = await api.get(PATH, limit=min(limit, PAGE), user=user)
        cursor = found.pop("next_cursor")
        while cursor is not None and len(found["tasks"]) < limit:
            left = min(limit - len(found["tasks"]), PAGE)
            more = await api.get(PATH, limit=left, user=user, cursor=cursor)
            found["tasks"] += more["tasks"]
            cursor = more["next_cursor"]
        workers = await api.get(WORKERS)
    options.out.show(found | workers, told(found, workers, time.time()))
    return Exit.OK


def waits_for(one: Mapping[str, Any]) -> str:
    """What a task, or many, wait for, in words."""
    hosts = " or ".join(plain(host) for host in one.get("hosts", ()))
    return REASONS.get(one["reason"], plain(one["reason"])).format(hosts=hosts or "its host")


def told(found: Mapping[str, Any], workers: Mapping[str, Any], now: float) -> RenderableType:
    """All of it for people."""
    parts: list[RenderableType] = []
    if found["tasks"]:
        parts += [_tasks(found["tasks"], now), Text("")]
    every = found["every"]
    of = "" if found["waiting"] == every else f" of {every:,} in all"
    slots = "" if found["slots"] is None else f" at {found['slots']:,} slots"
    parts.append(
        Text(f"{found['waiting']:,} in the queue{of}; {found['in_flight']:,} in flight{slots}")
    )
    parts += [Text(f"{one['count']:>7,} wait for {waits_for(one)}") for one in found["waits"]]
    parts += [Text(""), _workers(workers)]
    return Group(*parts)


def _tasks(tasks: list[Mapping[str, Any]], now: float) -> FittedTable:
    table = FittedTable(
        Column("place", right=True),
        Column("task"),
        Column("user", least=8, drop=2),
        Column("type", least=8, drop=1),
        Column("priority", drop=3),
        Column("since", right=True, drop=4),
        Column("waits for", least=12),
    )
    for one in tasks:
        table.add(
            *(str(one["position"]), plain(one["task"]), plain(one["user"]), plain(one["type"])),
            *(plain(one["priority"]), f"{max(0.0, now - one['since']):,.0f} s", waits_for(one)),
        )
    return table


def _workers(workers: Mapping[str, Any]) -> FittedTable:
    table = FittedTable(Column("who"), Column("state", least=8), Column("work", least=8))
    for one in workers["executors"]:
        state = "beats" if one["alive"] else f"silent for {one['silent_s']:,.0f} s"
        work = f"{one['busy']} of {one['slots'] or '?'} slots"
        table.add(plain(one["instance"]), state, work, style="" if one["alive"] else "red")
    for one in workers["routers"]:
        state = "active" if one["active"] else "stands by"
        table.add(plain(one["instance"]), state, f"term {one['term']}, at {one['position']}")
    return table
