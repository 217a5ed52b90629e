"""The command `tasks`: a list of tasks, how many there are, or all of them as lines of text."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal
from urllib.parse import urlencode

from cyclopts import Parameter
from rich.text import Text

from services.cli.client import Api, find_target, unreachable
from services.cli.common import NO_OPTIONS, CliError, Exit, Options, Out, run
from services.cli.http import httpx
from services.cli.input import check_ids, moment
from services.cli.projects import find_project
from services.cli.show import tasks as render

PATH = "/api/tasks"


@Parameter(name="*")
@dataclass(frozen=True)
class Sought:
    """Which tasks are meant."""

    status: tuple[str, ...] = ()
    """Only those with this status: pending, queued, running, succeeded, failed …; can be
    repeated."""
    type_: Annotated[str | None, Parameter(name="--type")] = None
    """Only those of this task type."""
    host: str | None = None
    """Only those whose latest attempt went to this host."""
    tag: tuple[str, ...] = ()
    """Only those with this tag, KEY or KEY=VALUE; can be repeated: with all of them."""
    text: str | None = None
    """Only those with this in their type or id."""
    batch: str | None = None
    """Only those of this batch."""
    over: bool | None = None
    """Only those that are over, or with --no-over only the others."""
    created_after: str | None = None
    """Only those created then or later: a time, or an age such as 2h or 1d."""
    created_before: str | None = None
    """Only those created before."""
    ended_after: str | None = None
    """Only those that ended then or later."""
    ended_before: str | None = None
    """Only those that ended before."""
    longer: float | None = None
    """Only those that took so many seconds or more, and are over."""
    shorter: float | None = None
    """Only those that were over in fewer seconds."""

    def params(self) -> dict[str, Any]:
        """As the API takes them. Raises CliError."""
        check_ids(host=self.host, batch=self.batch)
        times = ("created_after", "created_before", "ended_after", "ended_before")
        return {
            "status": list(self.status) or None,
            "type": self.type_,
            "host": self.host,
            "tag": list(self.tag) or None,
            "text": self.text,
            "batch": self.batch,
            "over": None if self.over is None else str(self.over).lower(),
            **{name: moment(getattr(self, name)) for name in times},
            "longer_s": self.longer,
            "shorter_s": self.shorter,
        }


ANY = Sought()


def tasks(
    *,
    sought: Sought = ANY,
    limit: int = 50,
    offset: int | None = None,
    cursor: int | None = None,
    project: str | None = None,
    counts: Annotated[bool, Parameter(name="--counts", negative=())] = False,
    export: Literal["jsonl", "csv"] | None = None,
    options: Options = NO_OPTIONS,
) -> int:
    """List your tasks, newest first.

    Parameters
    ----------
    limit
        How many to show.
    offset
        How many to pass over.
    cursor
        Go on after a page, with the cursor it printed.
    project
        Those of a project, by its name or id, whoever sent them.
    counts
        Only how many there are, by status.
    export
        Print all of them, at most 100,000: a line of JSON each, or a table as CSV.
    """
    wanted = sought.params()
    if counts and export is not None:
        raise CliError(Exit.USAGE, "--counts and --export are two answers.", "Leave one out.")
    if counts:
        return run(_count(options, project, wanted))
    if export is not None:
        return run(_export(options, project, wanted | {"cursor": cursor, "format": export}))
    paging = {"limit": limit, "offset": offset, "cursor": cursor}
    return run(_list(options, project, wanted | paging))


async def _list(options: Options, project: str | None, params: Mapping[str, Any]) -> int:
    out = options.out
    async with Api(find_target(options)) as api:
        id_ = None if project is None else await find_project(api, project)
        found, following = await api.page(PATH, project=id_, **params)
    answer = {"tasks": found, "next_cursor": following}
    rows = render.tasks(found, user=project is not None)
    out.show(answer, rows if found else Text("no tasks", style="dim"))
    if following is not None and not out.as_json:
        out.note(f"more: metamcp tasks --cursor {following}")
    return Exit.OK


async def _count(options: Options, project: str | None, params: Mapping[str, Any]) -> int:
    async with Api(find_target(options)) as api:
        id_ = None if project is None else await find_project(api, project)
        counts = await api.get(f"{PATH}/counts", project=id_, **params)
    options.out.show(counts, render.counts(counts))
    return Exit.OK


async def _export(options: Options, project: str | None, params: Mapping[str, Any]) -> int:
    async with Api(find_target(options)) as api:
        id_ = None if project is None else await find_project(api, project)
        asked = {name: value for name, value in params.items() if value is not None}
        asked |= {} if id_ is None else {"project": id_}
        await _copy(api, options.out, f"{PATH}/export?{urlencode(asked, doseq=True)}")
    return Exit.OK


async def _copy(api: Api, out: Out, path: str) -> None:
    """Print what comes, as it comes. Raises CliError."""
    sys.stdout.flush()
    async with api.stream(path, {}) as answer:
        try:
            async for part in answer.aiter_bytes():
                sys.stdout.buffer.write(part)
        except httpx.HTTPError as error:
            raise unreachable(api.target.url, error) from error
        finally:
            sys.stdout.buffer.flush()
