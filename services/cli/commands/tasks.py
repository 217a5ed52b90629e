"""Commands about tasks: submit, watch, task, cancel."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, NamedTuple

from cyclopts import Parameter
from rich.console import Group
from rich.text import Text

from contracts.facts import JobDone, Record
from contracts.subjects import parse
from contracts.task import Priority
from contracts.wire import ProgressFrame
from services.cli.answers import AS_USUAL, SarifFile, Shown, check_sarif
from services.cli.client import REQUEST_S, UPLOAD_S, Api, Target, find_target
from services.cli.commands.tagging import tags_of
from services.cli.common import NO_OPTIONS, CliError, Exit, Options, Out, run
from services.cli.follow import (
    as_event,
    create,
    events_of,
    finish,
    outcome_code,
    show_fact,
    show_kept,
    show_progress,
)
from services.cli.input import capability, check_ids, check_seconds, check_types, read_input
from services.cli.projects import FETCH_S, find_project, repository
from services.cli.show import tasks as render
from services.cli.show import why as reasons

if TYPE_CHECKING:
    from services.cli.attach import Picked


@Parameter(name="*")
@dataclass(frozen=True)
class Wish:
    """How and where the task is to run."""

    heavy: bool = False
    """Heavy work: only on the user's own Space or a host that accepts it."""
    priority: str = "normal"
    """Order of dispatch: high, normal, low, or a whole number (8 and more, or 2: high; -1: low)."""
    host: str | None = None
    """Only this host may run it."""
    timeout: float | None = None
    """Seconds one attempt may take."""
    deadline: float | None = None
    """Seconds the whole task may take, waiting included."""
    delay: float | None = None
    """Seconds to wait before it may start."""
    attempts: int | None = None
    """Attempts at most."""
    id: str | None = None
    """The task's id; sending the same task twice under one id creates it once."""
    require: tuple[str, ...] = ()
    """Capability a host must have: NAME[@VERSION][:parameter,parameter]."""
    prefer: tuple[str, ...] = ()
    """Capability that counts for a host."""
    project: str | None = None
    """The project it belongs to, by its name or id: its members see it."""
    fresh: bool = False
    """Ask for work, also where an earlier result could be given again."""
    tag: tuple[str, ...] = ()
    """A tag, KEY=VALUE, by which lists can be filtered; can be repeated."""

    def request(self, task_type: str) -> dict[str, Any]:
        """The task as the API takes it, without its input. Raises CliError."""
        check_ids(task=self.id, host=self.host)
        check_seconds(timeout=self.timeout, deadline=self.deadline, delay=self.delay)
        wanted: dict[str, Any] = {
            "type": task_type,
            "id": self.id,
            "priority": _priority(self.priority),
            "is_heavy": self.heavy or None,
            "host": self.host,
            "timeout_s": self.timeout,
            "deadline_s": self.deadline,
            "delay_s": self.delay,
            "max_attempts": self.attempts,
            "fresh": self.fresh or None,
            "tags": tags_of(self.tag) or None,
            "required_capabilities": [capability(text) for text in self.require] or None,
            "preferred_capabilities": [capability(text) for text in self.prefer] or None,
        }
        return {name: value for name, value in wanted.items() if value is not None}


def _priority(text: str) -> str | int | None:
    """The priority as the API takes it. Raises CliError."""
    if re.fullmatch(r"[+-]?\d{1,4}", text):
        return int(text)
    if text not in set(Priority):
        raise CliError(
            Exit.USAGE,
            f"{text!r} is no priority.",
            "Write --priority high, normal, low, or a whole number such as 0 or 9.",
        )
    return None if text == Priority.NORMAL else text


NO_WISH = Wish()


@Parameter(name="*")
@dataclass(frozen=True)
class Brought:
    """Files that go along."""

    file: tuple[Path, ...] = ()
    """Send this file, or the files of this folder, along; can be repeated."""
    hidden: bool = False
    """Of a folder also the hidden files."""
    repo: str | None = None
    """A repository at GitHub in place of files from here: OWNER/NAME[@BRANCH, TAG or COMMIT]."""
    path: tuple[str, ...] = ()
    """Of that repository only this folder or file; can be repeated."""

    def into(self, content: dict[str, Any]) -> dict[str, Any]:
        """The input with what the gateway is to fetch. Raises CliError."""
        if self.repo is None:
            if self.path:
                example = "--repo OWNER/NAME --path DIR"
                raise CliError(Exit.USAGE, "--path is of a repository.", example)
            return content
        if self.file or content.keys() & {"archive", "files_from"}:
            text = "Files come from a repository or from elsewhere, not from both."
            raise CliError(Exit.USAGE, text)
        return content | {"files_from": repository(self.repo, self.path)}


NOTHING = Brought()


def submit(
    type_: Annotated[str | None, Parameter(name="TYPE")] = None,
    input_: Annotated[str | None, Parameter(name="INPUT", allow_leading_hyphen=True)] = None,
    /,
    *,
    brought: Brought = NOTHING,
    batch: Annotated[Path | None, Parameter(allow_leading_hyphen=True)] = None,
    wait: bool = False,
    sarif: SarifFile = None,
    shown: Shown = AS_USUAL,
    wish: Wish = NO_WISH,
    options: Options = NO_OPTIONS,
) -> int:
    """Create a task; with --wait, show it until it is over and print its result.

    Parameters
    ----------
    type_
        Task type, see `metamcp types`.
    input_
        The task's input: a JSON object, a file with one, or - for standard input.
    batch
        In place of TYPE and INPUT: a file with a task on each line, or -; --id is the batch's.
    wait
        Wait for the outcome; the exit code is 0 only for success.
    sarif
        With --wait, of a security_scan: write the findings to this file as SARIF; - prints them.
    """
    if batch is not None or type_ is None:
        from services.cli.commands.batch import SentBatch, send

        return send(type_, batch, SentBatch(wish.id, wish.project, wait, wish.tag), options)
    body = wish.request(type_)
    content = read_input(input_)
    out = options.out
    check_sarif(out, type_, sarif)
    if sarif is not None and not wait:
        raise CliError(Exit.USAGE, "--sarif needs --wait.", "Or later: metamcp results ID --sarif")
    target = find_target(options)
    content = brought.into(content)
    picked = None
    if brought.file:
        # What looks at folders is loaded for them only.
        from services.cli import attach

        picked = attach.pick(brought.file, hidden=brought.hidden)
        attach.check_names(content, picked)
    ending = Ending(wait, sarif, shown, UPLOAD_S if picked else REQUEST_S, wish.project)
    return run(_submit(target, out, body, content, picked, ending))


class Ending(NamedTuple):
    """How a task is submitted, and what is done then."""

    wait: bool
    sarif: Path | None
    shown: Shown
    within_s: float
    project: str | None


async def _submit(
    target: Target,
    out: Out,
    body: dict[str, Any],
    content: dict[str, Any],
    picked: Picked | None,
    ending: Ending,
) -> int:
    within_s = FETCH_S if "files_from" in content else ending.within_s
    async with Api(target, within_s=within_s) as api:
        if ending.project is not None:
            body["project"] = await find_project(api, ending.project)
        if picked is not None:
            from services.cli.attach import with_files

            content = await with_files(api, out, content, picked, body)
        task = await create(api, body, content)
        if not ending.wait:
            out.show({"task": task}, Text(task))
            return Exit.OK
        return await finish(api, out, task, ending.shown, ending.sarif)


def watch(
    task: Annotated[str | None, Parameter(name="TASK")] = None,
    /,
    *,
    from_start: bool = False,
    hosts: bool = False,
    everything: Annotated[bool, Parameter(name="--all")] = False,
    type_: Annotated[tuple[str, ...], Parameter(name="--type")] = (),
    options: Options = NO_OPTIONS,
) -> int:
    """Show facts as they happen: of one task until it is over, or of all your tasks until Ctrl-C.

    Parameters
    ----------
    task
        Only this task: its history, then live. The exit code is that of its outcome.
    from_start
        Show what has happened so far before what happens now.
    hosts
        Facts of hosts, not of tasks.
    everything
        Every fact in the log (auditors only).
    type_
        Only facts of this type, e.g. job.done; can be repeated.
    """
    check_ids(task=task)
    check_types(type_)
    scope: Literal["tasks", "task", "hosts", "all"] = "tasks"
    if task is not None:
        scope = "task"
    elif everything:
        scope = "all"
    elif hosts:
        scope = "hosts"
    history = from_start or task is not None
    # The end of one task must be seen even if it is not shown.
    types = () if task else type_
    return run(_watch(options, scope, task, types, shown=type_, history=history))


async def _watch(
    options: Options,
    scope: Literal["tasks", "task", "hosts", "all"],
    task: str | None,
    types: Sequence[str],
    *,
    shown: Sequence[str],
    history: bool,
) -> int:
    out = options.out
    from services.cli.stream import FactStream

    stream = FactStream(find_target(options), out.note)
    after: Literal["start"] | None = "start" if history else None
    last: dict[str, float] = {}
    async for item in stream.follow(scope, task=task, types=types, after=after):
        if isinstance(item, ProgressFrame):
            show_progress(out, item)
        elif isinstance(item, Record):
            kind = parse(item.subject).type
            if not shown or kind in shown:
                show_fact(out, item, last, with_task=task is None)
            if task is not None and isinstance(item.fact, JobDone):
                return outcome_code(item.fact)
    return Exit.UNREACHABLE


def task(
    id_: Annotated[str, Parameter(name="ID")],
    /,
    *,
    why: bool = False,
    user: str | None = None,
    shown: Shown = AS_USUAL,
    options: Options = NO_OPTIONS,
) -> int:
    """Show one task: its status, every fact with the time between them, and what it answered.

    Parameters
    ----------
    id_
        The task's id.
    why
        Also show, for each route, the candidates, their scores and which filter removed whom.
    user
        Whose task it is, in a project that you are in.
    """
    check_ids(task=id_, user=user)
    return run(_task(options, id_, user, shown, why=why))


async def _task(
    options: Options, task_id: str, user: str | None, shown: Shown, *, why: bool
) -> int:
    out = options.out
    async with Api(find_target(options)) as api:
        view = await api.get(f"/api/tasks/{task_id}", user=user)
        events = await events_of(api, task_id, user)
        if out.as_json:
            out.line({"task": view, "events": [as_event(item) for item in events]})
            return Exit.OK
        out.console.print(Group(render.task_head(view), Text(), render.timeline(events)))
        if why:
            out.console.print(reasons.why(events, str(view.get("waiting", ""))))
        await show_kept(api, out, view, shown, user)
    return Exit.OK


def cancel(
    id_: Annotated[str, Parameter(name="ID")],
    /,
    *more: Annotated[str, Parameter(name="MORE")],
    options: Options = NO_OPTIONS,
) -> int:
    """Ask to cancel a task; it is over when its job.done says so.

    Parameters
    ----------
    id_
        The task's id.
    more
        More tasks.
    """
    check_ids(task=id_)
    if more:
        from services.cli.commands.operations import ask

        return ask(options, {"action": "cancel"}, (id_, *more))
    return run(_cancel(options, id_))


async def _cancel(options: Options, task_id: str) -> int:
    async with Api(find_target(options)) as api:
        answer = await api.post(f"/api/tasks/{task_id}/cancel")
    options.out.show(answer, Text(f"cancel was asked for: {task_id}"))
    return Exit.OK
