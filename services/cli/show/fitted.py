"""A table that fits its terminal: words wrap, then columns go, then rows become several lines.

Nothing is ever cut: the first column holds ids or names that have to be copied.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from rich.cells import cell_len
from rich.console import (
    Console,
    ConsoleOptions,
    Group,
    JustifyMethod,
    RenderableType,
    RenderResult,
)
from rich.measure import Measurement
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

_NARROWEST = 4
GAP = 2
"""Spaces between two columns."""


class Column(NamedTuple):
    """One column."""

    name: str
    least: int | None = None
    """As narrow as it may become by wrapping words; None: it stays as wide as it is."""
    drop: int = 0
    """Where there is no room, the column with the highest number goes first; 0: it stays."""
    right: bool = False


class FittedTable:
    """Rows of text under columns; of a column with `drop` the text may be left out."""

    def __init__(self, *columns: Column, header: bool = True) -> None:
        self._columns = columns
        self._header = header
        self._rows: list[tuple[tuple[Text, ...], str]] = []

    def add(self, *cells: str | Text, style: str = "") -> None:
        """Add a row, a cell for each column; what comes from outside is made plain before."""
        row = tuple(cell if isinstance(cell, Text) else Text(cell) for cell in cells)
        self._rows.append((row, style))

    def fits(self, width: int) -> bool:
        """Whether there is room for the columns that must stay."""
        return bool(fit(self._natural(), self._columns, width))

    def rendered(self, width: int) -> RenderableType:
        """The table for a terminal of this width."""
        kept = fit(self._natural(), self._columns, width)
        if not kept:
            return Group(*(line for row, style in self._rows for line in _stacked(row, style)))
        table = Table(box=None, pad_edge=False, show_header=self._header)
        for at, wide in kept.items():
            column = self._columns[at]
            justify: JustifyMethod = "right" if column.right else "left"
            table.add_column(column.name, justify=justify, width=wide, overflow="fold")
        for row, style in self._rows:
            table.add_row(*(row[at] for at in kept), style=style)
        return table

    def _natural(self) -> list[int]:
        heads = [len(column.name) if self._header else 0 for column in self._columns]
        for row, _ in self._rows:
            heads = [max(wide, _width(cell)) for wide, cell in zip(heads, row, strict=True)]
        return heads

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Show it as wide as there is room."""
        yield self.rendered(options.max_width)

    def __rich_measure__(self, console: Console, options: ConsoleOptions) -> Measurement:
        """From next to nothing to all on one line."""
        widest = sum(self._natural()) + GAP * (len(self._columns) - 1)
        return Measurement(min(_NARROWEST, options.max_width), min(widest, options.max_width))


def fit(natural: Sequence[int], columns: Sequence[Column], width: int) -> dict[int, int]:
    """Which columns stay, and how wide each is; `natural`: what each would like.

    None of them: there is no room even for those that must stay.
    """
    kept = {at: max(1, wide) for at, wide in enumerate(natural)}
    while True:
        room = width - GAP * (len(kept) - 1)
        floors = {
            at: min(wide, least) if (least := columns[at].least) else wide
            for at, wide in kept.items()
        }
        if sum(floors.values()) <= room:
            return _shrunk(kept, floors, room)
        drops = [at for at in kept if columns[at].drop]
        if not drops:
            return {}
        del kept[max(drops, key=lambda at: columns[at].drop)]


def _width(cell: Text) -> int:
    return max(cell_len(line) for line in cell.plain.split("\n"))


def _stacked(row: Sequence[Text], style: str) -> Iterator[RenderableType]:
    """The first cell on a line of its own, what the others say below it."""
    first, *others = row
    yield Text(style=style, overflow="fold").append_text(first)
    said = [cell for cell in others if cell.plain.strip()]
    if said:
        text = Text("  ", style=style).join(said)
        yield Padding(Text(style=style, overflow="fold").append_text(text), (0, 0, 0, 2))


def _shrunk(wanted: dict[int, int], floors: dict[int, int], room: int) -> dict[int, int]:
    """Take from the widest that may give until all fit."""
    found = dict(wanted)
    while (over := sum(found.values()) - room) > 0:
        giving = {at: wide for at, wide in found.items() if wide > floors[at]}
        widest = max(giving, key=lambda at: giving[at])
        second = max((w for at, w in giving.items() if at != widest), default=0)
        step = max(1, min(over, giving[widest] - max(second, floors[widest])))
        found[widest] -= min(step, giving[widest] - floors[widest])
    return found
