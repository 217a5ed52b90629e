"""No connection to a view is left open."""

from __future__ import annotations

import asyncio
import contextlib
import os
from pathlib import Path

import pytest

from services.log.projection import Projection
from services.log.sqlite import open_writer


def still_open(path: Path) -> list[str]:
    """What this process has open of a view."""
    found = []
    for number in os.listdir("/proc/self/fd"):
        with contextlib.suppress(OSError):
            name = str(Path(f"/proc/self/fd/{number}").readlink())
            found += [name] if name.startswith(str(path)) else []
    return found


async def test_whoever_is_cancelled_while_it_opens_a_view_leaves_nothing_open(
    tmp_path: Path,
) -> None:
    path = tmp_path / "view.sqlite"
    cancelled = 0
    for step in range(80):
        view = Projection(path, (), 1)
        opening = asyncio.create_task(view.use())
        await asyncio.wait((opening,), timeout=step / 10_000)
        opening.cancel()
        await asyncio.wait((opening,))
        cancelled += opening.cancelled()
        await view.close()
        assert still_open(path) == []
    assert cancelled > 10


async def test_a_file_that_is_none_leaves_nothing_open(tmp_path: Path) -> None:
    path = tmp_path / "view.sqlite"
    path.write_bytes(b"no database at all" * 100)
    with pytest.raises(Exception, match="not a database"):
        await open_writer(path)
    assert still_open(path) == []
