"""A progress bar on stderr, on a terminal only."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import TypeAlias

from rich.progress import (
    BarColumn,
    DownloadColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeRemainingColumn,
)
from rich.progress import TransferSpeedColumn as SpeedColumn

from services.cli.common import Out

Moved: TypeAlias = Callable[[int, int | None], None]
"""Is told how many bytes there are, and of how many."""


@contextlib.contextmanager
def bar(out: Out, what: str = "", *, shown: bool = True) -> Iterator[Moved]:
    """Show how many bytes have moved; nothing with `--json` or without a terminal."""
    columns = (
        TextColumn("{task.description}", markup=False),
        *(BarColumn(), DownloadColumn(), SpeedColumn(), TimeRemainingColumn()),
    )
    disable = not (shown and out.errors.is_terminal and not out.as_json)
    with Progress(*columns, console=out.errors, transient=True, disable=disable) as progress:
        shown_as = progress.add_task(what, total=None)

        def moved(at: int, size: int | None) -> None:
            progress.update(shown_as, completed=at, total=size)

        yield moved


@contextlib.contextmanager
def count_bar(out: Out, what: str, total: int) -> Iterator[Callable[[int], None]]:
    """Show how many of so many are done; nothing with `--json` or without a terminal."""
    columns = (
        TextColumn("{task.description}", markup=False),
        *(BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()),
    )
    disable = not out.errors.is_terminal or out.as_json
    with Progress(*columns, console=out.errors, transient=True, disable=disable) as progress:
        shown_as = progress.add_task(what, total=total)
        yield lambda done: progress.update(shown_as, completed=done)
