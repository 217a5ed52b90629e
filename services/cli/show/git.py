"""How the history and the state of a repository look to people. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich.console import Group, RenderableType
from rich.text import Text

from services.cli.show.fitted import Column, FittedTable
from services.cli.show.shape import Detail, cut, has_items, items, more, number, part, place, words

_MARKS = {"conflict": "bold red", "untracked": "red", "ignored": "dim"}


def log(answer: Mapping[str, Any], view: Detail) -> RenderableType | None:
    """Commits, the latest first."""
    if not has_items(answer, "commits", "id", "subject", "author"):
        return None
    commits = items(answer, "commits")
    if not commits:
        return Text("no commits", style="dim")
    table = FittedTable(
        Column("commit"),
        Column("date", drop=2),
        Column("author", least=10, drop=1),
        Column("subject", least=20),
    )
    for one in cut(commits, view):
        id_ = one["id"] if view.full else one.get("short_id") or one["id"]
        subject = Text(words(one["subject"], 300))
        if refs := words(one.get("refs")):
            subject.append(f" ({refs})", style="yellow")
        author = one["author"]
        day = words(part(author, "time"))[:10]
        name = words(part(author, "name") if isinstance(author, Mapping) else author, 60)
        table.add(Text(words(id_), style="yellow"), day, name, subject)
    left = more(commits, view)
    if following := answer.get("next"):
        asked = f"older ones: revision {words(part(following, 'revision'))}"
        left.append(Text(f"{asked}, skip {number(part(following, 'skip'))}", style="dim"))
    return Group(table, *left)


def status(answer: Mapping[str, Any], view: Detail) -> RenderableType | None:
    """The branch, and what has changed."""
    if not has_items(answer, "entries", "path", "state") or "branch" not in answer:
        return None
    head = Text(f"on {words(answer['branch'])}" if answer["branch"] else "on no branch")
    if upstream := words(answer.get("upstream")):
        ahead, behind = number(answer.get("ahead")), number(answer.get("behind"))
        head.append(f", {ahead} ahead of {upstream} and {behind} behind", style="dim")
    if under_way := words(answer.get("under_way")):
        head.append(f"; under way: {under_way}", style="yellow")
    entries = items(answer, "entries")
    if not entries:
        return Group(head, Text("nothing has changed", style="green"))
    table = FittedTable(Column("staged"), Column("not staged"), Column("file"))
    for one in cut(entries, view):
        path = place(one["path"], None)
        if old := one.get("old_path"):
            path = f"{place(old, None)} → {path}"
        state = words(one["state"])
        staged, unstaged = _word(one.get("index")), _word(one.get("worktree"))
        if state != "changed":
            unstaged = words(one.get("conflict") or state)
        table.add(Text(staged, style="green"), Text(unstaged, style=_MARKS.get(state, "red")), path)
    left = number(answer.get("left_out"))
    end = [Text(f"{left:,} more are not listed", style="yellow")] if left else []
    return Group(head, table, *more(entries, view), *end)


def _word(value: Any) -> str:
    return "" if value == "unmodified" else words(value)
