"""How the findings of a scan look to people. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.padding import Padding
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
    place,
    reasons,
    words,
)
from services.cli.show.tasks import plain

LEVELS = ("INFO", "WARNING", "ERROR")
"""From the least to the most serious."""
_SAME = {"CRITICAL": "ERROR", "HIGH": "ERROR", "MEDIUM": "WARNING", "LOW": "INFO"}
_STYLE = {"ERROR": "bold red", "WARNING": "yellow", "INFO": "cyan"}
_WIDE = 110
"""Columns of a terminal that has room for a table of findings."""
_CODE = 400


def level(severity: Any) -> str:
    """One of the three levels; rules of users know others too."""
    name = str(severity).upper()
    return name if name in LEVELS else _SAME.get(name, "INFO")


def worst(answer: Mapping[str, Any]) -> int:
    """How serious the worst of all findings is, as an index of LEVELS; -1: there are none.

    Those that were left out of the answer count too.
    """
    counts = answer.get("by_severity")
    named = [name for name, n in counts.items() if number(n)] if isinstance(counts, Mapping) else []
    named += [one.get("severity") for one in items(answer, "findings")]
    return max((LEVELS.index(level(name)) for name in named), default=-1)


def scan(answer: Mapping[str, Any], view: Detail) -> RenderableType | None:
    """Findings, the files they are in, and what was scanned and what was not."""
    if not has_items(answer, "findings", "path", "rule", "severity"):
        return None
    found = sorted(items(answer, "findings"), key=_order)
    parts: list[RenderableType] = []
    if found:
        shown = cut(found, view)
        parts += [_Findings(shown, view), *more(found, view), *_files(found, view)]
    return Group(*parts, *_totals(answer, found), *coverage(answer, view))


def _order(one: Mapping[str, Any]) -> tuple[int, str, int]:
    return (-LEVELS.index(level(one.get("severity"))), str(one["path"]), number(one.get("line")))


class _Findings:
    """A table where there is room for one, else one after the other."""

    def __init__(self, found: Sequence[Mapping[str, Any]], view: Detail) -> None:
        self._found = found
        self._full = view.full

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        if not self._full and options.max_width >= _WIDE:
            table = _table(self._found)
            if table.fits(options.max_width):
                yield table
                return
        for one in self._found:
            yield from _one(one, full=self._full)


def _table(found: Iterable[Mapping[str, Any]]) -> FittedTable:
    table = FittedTable(
        Column("severity"),
        Column("place"),
        Column("rule"),
        Column("weakness", drop=1),
        Column("what", least=36),
    )
    for one in found:
        what = Text(words(one.get("message"), 300))
        if code := _first(one.get("code")):
            what.append(f"\n{code}", style="dim")
        table.add(_severity(one), _place(one), words(one["rule"]), _weakness(one), what)
    return table


def _one(one: Mapping[str, Any], *, full: bool) -> Iterable[RenderableType]:
    line = Text.assemble(_severity(one), " ", (_place(one), "bold"), " ", words(one["rule"]))
    yield line.append(f" {_weakness(one)}", style="dim")
    yield _below(Text(words(one.get("message"), 2000 if full else 300)))
    code = str(one.get("code") or "").splitlines()
    for shown in code if full else code[:1]:
        yield _below(Text(f"| {plain(shown.expandtabs(4), _CODE)}", style="dim"))
    if full:
        for name in ("fix", "confidence", "engines"):
            if said := words(one.get(name), 2000):
                yield _below(Text.assemble((f"{name}: ", "cyan"), said))


def _below(text: Text) -> Padding:
    return Padding(text, (0, 0, 0, 2), expand=False)


def _severity(one: Mapping[str, Any]) -> Text:
    return Text(words(one["severity"], 20), style=_STYLE[level(one["severity"])])


def _place(one: Mapping[str, Any]) -> str:
    return place(one["path"], one.get("line"))


def _weakness(one: Mapping[str, Any]) -> str:
    """The numbers of its weaknesses; their names stand in the message."""
    cwe = one.get("cwe")
    names = cwe if isinstance(cwe, list) else [cwe] if cwe else []
    return plain(", ".join(str(name).partition(":")[0] for name in names), 60)


def _first(code: Any) -> str:
    lines = [line for line in str(code or "").splitlines() if line.strip()]
    return plain(lines[0].strip().expandtabs(4), 100) if lines else ""


def _files(found: Sequence[Mapping[str, Any]], view: Detail) -> list[RenderableType]:
    """How many findings each file has; of one file that says nothing new."""
    counts: dict[str, Counter[str]] = {}
    for one in found:
        counts.setdefault(str(one["path"]), Counter())[level(one.get("severity"))] += 1
    if len(counts) < 2:
        return []
    order = tuple(reversed(LEVELS))
    rows = sorted(counts.items(), key=lambda row: (*(-row[1][name] for name in order), row[0]))
    table = FittedTable(Column("file"), *(Column(name, right=True) for name in order))
    for path, count in cut(rows, view):
        table.add(place(path, None), *(str(count[name] or "") for name in order))
    return [Text(), table, *more(rows, view)]


def _totals(answer: Mapping[str, Any], found: Sequence[Mapping[str, Any]]) -> list[Text]:
    left_out = number(answer.get("left_out"))
    total = len(found) + left_out
    text = head(counted(total, "finding") if total else "no findings")
    counts = answer.get("by_severity")
    if total and isinstance(counts, Mapping):
        text.append(": " + ", ".join(f"{number(n):,} {words(name)}" for name, n in counts.items()))
    if left_out:
        text.append(f"; {left_out:,} of them are not listed", style="yellow")
    return [text]


def coverage(answer: Mapping[str, Any], view: Detail) -> list[Text]:
    """What was scanned with what, and what was not, and why."""
    lines: list[Text] = []
    scanned = answer.get("scanned")
    if isinstance(scanned, list):
        total = number((answer.get("totals") or {}).get("files"))
        of = f" of {total:,}" if total else ""
        line = Text(f"scanned: {len(scanned):,}{of} {'file' if len(scanned) == 1 else 'files'}")
        names = ", ".join(_engine(one) for one in items(answer, "engines"))
        lines.append(line.append(f" with {names}" if names else ""))
    lines += reasons("not scanned", items(answer, "not_scanned"), view)
    lines += failures("failed", items(answer, "failed"), view)
    for one in items(answer, "engines"):
        if problem := words(one.get("problem"), 300):
            lines.append(Text(f"{words(one.get('name'))}: {problem}", style="yellow"))
    return lines


def _engine(one: Mapping[str, Any]) -> str:
    rules = number(one.get("rules"))
    of = f" ({rules:,} rules)" if rules else ""
    return f"{words(one.get('name'))} {words(one.get('version'))}".strip() + of


def weaknesses(answer: Mapping[str, Any], view: Detail) -> RenderableType | None:
    """Serious weaknesses, each with its places."""
    if not has_items(answer, "vulnerabilities", "weakness", "places"):
        return None
    parts: list[RenderableType] = []
    for group in items(answer, "vulnerabilities"):
        places = items(group, "places")
        count = number(group.get("count")) or len(places)
        parts.append(head(f"{words(group['weakness'])}: {counted(count, 'place')}"))
        table = FittedTable(Column("place"), Column("rule"), Column("what", least=24), header=False)
        for one in cut(places, view):
            where = place(one.get("path", "?"), one.get("line"))
            table.add(where, words(one.get("rule")), words(one.get("message"), 300))
        parts += [table, *more(places, view)]
    total = number(answer.get("count"))
    end = (
        counted(total, "serious weakness", "serious weaknesses") if total else "no serious weakness"
    )
    return Group(*parts, head(end), *coverage(answer, view))
