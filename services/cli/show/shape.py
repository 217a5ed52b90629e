"""Reading answers of hosts, which may hold anything, and showing what fits. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple, TypeVar

from rich.text import Text

from services.cli.show.tasks import plain

T = TypeVar("T")
ROWS = 50
_NAMED = 3


class Detail(NamedTuple):
    """How much of an answer is shown."""

    rows: int | None = ROWS
    """Of each table; None: all."""
    full: bool = False
    """With the lines of code and everything else that is known."""


def items(answer: Mapping[str, Any], name: str) -> list[Mapping[str, Any]]:
    """The objects of a list; what is none, or is not there, is left out."""
    found = answer.get(name)
    return [one for one in found if isinstance(one, Mapping)] if isinstance(found, list) else []


def has_items(answer: Mapping[str, Any], name: str, *fields: str) -> bool:
    """Whether there is such a list, of objects with these fields only."""
    found = answer.get(name)
    return isinstance(found, list) and all(
        isinstance(one, Mapping) and all(field in one for field in fields) for one in found
    )


def number(value: Any) -> int:
    """A whole number; of anything else 0."""
    return value if isinstance(value, int) and not isinstance(value, bool) else 0


def words(value: Any, limit: int = 160) -> str:
    """A value as plain text: of a list its parts, of nothing nothing."""
    if value is None:
        return ""
    if isinstance(value, list | tuple):
        return plain(", ".join(map(str, value)), limit)
    return plain(value, limit)


def part(value: Any, name: str) -> Any:
    """A part of an object; of anything else None."""
    return value.get(name) if isinstance(value, Mapping) else None


def place(path: Any, line: Any) -> str:
    """`path:line`, never cut."""
    where = plain(path, len(str(path)))
    return f"{where}:{number(line)}" if number(line) else where


def cut(rows: Sequence[T], view: Detail) -> Sequence[T]:
    """Those that are shown."""
    return rows if view.rows is None else rows[: view.rows]


def more(rows: Sequence[object], view: Detail) -> list[Text]:
    """How many there are besides, and how to see them."""
    left = len(rows) - len(cut(rows, view))
    return [Text(f"… and {left:,} more: --all or --json", style="dim")] if left else []


def head(text: str) -> Text:
    """The heading of a table."""
    return Text(f"\n{text}", style="bold")


def counted(count: int, word: str, many: str = "") -> str:
    """`1 file`, `2 files`."""
    return f"{count:,} {word if count == 1 else many or word + 's'}"


def reasons(title: str, left: Sequence[Mapping[str, Any]], view: Detail) -> list[Text]:
    """Files that something was not done with, by the reason why."""
    lines = []
    for reason, count in Counter(words(one.get("reason")) for one in left).most_common():
        those = [one for one in left if words(one.get("reason")) == reason]
        named = those if view.rows is None else those[:_NAMED]
        names = ", ".join(place(one.get("path", "?"), None) for one in named)
        rest = f", and {count - len(named):,} more" if count > len(named) else ""
        line = Text(f"{title}: {counted(count, 'file')}, {reason or 'no reason given'}: ")
        lines.append(line.append(names + rest, style="dim"))
    return lines


def failures(title: str, failed: Iterable[Mapping[str, Any]], view: Detail) -> list[Text]:
    """Files that something failed for, each with what was said."""
    rows = list(failed)
    lines = []
    for one in cut(rows, view):
        line = Text(f"{title}: ", style="red")
        line.append(place(one.get("path", "?"), one.get("line")), style="default")
        said = words(one.get("message") or one.get("reason"), 300)
        lines.append(line.append(f" {said}", style="default"))
    return lines + more(rows, view)
