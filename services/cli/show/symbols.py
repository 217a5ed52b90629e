"""How the analysis of code and a search in it look to people. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from rich.console import Group, RenderableType
from rich.text import Text

from services.cli.show.fitted import Column, FittedTable
from services.cli.show.shape import (
    Detail,
    counted,
    cut,
    failures,
    has_items,
    head,
    items,
    more,
    number,
    part,
    place,
    reasons,
    words,
)
from services.cli.show.tasks import plain


def analysis(answer: Mapping[str, Any], view: Detail) -> RenderableType | None:
    """Of one file its symbols; of a folder its files."""
    if has_items(answer, "files", "path"):
        return _folder(answer, view)
    if "path" in answer and has_items(answer, "symbols", "name", "kind"):
        return _file(answer, view)
    return None


def _file(answer: Mapping[str, Any], view: Detail) -> RenderableType:
    title = Text(place(answer["path"], None), style="bold")
    title.append(f"  {words(answer.get('language'))}", style="")
    if counts := _lines(answer.get("lines")):
        title.append(f"  {counts}", style="dim")
    found = nested(items(answer, "symbols"))
    complexity = _complexities(items(answer, "functions"))
    table = FittedTable(
        Column("kind", drop=2),
        Column("name"),
        Column("lines", right=True),
        Column("complexity", right=True, drop=1),
    )
    for depth, one in cut(found, view):
        first, last = span(one)
        name = Text("  " * depth).append(plain(one["name"], 400))
        if view.full and (signature := words(one.get("signature"), 400)):
            name.append(f"\n{'  ' * depth}{signature}", style="dim")
        shown = complexity.get((first, _last_part(one["name"])), "")
        lines = f"{first}-{last}" if last > first else str(first or "")
        table.add(words(one["kind"]), name, lines, shown)
    parts: list[RenderableType] = [title, *([table] if found else []), *more(found, view)]
    return Group(*parts, *_imports(answer, view), *_remarks(answer, view))


def _imports(answer: Mapping[str, Any], view: Detail) -> list[Text]:
    modules = list(dict.fromkeys(words(one.get("module")) for one in items(answer, "imports")))
    if not modules:
        return []
    named = head("imports: ").append(", ".join(cut(modules, view)), style="not bold")
    return [named, *more(modules, view)]


def _remarks(answer: Mapping[str, Any], view: Detail) -> list[Text]:
    path = answer.get("path", "?")
    lines = failures(
        "syntax error", ({"path": path, **one} for one in items(answer, "errors")), view
    )
    remarks = answer.get("remarks")
    for one in remarks if isinstance(remarks, list) else ():
        said = words(part(one, "message") or one, 300)
        line = place(path, part(one, "line"))
        lines.append(Text(f"{line} {said}" if isinstance(one, Mapping) else said, style="yellow"))
    return lines


def nested(found: Sequence[Mapping[str, Any]]) -> list[tuple[int, Mapping[str, Any]]]:
    """Symbols in the order of their lines, each with how many others it lies in."""
    order = sorted(found, key=lambda one: (span(one)[0], -span(one)[1]))
    ends: list[int] = []
    rows = []
    for one in order:
        first, last = span(one)
        while ends and ends[-1] < first:
            ends.pop()
        rows.append((len(ends), one))
        # What ends on its own line holds nothing that begins after it.
        if last > first:
            ends.append(last)
    return rows


def span(one: Mapping[str, Any]) -> tuple[int, int]:
    """First and last line; (0, 0): it doesn't say."""
    where = one.get("range")
    first = number(part(part(where, "start"), "line")) or number(one.get("line"))
    last = number(part(part(where, "end"), "line")) or number(one.get("end_line"))
    return first, max(first, last)


def _last_part(name: Any) -> str:
    return str(name).replace("::", ".").rpartition(".")[2]


def _complexities(functions: Iterable[Mapping[str, Any]]) -> dict[tuple[int, str], str]:
    return {
        (number(one.get("line")), _last_part(one.get("name"))): words(one.get("complexity"))
        for one in functions
    }


def _lines(lines: Any) -> str:
    if not isinstance(lines, Mapping):
        return ""
    names = ("total", "code", "comment", "blank")
    found = [f"{number(lines[name]):,} {name}" for name in names if name in lines]
    return f"lines: {', '.join(found)}" if found else ""


def _folder(answer: Mapping[str, Any], view: Detail) -> RenderableType:
    files = items(answer, "files")
    table = FittedTable(
        Column("file"),
        Column("language", drop=2),
        Column("lines", right=True),
        Column("symbols", right=True),
        Column("functions", right=True, drop=3),
        Column("most complex", right=True, drop=1),
    )
    for one in cut(files, view):
        most = max((number(f.get("complexity")) for f in items(one, "functions")), default=0)
        lines = number(part(one.get("lines"), "total"))
        counts = [_count(one, name) for name in ("symbols", "functions")]
        shown = words(most or one.get("max_complexity") or "")
        table.add(
            place(one["path"], None), words(one.get("language")), f"{lines:,}", *counts, shown
        )
    parts: list[RenderableType] = [table] if files else []
    parts += [*more(files, view), *_totals(answer, files)]
    broken = [{"path": one["path"], **e} for one in files for e in items(one, "errors")]
    parts += failures("syntax error", broken, view)
    parts += reasons("not analyzed", items(answer, "not_analyzed"), view)
    return Group(*parts, *failures("failed", items(answer, "failed"), view))


def _count(one: Mapping[str, Any], name: str) -> str:
    found = one.get(name)
    return f"{len(found) if isinstance(found, list) else number(found):,}"


def _totals(answer: Mapping[str, Any], files: Sequence[Mapping[str, Any]]) -> list[Text]:
    languages = part(answer.get("totals"), "by_language")
    counts: dict[str, int] = Counter(words(one.get("language")) or "other" for one in files)
    if isinstance(languages, Mapping):
        counts = {words(name): _files_of(n) for name, n in languages.items()}
    order = sorted(counts.items(), key=lambda one: (-one[1], one[0]))
    text = head(f"{counted(number(part(answer.get('totals'), 'files')) or len(files), 'file')}")
    if order:
        text.append(": " + ", ".join(f"{n:,} {name}" for name, n in order), style="not bold")
    return [text]


def _files_of(value: Any) -> int:
    """A language's number of files, alone or beside other numbers."""
    return number(part(value, "files")) if isinstance(value, Mapping) else number(value)


def matches(answer: Mapping[str, Any], view: Detail) -> RenderableType | None:
    """Places that a search has found, each with its text."""
    if not has_items(answer, "matches", "path"):
        return None
    found = items(answer, "matches")
    table = FittedTable(Column("place"), Column("text", least=20), header=False)
    for one in cut(found, view):
        text = str(one.get("text") or one.get("code") or "").strip("\n").splitlines() or [""]
        shown = text if view.full else text[:1]
        code = "\n".join(plain(line.expandtabs(4), 300) for line in shown)
        table.add(place(one["path"], span(one)[0]), Text(code))
    left_out = number(answer.get("left_out"))
    end = head(counted(len(found) + left_out, "match", "matches") if found else "no matches")
    if left_out:
        end.append(f"; {left_out:,} of them are not listed", style="yellow")
    parts: list[RenderableType] = [table] if found else []
    parts += [*more(found, view), end, *failures("failed", items(answer, "failed"), view)]
    return Group(*parts, *reasons("not searched", items(answer, "not_searched"), view))
