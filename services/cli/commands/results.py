"""Commands about results: result, results, and delete, verify, tasks below it."""

from __future__ import annotations

import codecs
import contextlib
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
from cyclopts import Parameter
from rich.text import Text

from services.cli.answers import SarifFile, Shown, check_sarif, write_sarif
from services.cli.bar import bar
from services.cli.client import Api, find_target
from services.cli.commands.download import Head, ToFile, ToStream, download
from services.cli.common import NO_OPTIONS, CliError, Exit, Options, Out, run
from services.cli.follow import show_kept, task_value
from services.cli.input import STDIN, check_ids, moment
from services.cli.show import results as render
from services.cli.show.tasks import plain
from services.cli.show.tasks import result as rendered
from services.process.visible import visible

READ_S = 180.0
"""How long the gateway may take: a result may have to come from Hugging Face."""
PAGE, BIG_PAGE = 50, 500
MOST = 10_000
"""Results that --all shows at most."""
SHOWN = 1024 * 1024
"""Bytes of JSON that are laid out for people; more is printed as it comes."""

Task = Annotated[str, Parameter(name="TASK")]


@Parameter(name="*")
@dataclass(frozen=True)
class Filters:
    """Which results are shown."""

    kind: Literal["inline", "object_store", "dataset"] | None = None
    """Where the bytes are: in the log, in the object store, or in a Hugging Face Dataset."""
    host: str | None = None
    """Only those of this host."""
    since: str | None = None
    """Created then or later: 2026-01-31, 2026-01-31T12:00, or an age such as 30m, 2h, 7d."""
    until: str | None = None
    """Created before then."""
    deleted: bool = False
    """Only those whose bytes are gone."""
    kept: bool = False
    """Only those whose bytes are there."""
    limit: int | None = None
    """How many to show, 50 if not given and at most 500."""
    cursor: int | None = None
    """Go on after a page, with the cursor it printed."""
    every: Annotated[bool, Parameter(name="--all")] = False
    """All pages, up to 10000 results."""

    def params(self) -> dict[str, Any]:
        """The question as the API takes it. Raises CliError."""
        check_ids(host=self.host)
        if self.deleted and self.kept:
            raise CliError(Exit.USAGE, "Leave out --deleted or --kept: together they find nothing.")
        return {
            "kind": self.kind,
            "host": self.host,
            "since": moment(self.since),
            "until": moment(self.until),
            "deleted": self.deleted if self.deleted or self.kept else None,
            "limit": self.limit or (BIG_PAGE if self.every else PAGE),
            "cursor": self.cursor,
        }


NO_FILTERS = Filters()


def results(
    task: Annotated[str | None, Parameter(name="TASK")] = None,
    /,
    *,
    sarif: SarifFile = None,
    full: bool = False,
    filters: Filters = NO_FILTERS,
    options: Options = NO_OPTIONS,
) -> int:
    """List your results, newest first, or describe one; `metamcp result` brings its bytes.

    Parameters
    ----------
    task
        Only the result of this task.
    sarif
        Of a security_scan: write the findings to this file as SARIF; - prints them.
    full
        Of one result: also the lines of code and what else is known; --all shows all rows.
    """
    check_ids(task=task)
    if task is None:
        if sarif is not None or full:
            text = f"{'--full' if sarif is None else '--sarif'} is for one result."
            raise CliError(Exit.USAGE, text, "metamcp results TASK")
        return run(_results(options, filters.params(), every=filters.every))
    if replace(filters, every=False) != NO_FILTERS:
        raise CliError(Exit.USAGE, "Filters are for lists.", f"metamcp results {task}")
    shown = Shown(every=filters.every, full=full)
    if sarif is not None:
        return run(_to_sarif(options, task, sarif))
    return run(_describe(options, task, shown))


def delete(task: Task, /, *, reason: str | None = None, options: Options = NO_OPTIONS) -> int:
    """Delete the bytes of a result; what the log says about it stays.

    Parameters
    ----------
    task
        The task's id.
    reason
        Why; it stands in the log.
    """
    check_ids(task=task)
    return run(_delete(options, task, reason))


def verify(task: Task, /, *, options: Options = NO_OPTIONS) -> int:
    """Have all bytes of a result read and compared with its digest.

    Parameters
    ----------
    task
        The task's id.
    """
    check_ids(task=task)
    return run(_verify(options, task))


def tasks(
    *,
    status: str | None = None,
    limit: int = PAGE,
    offset: int = 0,
    options: Options = NO_OPTIONS,
) -> int:
    """List tasks as your Dataset at Hugging Face has them.

    Parameters
    ----------
    status
        Only those that ended so: succeeded, failed …
    limit
        How many to show, at most 100.
    offset
        How many to pass over.
    """
    return run(_tasks(options, status=status, limit=limit, offset=offset))


def result(
    id_: Annotated[str, Parameter(name="ID")],
    /,
    *,
    output: Annotated[
        Path | None, Parameter(name=("--output", "-o"), allow_leading_hyphen=True)
    ] = None,
    user: str | None = None,
    options: Options = NO_OPTIONS,
) -> int:
    """Print a task's result, or write it to a file exactly as the host gave it.

    A download to a file that broke off is gone on with, and the digest of all is checked.

    Parameters
    ----------
    id_
        The task's id.
    output
        File to write; - writes the bytes to standard output.
    user
        Whose task it is, in a project that you are in.
    """
    check_ids(task=id_, user=user)
    return run(_result(options, id_, output, user))


async def _results(options: Options, params: dict[str, Any], *, every: bool) -> int:
    out = options.out
    async with Api(find_target(options)) as api:
        first = page = await api.envelope("/api/results", **params)
        found: list[Any] = list(page["data"])
        while every and page.get("next_cursor") is not None and len(found) < MOST:
            place = {"cursor": page["next_cursor"], "mark": page.get("next_mark")}
            page = await api.envelope("/api/results", **params | place)
            found += page["data"]
    following = page.get("next_cursor")
    answer = {
        "results": found,
        "next_cursor": following,
        "total": first["total"],
        "size": first["size"],
    }
    out.show(answer, render.results(found, first["total"], first["size"]))
    if following is not None and not out.as_json:
        out.note(f"more: metamcp results --cursor {following}")
    return Exit.OK


async def _describe(options: Options, task: str, shown: Shown) -> int:
    out = options.out
    async with Api(find_target(options), within_s=READ_S) as api:
        kept = await api.get(f"/api/results/{task}")
        out.show(kept, render.result(kept), soft_wrap=True)
        if not out.as_json and not kept.get("deleted"):
            view = await api.get(f"/api/tasks/{task}")
            await show_kept(api, out, view, shown)
    return Exit.OK


async def _to_sarif(options: Options, task: str, file: Path) -> int:
    out = options.out
    async with Api(find_target(options), within_s=READ_S) as api:
        view = await api.get(f"/api/tasks/{task}")
        check_sarif(out, str(view["type"]), file)
        value = await task_value(api, task)
    write_sarif(out, value, file)
    if out.as_json:
        out.line({"task": task, "file": str(file)})
    return Exit.OK


async def _delete(options: Options, task: str, reason: str | None) -> int:
    async with Api(find_target(options)) as api:
        kept = await api.delete(f"/api/results/{task}", reason=reason)
    options.out.show(kept, Text(plain(f"the result of {task} is deleted: {kept['deleted']}", 300)))
    return Exit.OK


async def _verify(options: Options, task: str) -> int:
    async with Api(find_target(options), within_s=READ_S) as api:
        found = await api.post(f"/api/results/{task}/verify")
    digest = found["result"]["sha256"]
    line = f"all {found['bytes_read']} bytes were read; their digest is {digest}, as it should be"
    options.out.show(found, Text(plain(line, 300)), soft_wrap=True)
    return Exit.OK


async def _tasks(options: Options, **params: Any) -> int:
    async with Api(find_target(options), within_s=READ_S) as api:
        found = await api.get("/api/accounts/huggingface/tasks", **params)
    options.out.show(found, render.dataset_tasks(found))
    return Exit.OK


async def _result(options: Options, task: str, output: Path | None, user: str | None) -> int:
    out, path = options.out, f"/api/tasks/{task}/result"
    path += f"?user={user}" if user else ""
    async with Api(find_target(options), within_s=READ_S) as api:
        if output is None:
            screen = ToScreen(out, terminal=sys.stdout.isatty())
            _check(out, await download(api, path, screen, _unseen))
            screen.finish()
        elif str(output) == STDIN:
            with bar(out, shown=not sys.stdout.isatty()) as moved:
                _check(out, await download(api, path, ToStream(sys.stdout.buffer), moved))
            sys.stdout.flush()
        else:
            await _to_file(api, out, task, path, output)
    return Exit.OK


async def _to_file(api: Api, out: Out, task: str, path: str, output: Path) -> None:
    try:
        with contextlib.ExitStack() as stack:
            sink = _opened(output, stack)
            with bar(out) as moved:
                head = await download(api, path, sink, moved)
            if isinstance(sink, ToFile):
                sink.finish()
    except OSError as error:
        raise CliError(Exit.FAILED, f"{output} can't be written: {error.strerror}.") from None
    _check(out, head)
    if out.as_json:
        out.line(
            {
                "task": task,
                "file": str(output),
                "size": sink.at,
                "sha256": sink.sha256(),
                "media_type": head.media_type,
            }
        )
    else:
        out.note(f"{sink.at} bytes written to {output}")


def _opened(output: Path, stack: contextlib.ExitStack) -> ToFile | ToStream:
    if output.exists() and not output.is_file():
        # A pipe or a device has no place for a part beside it.
        return ToStream(stack.enter_context(output.open("wb")))
    return stack.enter_context(contextlib.closing(ToFile(output)))


def _check(out: Out, head: Head) -> None:
    if not head.sha256:
        out.note("The answer named no digest: the bytes were not checked.")


class ToScreen(ToStream):
    """Prints a result: small JSON laid out when it is complete, anything else as it comes."""

    def __init__(self, out: Out, *, terminal: bool) -> None:
        """`terminal`: people see what is printed."""
        super().__init__(sys.stdout.buffer)
        self._out = out
        self._terminal = terminal
        self._held: bytearray | None = None
        self._text = codecs.getincrementaldecoder("utf-8")("replace")

    def begin(self, head: Head) -> None:
        """See what it is. Raises CliError for what can't be shown."""
        if self._held is not None:
            # Nothing has been printed yet.
            self._restart()
        super().begin(head)
        is_json = "json" in head.media_type
        if not is_json and (self._out.as_json or self._terminal):
            text = f"The result is {plain(head.media_type) or 'of no known type'}, not JSON."
            raise CliError(Exit.USAGE, text, "Write it to a file with -o FILE, or print it: -o -")
        small = head.size is not None and head.size <= SHOWN
        self._held = bytearray() if is_json and small and not self._out.as_json else None

    def write(self, data: bytes) -> None:
        """Print what follows, or keep it."""
        if self._held is not None:
            self._held += data
            self._count(data)
        elif self._terminal:
            self._count(data)
            sys.stdout.buffer.write(self._seen(data))
        else:
            super().write(data)

    def finish(self) -> None:
        """Print the rest."""
        if self._held is not None:
            try:
                value = msgspec.json.decode(self._held)
            except msgspec.DecodeError:
                held = bytes(self._held)
                sys.stdout.buffer.write(self._seen(held) if self._terminal else held)
            else:
                self._out.console.print(rendered(value))
                return
        sys.stdout.buffer.write(b"\n")
        sys.stdout.flush()

    def _seen(self, data: bytes) -> bytes:
        """What people see of it."""
        lines = self._text.decode(data).split("\n")
        return "\n".join(map(visible, lines)).encode()


def _unseen(at: int, size: int | None) -> None:
    pass
