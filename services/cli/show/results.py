"""How linked accounts, Spaces and results look to people. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from rich.console import Group, RenderableType
from rich.filesize import decimal
from rich.table import Table
from rich.text import Text

from services.cli.show.fitted import Column, FittedTable
from services.cli.show.tasks import plain, status

_STAGES = {"RUNNING": "green", "SLEEPING": "cyan", "PAUSED": "yellow", "STOPPED": "yellow"}


def moment(at: float) -> str:
    """Local time, to the minute."""
    return datetime.fromtimestamp(at, UTC).astimezone().strftime("%Y-%m-%d %H:%M")


def accounts(found: Sequence[Mapping[str, Any]], *, checked: bool) -> RenderableType:
    """Linked accounts; `checked`: with what the provider says now."""
    if not found:
        text = "no linked accounts: metamcp link huggingface, or metamcp link github"
        return Text(text, style="dim")
    table = FittedTable(
        Column("provider"),
        Column("account"),
        Column("linked since", drop=2),
        Column("scopes", least=12, drop=1),
        *[Column("check", least=12)] * checked,
    )
    for account in found:
        check = str(account.get("check", ""))
        shown = Text(plain(check, 300), style="green" if check == "ok" else "red")
        table.add(
            plain(account["provider"] if "provider" in account else account["host"]),
            plain(account["name"] if "name" in account else _at_host(account)),
            moment(account["linked_at"]),
            plain(", ".join(account.get("scopes", ()))),
            *[shown] * checked,
        )
    return table


def _at_host(link: Mapping[str, Any]) -> str:
    """What stands in the place of an account for a sign-in at a host."""
    return f"link again: {link['broken']}" if link["broken"] else f"by {link['issuer']}"


def spaces(found: Sequence[Mapping[str, Any]]) -> RenderableType:
    """Spaces, each with the host it is."""
    if not found:
        return Text("no Spaces: metamcp spaces deploy OWNER/NAME --create", style="dim")
    table = FittedTable(
        Column("space"),
        Column("stage"),
        Column("hardware", drop=2),
        Column("host"),
        Column("url", least=20, drop=1),
    )
    for one in found:
        table.add(
            plain(one["repo"]),
            _stage(one),
            plain(one.get("hardware", "")),
            plain(one.get("host", "")),
            plain(one.get("page", ""), 300),
        )
    old = [deploy_again(one) for one in found if one.get("outdated")]
    return Group(table, *old) if old else table


def deploy_again(view: Mapping[str, Any]) -> Text:
    """What is to be done about a Space whose kit is too old."""
    repo = plain(view["repo"])
    return Text(f"{repo}: its kit takes no permits of this release: metamcp spaces deploy {repo}")


def space(view: Mapping[str, Any]) -> RenderableType:
    """One Space."""
    head = Text(plain(view["repo"]), style="bold").append("  ").append_text(_stage(view))
    modified = view.get("modified", 0.0)
    facts = (
        ("url", view.get("page")),
        ("host", view.get("host") or "none: see `metamcp hosts discover`"),
        ("sdk", view.get("sdk")),
        ("hardware", view.get("hardware")),
        ("tags", ", ".join(view.get("tags", ()))),
        ("seen by", "you only" if view.get("private") else "everybody"),
        ("revision", view.get("sha")),
        ("changed", moment(modified) if modified else ""),
        ("error", view.get("error")),
    )
    old = [deploy_again(view)] if view.get("outdated") else []
    return Group(head, _facts(facts), *old)


def _stage(view: Mapping[str, Any]) -> Text:
    stage = str(view.get("stage", ""))
    style = "red" if stage.endswith("_ERROR") else _STAGES.get(stage, "")
    return Text(plain(stage), style=style)


def where(kept: Mapping[str, Any]) -> str:
    """Where a result's bytes are, in the words of `--kind`."""
    if kept.get("kind") == "inline":
        return "inline"
    return "dataset" if str(kept.get("uri", "")).startswith("hf://") else "object_store"


def results(found: Sequence[Mapping[str, Any]], total: int, size: int) -> RenderableType:
    """Results, and how many there are on all pages."""
    if not found:
        return Text("no results", style="dim")
    table = FittedTable(
        Column("task"),
        Column("where", drop=4),
        Column("size", right=True),
        Column("type", least=16, drop=3),
        Column("created", drop=1),
        Column("host", drop=2),
        Column("expires or why deleted", least=12, drop=1),
    )
    for kept in found:
        deleted = plain(kept.get("deleted", ""), 60)
        expires = kept.get("expires", 0.0)
        table.add(
            plain(kept["task"]),
            where(kept),
            decimal(int(kept["size"])),
            plain(kept["media_type"], 40),
            moment(kept["created"]),
            plain(kept.get("host", "")),
            Text(deleted, style="red") if deleted else moment(expires) if expires else "never",
        )
    count = f"{total} result{'s' * (total != 1)}, {decimal(size)}"
    return Group(table, Text(f"{len(found)} of {count}" if len(found) < total else count, "dim"))


def of_users(found: Sequence[Mapping[str, Any]]) -> FittedTable:
    """Results of several users."""
    table = FittedTable(
        Column("task"),
        Column("user"),
        Column("size", right=True),
        Column("where", drop=1),
        Column("created", drop=2),
    )
    for kept in found:
        row = (plain(kept["task"]), plain(kept["user"]), decimal(kept["size"]))
        table.add(*row, where(kept), moment(kept["created"]))
    return table


def result(kept: Mapping[str, Any]) -> RenderableType:
    """One result's description."""
    head = Text(plain(kept["task"]), style="bold")
    if deleted := kept.get("deleted"):
        head.append(f"  deleted: {plain(deleted, 300)}", style="red")
    expires = kept.get("expires", 0.0)
    facts = (
        ("where", where(kept)),
        ("uri", kept.get("uri")),
        ("size", f"{kept['size']} bytes ({decimal(int(kept['size']))})"),
        ("type", kept["media_type"]),
        ("sha256", kept["sha256"]),
        ("created", moment(kept["created"])),
        ("host", f"{kept.get('host', '')}, attempt {kept.get('attempt', '')}"),
        ("expires", "" if deleted else moment(expires) if expires else "never"),
    )
    return Group(head, _facts(facts))


def dataset_tasks(found: Mapping[str, Any]) -> RenderableType:
    """Tasks as a Dataset has them."""
    head = Text(f"in the Dataset {plain(found['dataset'])}:", style="dim")
    if not found["tasks"]:
        return Text(f"no tasks in the Dataset {plain(found['dataset'])}", style="dim")
    table = FittedTable(
        Column("task"),
        Column("type"),
        Column("status"),
        Column("created", least=10, drop=3),
        Column("completed", least=10, drop=2),
        Column("size", right=True, drop=4),
        Column("host", drop=1),
    )
    for task in found["tasks"]:
        table.add(
            plain(task["task_id"]),
            plain(task["type"], 60),
            status(str(task["status"])),
            plain(task["created_at"], 19),
            plain(task["completed_at"], 19),
            decimal(int(task["size"])),
            plain(task["host"]),
        )
    return Group(head, table)


def _facts(facts: Iterable[tuple[str, object]]) -> Table:
    """Names and values; what is empty is left out."""
    table = Table(box=None, pad_edge=False, show_header=False)
    table.add_column(style="dim")
    table.add_column(overflow="fold")
    for name, value in facts:
        if value:
            table.add_row(name, plain(value, 600))
    return table
