"""The command scan: findings and symbols of a folder, sent once, by two tasks side by side."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple

from cyclopts import Parameter
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn
from rich.text import Text

from contracts.facts import JobDone, JobFailed, Outcome, Record
from contracts.wire import ProgressFrame
from services.cli.answers import AS_USUAL, SarifFile, Shown, check_sarif, show_answer, write_sarif
from services.cli.attach import (
    Accepts,
    Picked,
    accepts,
    attach,
    check,
    name_path,
    pick,
    task_limits,
)
from services.cli.client import UPLOAD_S, Api, Target, find_target
from services.cli.common import NO_OPTIONS, CliError, Exit, Options, Out, run
from services.cli.follow import create, goes_on, task_value
from services.cli.input import STDIN
from services.cli.show import tasks as render
from services.cli.show.findings import LEVELS, worst
from services.cli.show.tasks import plain
from services.cli.stream import FactStream

FINDINGS, SYMBOLS = "security_scan", "code_analysis"
NEVER = "never"
_TYPES = {None: (FINDINGS, SYMBOLS), "findings": (FINDINGS,), "symbols": (SYMBOLS,)}


class ScanWish(NamedTuple):
    """What is to be done with the answers."""

    types: tuple[str, ...]
    fail_on: str
    sarif: Path | None
    shown: Shown


class _Ended(NamedTuple):
    """One of the tasks when it is over."""

    done: JobDone
    view: Mapping[str, Any]
    value: Any


def scan(
    *paths: Annotated[Path, Parameter(name="PATH")],
    fail_on: str = "ERROR",
    only: Literal["findings", "symbols"] | None = None,
    sarif: SarifFile = None,
    hidden: bool = False,
    shown: Shown = AS_USUAL,
    options: Options = NO_OPTIONS,
) -> int:
    """Scan a folder or files for weaknesses and analyse the code, and wait for both.

    Parameters
    ----------
    paths
        Folders and files; the current folder if not given.
    fail_on
        Exit with 1 for a finding as serious as this, or more: ERROR, WARNING, INFO or never.
    only
        Only the findings, or only the analysis.
    sarif
        Write the findings to this file as SARIF; - prints them, and nothing else.
    hidden
        Take hidden files too.
    """
    out = options.out
    wanted = ScanWish(_TYPES[only], _fail_on(fail_on), sarif, shown)
    check_sarif(out, wanted.types[0], sarif)
    target = find_target(options)
    return run(_scan(target, out, pick(paths or (Path(),), hidden=hidden), wanted))


def _fail_on(text: str) -> str:
    for known in (*LEVELS, NEVER):
        if text.casefold() == known.casefold():
            return known
    raise CliError(Exit.USAGE, f"--fail-on is {text}.", "Write ERROR, WARNING, INFO or never.")


async def _scan(target: Target, out: Out, picked: Picked, wanted: ScanWish) -> int:
    async with Api(target, within_s=UPLOAD_S) as api:
        tasks = await submitted(api, out, picked, wanted.types)
        with goes_on(out, *tasks.values()):
            ended = await _ended(api, out, tasks)
    scanned = ended.get(FINDINGS)
    if wanted.sarif is not None and scanned is not None and scanned.value is not None:
        write_sarif(out, scanned.value, wanted.sarif)
    ok = all(one.done.outcome is Outcome.SUCCEEDED for one in ended.values())
    if ok and scanned is not None:
        ok = not too_serious(scanned.value, wanted.fail_on)
    if out.as_json:
        out.line(_document(picked, ended, ok=ok))
    elif str(wanted.sarif) != STDIN:
        _show(out, ended, wanted.shown)
    return Exit.OK if ok else Exit.FAILED


async def submitted(api: Api, out: Out, picked: Picked, types: tuple[str, ...]) -> dict[str, str]:
    """Send the files once, and a task of each type with them; their ids by type."""
    limits = await task_limits(api)
    if not out.as_json:
        out.note(picked.summary())
    check(picked, limits)
    hosts = await api.get("/api/mcps")
    takes = {type_: accepts(hosts, type_, None) for type_ in types}
    # What goes along must be right for all of them.
    common = Accepts(
        archive=all(one.archive for one in takes.values()),
        pointers=all(one.pointers for one in takes.values()),
    )
    named = {type_: name_path({}, picked, takes[type_]) for type_ in types}
    content = await attach(api, out, {}, picked, common, limits)
    tasks: dict[str, str] = {}
    for type_ in types:
        tasks[type_] = await create(api, {"type": type_}, content | named[type_])
        out.note(f"{type_} is task {tasks[type_]}")
    return tasks


async def _ended(api: Api, out: Out, tasks: Mapping[str, str]) -> dict[str, _Ended]:
    with _progress(out, tasks) as show:
        followed = [_follow(api, out, type_, task, show) for type_, task in tasks.items()]
        dones = await asyncio.gather(*followed)
    found = {}
    for (type_, task), done in zip(tasks.items(), dones, strict=True):
        view = await api.get(f"/api/tasks/{task}")
        value = await task_value(api, task) if done.result is not None else None
        found[type_] = _Ended(done, view, value)
    return found


class _Rows:
    """One line for each task on a terminal; elsewhere and with `--json` nothing."""

    def __init__(self, progress: Progress, types: Mapping[str, str]) -> None:
        self._progress = progress
        self._ids = {type_: progress.add_task(type_, total=None, said="waiting") for type_ in types}

    def say(self, type_: str, text: str) -> None:
        """What the task does now."""
        self._progress.update(self._ids[type_], said=plain(text, 60))

    def moved(self, type_: str, frame: ProgressFrame) -> None:
        """How far it is."""
        at, total = frame.progress, frame.total
        said = plain(frame.message, 60)
        self._progress.update(self._ids[type_], completed=at, total=total, said=said)


@contextlib.contextmanager
def _progress(out: Out, tasks: Mapping[str, str]) -> Iterator[_Rows]:
    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}", markup=False),
        BarColumn(bar_width=20),
        TextColumn("{task.fields[said]}", markup=False),
    )
    disable = out.as_json or not out.errors.is_terminal
    with Progress(*columns, console=out.errors, transient=True, disable=disable) as progress:
        yield _Rows(progress, tasks)


async def _follow(api: Api, out: Out, type_: str, task: str, rows: _Rows) -> JobDone:
    async for item in FactStream(api.target, out.note).follow("task", task=task, after="start"):
        if isinstance(item, ProgressFrame):
            rows.moved(type_, item)
        elif isinstance(item, Record):
            if isinstance(item.fact, JobDone):
                rows.say(type_, str(item.fact.outcome))
                if not out.as_json:
                    out.note(f"{type_}: {render.describe(item)}")
                return item.fact
            rows.say(type_, render.describe(item))
            if isinstance(item.fact, JobFailed) and not out.as_json:
                out.note(f"{type_}: {render.describe(item)}")
    raise CliError(Exit.UNREACHABLE, "The stream ended before the tasks did.")


def too_serious(value: Any, fail_on: str) -> bool:
    """Whether a scan has found something that is not to be passed over."""
    found = render.unwrap(value)
    if fail_on == NEVER or not isinstance(found, Mapping):
        return False
    return worst(found) >= LEVELS.index(fail_on)


def _document(picked: Picked, ended: Mapping[str, _Ended], *, ok: bool) -> dict[str, Any]:
    sent = {"files": len(picked.files), "size": picked.size, "left_out": picked.left_out}
    answers = {type_: {"task": one.view, "result": one.value} for type_, one in ended.items()}
    return {"ok": ok, "sent": sent, **answers}


def _show(out: Out, ended: Mapping[str, _Ended], shown: Shown) -> None:
    """The findings last: they are what is looked for."""
    for type_ in (SYMBOLS, FINDINGS):
        if (one := ended.get(type_)) is None:
            continue
        out.console.print(Text(f"\n{type_}", style="bold underline"))
        if one.done.outcome is Outcome.SUCCEEDED and one.value is not None:
            show_answer(out, type_, one.value, shown)
        else:
            out.console.print(render.task_head(one.view), soft_wrap=True)
