"""Work on the files of a folder: read here, taken apart by the engine's processes side by side."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable
from pathlib import Path
from typing import Any

from services.registry.builtin import sources
from services.registry.builtin.code.workers import Lost, Workers
from services.registry.builtin.sources import SourceText

MOST_FILES = 10_000
MOST_FILE_BYTES = 5_000_000
MOST_BYTES = 256 * 1024 * 1024
"""Of all files of a folder; those behind it, by name, are told and not analysed."""
_PROGRESS_S = 0.25

Progress = Callable[[int, int, str], Awaitable[None]]
Work = Callable[[SourceText], Awaitable[None]]


def read(folder: Path, name: str) -> SourceText:
    """One file of a folder."""
    return sources.read(folder, name, MOST_FILE_BYTES)


def header(source: SourceText, status: str) -> dict[str, Any]:
    """What an answer says of a file before what is in it."""
    told: dict[str, Any] = {
        "path": source.path,
        "status": status,
        "language": source.language,
        "size": source.size,
    }
    if source.encoding:
        told["encoding"] = source.encoding
    return told


def not_analyzed(source: SourceText) -> dict[str, Any] | None:
    """Why a file can't be analysed at all; None: it can."""
    if source.problem is None:
        return None
    told = header(source, "not_analyzed")
    return told | {"reason": source.problem, "message": source.detail}


def failed(source: SourceText, lost: Lost) -> dict[str, Any]:
    """What is told of a file that the engine could not cope with."""
    return header(source, "failed") | {"reason": lost.reason, "message": str(lost)}


async def each(
    workers: Workers, folder: Path, names: Iterable[str], work: Work, progress: Progress
) -> None:
    """Do the work on every file, as many at once as there are processes."""
    waiting = list(names)
    total, done, last = len(waiting), 0, 0.0
    places = iter(waiting)

    async def one_after_another() -> None:
        nonlocal done, last
        for name in places:
            await work(await asyncio.to_thread(read, folder, name))
            done += 1
            now = time.monotonic()
            if done == total or now - last >= _PROGRESS_S:
                last = now
                await progress(done, total, name)

    try:
        async with asyncio.TaskGroup() as group:
            for _ in range(workers.count):
                group.create_task(one_after_another())
    except ExceptionGroup as several:
        raise several.exceptions[0] from None


async def analyzed(workers: Workers, source: SourceText) -> dict[str, Any]:
    """Everything about one file; never raises for what is wrong with it."""
    if (told := not_analyzed(source)) is not None:
        return told
    reason = sources.unfit(source)
    unfit = f"{reason[0].replace('_', ' ')}, {reason[1]}" if reason else ""
    try:
        parts = await workers.ask(
            "analyze",
            path=source.path,
            text=source.text,
            language=source.language,
            unfit=unfit,
        )
    except Lost as lost:
        return failed(source, lost)
    if source.replaced:
        message = (
            f"{source.replaced:,} places can't be read as {source.encoding}; U+FFFD stands there"
        )
        parts["remarks"].append({"part": "encoding", "message": message})
    return header(source, "analyzed") | parts
