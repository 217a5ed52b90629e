"""Commands about batches: `submit --batch`, and batch."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, NamedTuple

from cyclopts import Parameter
from rich.text import Text

from contracts.facts import JobDone, Outcome, Record
from services.cli.bar import bar, count_bar
from services.cli.client import UPLOAD_S, Api, find_target
from services.cli.common import NO_OPTIONS, CliError, Exit, Options, Out, run
from services.cli.input import STDIN, check_ids
from services.cli.projects import find_project
from services.cli.show import bulk as render

MOST_BYTES = 32 * 1024 * 1024
"""Bytes of one batch, as the gateway takes them."""
_PART = 64 * 1024


class SentBatch(NamedTuple):
    """What is said of a batch besides its tasks."""

    id: str | None
    project: str | None
    wait: bool
    tags: Sequence[str] = ()
    """Each `key=value`."""


def send(type_: str | None, file: Path | None, sent: SentBatch, options: Options) -> int:
    """Create all tasks of a file, one JSON object on each line; `-` is standard input."""
    if type_ is not None or file is None:
        text = "Give a TYPE, or --batch FILE: one of the two."
        raise CliError(Exit.USAGE, text, "See `metamcp submit --help`.")
    check_ids(batch=sent.id)
    return run(_send(options, _read(file), sent))


def _read(file: Path) -> bytes:
    """The lines. Raises CliError."""
    try:
        data = sys.stdin.buffer.read() if str(file) == STDIN else file.read_bytes()
    except OSError as error:
        raise CliError(Exit.USAGE, f"{file} can't be read: {error.strerror}.") from None
    if len(data) > MOST_BYTES:
        text = f"The batch has {len(data)} bytes, more than {MOST_BYTES}."
        raise CliError(Exit.USAGE, text, "Split it: each part is a batch of its own.")
    return data


async def _send(options: Options, data: bytes, sent: SentBatch) -> int:
    out = options.out
    async with Api(find_target(options), within_s=UPLOAD_S) as api:
        project = None if sent.project is None else await find_project(api, sent.project)
        params = {"id": sent.id, "project": project, "tag": list(sent.tags) or None}
        with bar(out, "sending") as moved:
            parts = _parts(data, moved)
            answer = await api.post_lines("/api/batches", parts, len(data), **params)
        if not out.as_json:
            out.note(f"batch {answer['batch']}")
            out.errors.print(render.accepted(answer))
        ended = await _follow(api, out, answer) if sent.wait else None
        if ended is None:
            if out.as_json:
                out.line(answer)
            else:
                out.console.print(Text(str(answer["batch"])))
            return Exit.FAILED if answer["refused_count"] else Exit.OK
        view = await api.get(f"/api/batches/{answer['batch']}")
    out.show({"accepted": answer, "batch": view}, render.batch(view))
    good = not answer["refused_count"] and set(ended) <= {Outcome.SUCCEEDED}
    return Exit.OK if good else Exit.FAILED


async def _parts(data: bytes, moved: Any) -> AsyncIterator[bytes]:
    for at in range(0, len(data), _PART):
        moved(at, len(data))
        yield data[at : at + _PART]


async def _follow(api: Api, out: Out, answer: Mapping[str, Any]) -> dict[Outcome, int]:
    """Wait until all tasks that were accepted are over; how many there are of each outcome."""
    from services.cli.stream import FactStream

    total = int(answer["accepted"]) + int(answer["duplicates"])
    ended: dict[Outcome, int] = {}
    stream = FactStream(api.target, out.note)
    with count_bar(out, "tasks over", total) as moved:
        following = stream.follow(
            "batch", batch=str(answer["batch"]), types=["job.done"], after="start"
        )
        while sum(ended.values()) < total:
            item = await anext(following)
            if isinstance(item, Record) and isinstance(item.fact, JobDone):
                ended[item.fact.outcome] = ended.get(item.fact.outcome, 0) + 1
                moved(sum(ended.values()))
    return ended


def batch(
    id_: Annotated[str | None, Parameter(name="ID")] = None,
    /,
    *,
    limit: int = 50,
    cursor: int | None = None,
    options: Options = NO_OPTIONS,
) -> int:
    """Show how the tasks of a batch are, or list your batches, newest first.

    Parameters
    ----------
    id_
        The batch's id, as `metamcp submit --batch` has printed it.
    limit
        How many to list.
    cursor
        Go on after a page, with the cursor it printed.
    """
    check_ids(batch=id_)
    return run(_list(options, limit, cursor) if id_ is None else _show(options, id_))


async def _show(options: Options, id_: str) -> int:
    async with Api(find_target(options)) as api:
        view = await api.get(f"/api/batches/{id_}")
    options.out.show(view, render.batch(view))
    return Exit.OK


async def _list(options: Options, limit: int, cursor: int | None) -> int:
    out = options.out
    async with Api(find_target(options)) as api:
        found, following = await api.page("/api/batches", limit=limit, cursor=cursor)
    shown = render.batches(found) if found else Text("no batches", style="dim")
    out.show({"batches": found, "next_cursor": following}, shown)
    if following is not None and not out.as_json:
        out.note(f"more: metamcp batch --cursor {following}")
    return Exit.OK
