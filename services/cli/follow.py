"""Creating a task, following it to its end, showing what it made: shared by several commands."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import msgspec
from rich.text import Text

from contracts.facts import JobDone, Outcome, Record
from contracts.result import INLINE_LIMIT
from contracts.status import Status
from contracts.task import canonical
from contracts.wire import ProgressFrame
from services.cli.answers import AS_USUAL, Shown, answer_tables, show_answer, write_sarif
from services.cli.client import Api, record
from services.cli.common import CliError, Exit, Out
from services.cli.input import STDIN
from services.cli.show import tasks as render

MOST_SHOWN = 32 * 1024 * 1024
"""Bytes of an answer that are brought to be shown beside something else."""


async def create(api: Api, body: dict[str, Any], content: Any) -> str:
    """Send a task, its input as a blob when it is big; the answer is the task's id."""
    data = canonical(content)
    if len(data) > INLINE_LIMIT:
        body = body | {"input_pointer": await api.put_blob(data)}
    else:
        body = body | {"input": content}
    answer = await api.post("/api/tasks", body)
    return str(answer["id"])


async def finish(
    api: Api, out: Out, task: str, shown: Shown = AS_USUAL, sarif: Path | None = None
) -> int:
    """Show a task's facts until it is over, then its result; the answer is the exit code."""
    with goes_on(out, task):
        out.note(f"task {task}")
        done = await follow_task(api, out, task)
        view = await api.get(f"/api/tasks/{task}")
        value = await task_value(api, task) if view.get("result") is not None else None
    succeeded = done.outcome is Outcome.SUCCEEDED
    if sarif is not None and value is not None and succeeded:
        write_sarif(out, value, sarif)
    if out.as_json:
        out.line({"task": view, "result": value})
    elif value is not None and not succeeded:
        # What a tool answers with an error has not the form of its task type's results.
        out.console.print(render.result(value))
    elif value is not None and str(sarif) != STDIN:
        show_answer(out, str(view.get("type", "")), value, shown)
    return outcome_code(done)


@contextlib.contextmanager
def goes_on(out: Out, *tasks: str) -> Iterator[None]:
    """Say on Ctrl-C that only the waiting ends, and how to see the tasks."""
    try:
        yield
    except asyncio.CancelledError:
        what, ids = ("task goes", tasks[0]) if len(tasks) == 1 else ("tasks go", "ID")
        out.note(f"The {what} on: metamcp watch {ids}, or metamcp cancel {ids}")
        for task in tasks if len(tasks) > 1 else ():
            out.note(f"  {task}")
        raise


async def follow_task(api: Api, out: Out, task: str) -> JobDone:
    """Show one task's facts from its start to its end, as lines on stderr for people."""
    before: float | None = None
    waiting = ""
    from services.cli.stream import FactStream

    stream = FactStream(api.target, out.note)
    with contextlib.nullcontext() if out.as_json else out.errors.status("") as spinner:
        async for item in stream.follow("task", task=task, after="start"):
            if isinstance(item, ProgressFrame) and not item.attempt:
                if item.message != waiting and not out.as_json:
                    waiting = item.message
                    out.note(render.plain(waiting, 2000))
            elif isinstance(item, ProgressFrame) and spinner is not None:
                spinner.update(_progress(item))
            elif isinstance(item, Record):
                if not out.as_json:
                    out.errors.print(render.fact_line(item, before, task=False), soft_wrap=True)
                before = item.at
                if isinstance(item.fact, JobDone):
                    return item.fact
    raise CliError(Exit.UNREACHABLE, "The stream ended before the task did.")


async def show_kept(
    api: Api, out: Out, view: Mapping[str, Any], shown: Shown, user: str | None = None
) -> None:
    """Print the answer of a task that is over below what was said of it, if there are tables.

    One that is very big is not brought for that.
    """
    from services.cli.show.answers import RENDERERS

    result, task = view.get("result"), str(view.get("id", ""))
    if isinstance(result, Mapping) and view.get("status") != Status.SUCCEEDED:
        out.note(f"What the tool answered: metamcp result {task}")
        return
    if view.get("type") not in RENDERERS or not isinstance(result, Mapping):
        return
    if int(result.get("size") or 0) > MOST_SHOWN:
        out.note(f"The answer is big: metamcp result {task} -o FILE")
        return
    try:
        value = await task_value(api, task, user)
    except CliError as error:
        out.note(f"The answer can't be shown: {error.message}")
        return
    if (tables := answer_tables(str(view["type"]), value, shown)) is not None:
        out.console.print()
        out.console.print(tables)


def outcome_code(done: JobDone) -> Exit:
    """Exit code of a task's end."""
    return Exit.OK if done.outcome is Outcome.SUCCEEDED else Exit.FAILED


def show_fact(out: Out, item: Record, last: dict[str, float], *, with_task: bool) -> None:
    """Print a fact of a stream; `last` keeps the time of each open task's latest one."""
    if out.as_json:
        out.line(as_event(item))
        return
    task = getattr(item.fact, "task", "")
    out.console.print(render.fact_line(item, last.get(task), task=with_task), soft_wrap=True)
    last[task] = item.at
    if isinstance(item.fact, JobDone):
        last.pop(task, None)


def show_progress(out: Out, frame: ProgressFrame) -> None:
    """Print live progress."""
    if out.as_json:
        out.line({"progress": frame})
    else:
        out.console.print(Text(_progress(frame), style="dim"))


def _progress(frame: ProgressFrame) -> str:
    if not frame.attempt:
        return render.plain(frame.message, 2000)
    of = f" of {frame.total:g}" if frame.total is not None else ""
    return f"attempt {frame.attempt}: {frame.progress:g}{of} {render.plain(frame.message)}"


def as_event(item: Record) -> dict[str, Any]:
    """A fact in the form of the websocket's events."""
    return {"seq": item.seq, "at": item.at, "event": msgspec.Raw(item.data)}


async def events_of(api: Api, task_id: str, user: str | None = None) -> list[Record]:
    """All facts of one task, in order; `user`: whose it is, if it is not one's own."""
    events = await api.get(f"/api/tasks/{task_id}/events", user=user)
    return [record(e["seq"], e["at"], msgspec.json.encode(e["event"])) for e in events]


async def task_value(api: Api, task: str, user: str | None = None) -> Any:
    """A task's result: its JSON, or for other media what it is."""
    data, media = await api.raw(f"/api/tasks/{task}/result", user=user)
    if "json" in media:
        return msgspec.json.decode(data)
    return {"media_type": media, "size": len(data)}
