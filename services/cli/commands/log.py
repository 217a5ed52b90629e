"""Commands that read the log itself, with the auditor's credentials: replay, audit."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from contracts.facts import Record, TaskRouted
from contracts.subjects import HOSTS, LOG_SUBJECTS, of_task, of_user, parse
from services.audit import checks as audits
from services.audit.checks import Check, Recompute, Recomputed
from services.audit.given_again import sources
from services.cli.common import NO_OPTIONS, CliError, Exit, Options, environ, run
from services.cli.follow import as_event
from services.cli.input import check_ids, check_types, moment
from services.cli.show import tasks as render
from services.log.jetstream import NatsLog
from services.log.port import Log
from services.router.recompute import CannotRecompute, recompute
from services.router.settings import Settings as RouterSettings
from services.up import up
from services.up.nats_config import AUDITOR

PREFERENCES = "mcp.preferred.>"
MOST_FACTS = 1000
"""Of one task; more attempts than this allows can't be asked for."""

Nats = Annotated[str | None, Parameter(name="--nats")]


@contextlib.asynccontextmanager
async def open_log(options: Options, nats: str | None = None) -> AsyncIterator[NatsLog]:
    """Open the log of the data folder, or of another NATS server, for reading.

    Raises what connecting and `NatsLog.open` raise.
    """
    url, folder = where(options, nats)
    tls = options.common.nats_tls
    bus = await up.connect(url, AUDITOR, folder, name="metamcp-cli", tls=tls)
    try:
        async with await NatsLog.open(bus) as log:
            yield log
    finally:
        await bus.close()


def where(options: Options, nats: str | None = None) -> tuple[str, Path | None]:
    """The NATS server and the folder of credentials: named, or those that `metamcp up` uses."""
    state = up.read_state(options.folder)
    folder = options.folder / "credentials"
    if state is not None and state.credentials:
        folder = Path(state.credentials)
    named = nats or ("METAMCP_NATS_URL" in environ() and options.common.nats_url)
    if not named and state is None:
        raise CliError(
            Exit.UNREACHABLE,
            f"Nothing runs in the data folder {options.folder}.",
            "Start it with `metamcp up`, or name the NATS server with --nats.",
        )
    url = named or (state.nats_url if state else "")
    return url, folder if (folder / f"{AUDITOR}.json").exists() else None


def replay(
    *,
    user: str | None = None,
    task: str | None = None,
    type_: Annotated[tuple[str, ...], Parameter(name="--type")] = (),
    since: str | None = None,
    until: str | None = None,
    nats: Nats = None,
    options: Options = NO_OPTIONS,
) -> int:
    """Print facts from the log itself, oldest first, as JSON lines.

    Parameters
    ----------
    user
        Only this user's tasks.
    task
        Only this task.
    type_
        Only facts of this type, e.g. job.done; can be repeated.
    since
        Only facts from this time on: 2026-01-31, 2026-01-31T12:00, or an age such as 30m or 2h.
    until
        Only facts before this time.
    nats
        URL of the NATS server, if it isn't the one of the data folder.
    """
    first, last = moment(since), moment(until)
    filters = select(user, task, type_)
    return run(_replay(options, nats, filters, type_, (first, last)))


async def _replay(
    options: Options,
    nats: str | None,
    filters: Sequence[str],
    types: Sequence[str],
    span: tuple[float | None, float | None],
) -> int:
    out = options.out
    since, until = span
    async with open_log(options, nats) as log:
        head = await log.head()
        after = 0 if since is None else await first_since(log, since, head) - 1
        async for batch in log.scan(filters, after, head):
            for record in batch.records:
                if until is not None and record.at >= until:
                    return Exit.OK
                # The log's clock may step back a little, so the place found is only near.
                early = since is not None and record.at < since
                if not early and (not types or parse(record.subject).type in types):
                    out.line(as_event(record))
    return Exit.OK


def select(user: str | None, task: str | None, types: Sequence[str]) -> tuple[str, ...]:
    """Filters for what is asked for; types are looked at again, where these are too wide."""
    check_ids(user=user, task=task)
    check_types(types)
    if task is not None:
        return of_task(user or "*", task)
    if user is not None:
        return of_user(user)
    if types:
        return tuple(s for s in LOG_SUBJECTS if any(s.startswith(f"{t}.") for t in types))
    return (">",)


async def first_since(log: Log, since: float, head: int) -> int:
    """The first sequence at or after a log time, by halving; the log has no holes."""
    low, high = 1, head + 1
    while low < high:
        middle = (low + high) // 2
        record = await log.at(middle)
        if record is not None and record.at < since:
            low = middle + 1
        else:
            high = middle
    return low


def audit(
    task: Annotated[str, Parameter(name="TASK")],
    /,
    *,
    user: str | None = None,
    nats: Nats = None,
    options: Options = NO_OPTIONS,
) -> int:
    """Check what the log says about a task; the exit code is 0 only if every check holds.

    Parameters
    ----------
    task
        The task's id.
    user
        Whose task it is, if two users have one of this id.
    nats
        URL of the NATS server, if it isn't the one of the data folder.
    """
    check_ids(task=task, user=user)
    return run(_audit(options, task, user, nats))


async def _audit(options: Options, task: str, user: str | None, nats: str | None) -> int:
    async with open_log(options, nats) as log:
        checks = await audit_task(log, task, user)
    ok = audits.passed(checks)
    options.out.show({"task": task, "ok": ok, "checks": checks}, render.checks(checks))
    return Exit.OK if ok else Exit.FAILED


async def audit_task(log: Log, task: str, user: str | None = None) -> list[Check]:
    """Read what an audit needs and do it. Raises CliError if there is no such task."""
    records = await log.read(of_task(user or "*", task), limit=MOST_FACTS)
    owners = sorted({parse(record.subject).user for record in records})
    if len(owners) != 1:
        raise _not_one(task, owners)
    keys = await log.read_last(audits.key_subjects(records), reach=records[-1].seq)
    routes = [r.fact.route for r in records if isinstance(r.fact, TaskRouted)]
    given = sources(records)
    basis = max([route.basis for route in routes] + [one.host_seq for one in given], default=0)
    filters = (*of_user(owners[0]), *HOSTS, PREFERENCES)
    past = [record async for batch in log.scan(filters, 0, basis) for record in batch.records]
    more = [fact for one in given for fact in await _facts_at(log, one.seq)]
    return audits.audit(records, keys, recomputer(past), [*past, *more])


async def _facts_at(log: Log, seq: int) -> list[Record]:
    """All facts of the task of which one stands there; none if none does."""
    record = await log.at(seq)
    what = parse(record.subject) if record else None
    if what is None or not what.task:
        return []
    return await log.read(of_task(what.user, what.task), limit=MOST_FACTS)


def recomputer(past: Sequence[Record]) -> Recompute:
    """The router's own function over these facts."""

    def again(record: Record) -> Recomputed:
        assert isinstance(record.fact, TaskRouted)
        try:
            found = recompute(past, record.fact, RouterSettings())
        except CannotRecompute as error:
            return Recomputed(None, problem=str(error))
        return Recomputed(found.host, found.score, found.candidates)

    return again


def _not_one(task: str, owners: Sequence[str]) -> CliError:
    if not owners:
        return CliError(Exit.REFUSED, f"The log has no task {task}.", "See `metamcp tasks`.")
    return CliError(
        Exit.USAGE, f"{len(owners)} users have a task {task}.", f"Add --user: {', '.join(owners)}"
    )
