"""How repositories at GitHub look to people. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import RenderableType
from rich.filesize import decimal
from rich.text import Text

from services.cli.show.fitted import Column, FittedTable
from services.cli.show.tasks import plain


def person(found: Mapping[str, Any]) -> Text:
    """Whose the linked account is."""
    name = f" ({found['name']})" if found.get("name") else ""
    scopes = f", may: {', '.join(found['scopes'])}" if found.get("scopes") else ""
    return Text(plain(f"{found['login']}{name}{scopes}", 300))


def repositories(found: Sequence[Mapping[str, Any]]) -> RenderableType:
    """A list of them."""
    if not found:
        return Text("no repositories: metamcp github create NAME", style="dim")
    table = FittedTable(
        Column("repository"),
        Column("seen by"),
        Column("branch", drop=3),
        Column("updated", least=10, drop=2),
        Column("size", right=True, drop=4),
        Column("description", least=12, drop=1),
    )
    for one in found:
        words = [word for word in ("fork", "archived") if one.get(word)]
        table.add(
            plain(one["full_name"]),
            ", ".join(["you" if one["private"] else "everybody", *words]),
            plain(one["default_branch"]),
            plain(one.get("updated_at", ""), 10),
            decimal(int(one.get("size_kib", 0)) * 1024),
            plain(one.get("description", ""), 200),
        )
    return table


def entries(found: Sequence[Mapping[str, Any]]) -> RenderableType:
    """What lies in a folder."""
    if not found:
        return Text("nothing there", style="dim")
    table = FittedTable(
        Column("type", drop=2), Column("size", right=True), Column("path"), Column("sha", drop=1)
    )
    for one in found:
        is_file = one["type"] == "file"
        end = "/" if one["type"] == "dir" else ""
        size = decimal(int(one["size"])) if is_file else ""
        table.add(plain(one["type"]), size, plain(one["path"], 400) + end, plain(one["sha"], 10))
    return table


def branches(found: Sequence[Mapping[str, Any]]) -> RenderableType:
    """Branches with their newest commits."""
    if not found:
        return Text("no branches: the repository is empty", style="dim")
    table = FittedTable(Column("branch"), Column("commit"), Column("protected", drop=1))
    for one in found:
        word = "protected" if one.get("protected") else ""
        table.add(plain(one["name"], 250), plain(one["commit"]), word)
    return table


def written(found: Mapping[str, Any]) -> Text:
    """What became of a file."""
    path = plain(found["path"], 400)
    if not found["changed"]:
        return Text(f"{path} has this content already: nothing is written")
    word = "made" if found["created"] else "replaced"
    commit = f" by commit {plain(found['commit'])}" if found.get("commit") else ""
    return Text(f"{path} is {word}{commit}")
