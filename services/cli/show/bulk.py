"""How batches and operations look to people. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from rich.console import Group, RenderableType
from rich.text import Text

from services.cli.show.fitted import Column, FittedTable
from services.cli.show.tasks import plain, status


def accepted(answer: Mapping[str, Any]) -> RenderableType:
    """What has become of a batch's lines."""
    text = f"{answer['accepted']} accepted, {answer['duplicates']} were there before"
    line = Text(f"{text}, {answer['refused_count']} refused")
    table = FittedTable(Column("line", right=True), Column("why", least=20), header=False)
    for one in answer["refused"]:
        table.add(str(one["line"]), plain(f"{one['reason']}: {one['message']}", 1000))
    more = int(answer["refused_count"]) - len(answer["refused"])
    rest = [Text(f"and {more} more", style="dim")] if more > 0 else []
    return Group(line, *([table] if answer["refused"] else []), *rest)


def batch(view: Mapping[str, Any]) -> RenderableType:
    """One batch: how many tasks there are of each status."""
    head = Text(plain(view["id"]), style="bold").append(f"  {view['total']} tasks", "default")
    table = FittedTable(Column("status"), Column("tasks", right=True), header=False)
    for name, count in view["by_status"].items():
        table.add(status(str(name)), str(count))
    times = f"created {_time(view['created_at'])}"
    times += f", ended {_time(view['ended_at'])}" if view.get("ended_at") else ""
    return Group(head, table, Text(times, style="dim"))


def batches(found: Sequence[Mapping[str, Any]]) -> RenderableType:
    """A list of them."""
    table = FittedTable(
        Column("batch"),
        Column("tasks", right=True),
        Column("status", least=12),
        Column("created", drop=1),
    )
    for view in found:
        counts = ", ".join(f"{count} {name}" for name, count in view["by_status"].items())
        row = (plain(view["id"]), str(view["total"]), plain(counts, 200))
        table.add(*row, _time(view["created_at"]))
    return table


def operation(view: Mapping[str, Any]) -> RenderableType:
    """One operation, with the first of what failed."""
    head = Text(plain(view["id"]), style="bold")
    head.append(f"  {plain(view['action'])} {view['total']} tasks: ", "default")
    head.append(f"{plain(view['state'])}, {view['done']} done, {view['failed']} failed", "default")
    table = FittedTable(Column("task"), Column("why", least=20), header=False)
    for one in view["failures"]:
        table.add(plain(one["task"]), plain(f"{one['reason']}: {one['message']}", 300))
    more = int(view["failed"]) - len(view["failures"])
    rest = [Text(f"and {more} more", style="dim")] if more > 0 else []
    return Group(head, *([table] if view["failures"] else []), *rest)


def operations(found: Sequence[Mapping[str, Any]]) -> RenderableType:
    """A list of them."""
    table = FittedTable(
        Column("operation"),
        Column("action"),
        Column("state"),
        Column("tasks", right=True),
        Column("done", right=True, drop=2),
        Column("failed", right=True),
        Column("created", drop=1),
    )
    for view in found:
        words = (plain(view["id"]), plain(view["action"]), plain(view["state"]))
        counts = (str(view[name]) for name in ("total", "done", "failed"))
        table.add(*words, *counts, _time(view["created_at"]))
    return table


def _time(at: Any) -> str:
    return datetime.fromtimestamp(float(at), UTC).astimezone().strftime("%Y-%m-%d %H:%M:%S")
