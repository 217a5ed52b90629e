"""Commands about a log that was put back from a backup: restored (a list), restored go-on, end."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from rich.console import RenderableType
from rich.text import Text

from services.cli.client import Api, find_target
from services.cli.common import NO_OPTIONS, Exit, Options, run
from services.cli.show.fitted import Column, FittedTable
from services.cli.show.tasks import plain

PATH = "/api/restored"
KIND = "restored"
"""Of a router's trouble that waits for the decision."""
SHOWN = 20
"""Tasks that are named in one line."""
HINT = "`metamcp restored` lists all; `metamcp restored go-on` or `metamcp restored end` decides."
KNOWN = {"ended": "had ended", "begun": "had got further"}


def restored(*, options: Options = NO_OPTIONS) -> int:
    """List tasks that had ended, or got further, and that a log put back has open again.

    Routers stand by until you have decided: go-on, or end.
    """
    return run(_show(options))


def go_on(*, options: Options = NO_OPTIONS) -> int:
    """Have these tasks run again, from where the log put back has them."""
    return run(_decide(options, "go_on"))


def end(*, options: Options = NO_OPTIONS) -> int:
    """End these tasks as failed, `outcome_unknown`; all others go on."""
    return run(_decide(options, "end"))


async def _show(options: Options) -> int:
    async with Api(find_target(options)) as api:
        found = await api.get(PATH)
    options.out.show(found, table(found))
    if found["waits"]:
        options.out.note(told(found))
    return Exit.OK


async def _decide(options: Options, decision: str) -> int:
    async with Api(find_target(options)) as api:
        found = await api.post(PATH, {"decision": decision})
    if not found["waits"]:
        text = "there is nothing to decide"
    else:
        how = "run again" if decision == "go_on" else "end as failed, outcome_unknown"
        text = f"{found['ended'] + found['begun']:,} tasks {how}"
    options.out.show(found, Text(text))
    return Exit.OK


def told(found: Mapping[str, Any]) -> str:
    """Say what stands to be decided."""
    return (
        f"The log is older than what was known: {found['ended']:,} tasks that had ended are open"
        f" again, {found['begun']:,} others had got further. Nothing is routed until you decide:"
        " `metamcp restored go-on` runs them again, `metamcp restored end` ends them as failed."
    )


def names(found: Mapping[str, Any]) -> str:
    """The first of the tasks, in one line."""
    every = [f"{plain(one['user'])}/{plain(one['task'])}" for one in found["tasks"]]
    more = found["ended"] + found["begun"] - SHOWN
    return ", ".join(every[:SHOWN]) + (f" and {more:,} more" if more > 0 else "")


def table(found: Mapping[str, Any]) -> RenderableType:
    """The tasks, the oldest first."""
    tasks = found["tasks"]
    if not tasks:
        return Text("no log was put back that has anything open again", style="dim")
    shown = FittedTable(
        Column("task"),
        Column("user", least=8),
        Column("type", least=8, drop=1),
        Column("known", least=8),
        Column("created", least=10, drop=2),
    )
    for one in tasks:
        at = datetime.fromtimestamp(one["created_at"], UTC).astimezone()
        known = KNOWN.get(one["known"], one["known"])
        when = at.isoformat(" ", "minutes")
        shown.add(plain(one["task"]), plain(one["user"]), plain(one["type"]), known, when)
    return shown
