"""A table that fits its terminal: words wrap, then columns go, and ids and names are never cut."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from rich.console import Console, ConsoleOptions, RenderResult
from rich.measure import Measurement
from rich.table import Table
from rich.text import Text

_NARROWEST = 4


class Column(NamedTuple):
    """One column."""

    name: str
    least: int | None = None
    """As narrow as it may become by wrapping words; None: it stays as wide as it is."""
    drop: int = 0
    """Where there is no room, the column with the highest number goes first; 0: it stays."""
    right: bool = False


class FittedTable:
    """Rows of text under columns; what stays although there is no room for it is folded."""

    def __init__(self, *columns: Column, header: bool = True) -> None:
        self._columns = columns
        self._header = header
        self._rows: list[tuple[tuple[Text, ...], str]] = []

    def add(self, *cells: str | Text, style: str = "") -> None:
        """Add a row, a cell for each column; what comes from outside is made plain before."""
        row = tuple(cell if isinstance(cell, Text) else Text(cell) for cell in cells)
        self._rows.append((row, style))

    def table(self, width: int) -> Table:
        """The table for a terminal of this width."""
        kept = fit(self._natural(), self._columns, width)
        table = Table(box=None, pad_edge=False, show_header=self._header)
        for at, wide in kept.items():
            column = self._columns[at]
            justify = "right" if column.right else "left"
            table.add_column(column.name, justify=justify, width=wide, overflow="fold")  # type: ignore[arg-type]
        for row, style in self._rows:
            table.add_row(*(row[at] for at in kept), style=style)
        return table

    def _natural(self) -> list[int]:
        heads = [len(column.name) if self._header else 0 for column in self._columns]
        for row, _ in self._rows:
            heads = [max(wide, cell.cell_len) for wide, cell in zip(heads, row, strict=True)]
        return heads

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Show it as wide as there is room."""
        yield self.table(options.max_width)

    def __rich_measure__(self, console: Console, options: ConsoleOptions) -> Measurement:
        """From next to nothing to all on one line."""
        widest = sum(self._natural()) + len(self._columns) - 1
        return Measurement(min(_NARROWEST, options.max_width), min(widest, options.max_width))


def fit(natural: Sequence[int], columns: Sequence[Column], width: int) -> dict[int, int]:
    """Which columns stay, and how wide each is; `natural`: what each would like."""
    kept = {at: max(1, wide) for at, wide in enumerate(natural)}
    while True:
        room = width - (len(kept) - 1)
        floors = {
            at: min(wide, least) if (least := columns[at].least) else wide
            for at, wide in kept.items()
        }
        if sum(floors.values()) <= room:
            return _shrunk(kept, floors, room)
        drops = [at for at in kept if columns[at].drop]
        if not drops:
            folded = {at: min(wide, _NARROWEST) for at, wide in floors.items()}
            return _shrunk(floors, folded, max(room, sum(folded.values())))
        del kept[max(drops, key=lambda at: columns[at].drop)]


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
