"""The gateway's tables: tasks for lists, hosts with their health, preferences, public keys.

`apply` is pure and does not depend on how the log is cut into batches.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from operator import attrgetter
from typing import Any

import msgspec

from contracts import facts, subjects
from contracts.asks import question
from contracts.budget import HOUR_S
from contracts.facts import Failure, Record, TaskCreated
from contracts.host import HealthStatus, Host
from contracts.ids import OPERATOR, host_id
from contracts.permitted import Asker, allows
from contracts.status import of_outcome
from services.gateway import figures, lookup, selection
from services.gateway.access.use import FactsRow, OpenRow
from services.gateway.bulk import tables as bulk
from services.gateway.domain import weight
from services.gateway.permit_keys import KeyRows
from services.gateway.rows import HostHealth, HostView, Preference
from services.log.projection import Change, Projection, reads

VERSION = 10
SCHEMA = (
    """CREATE TABLE IF NOT EXISTS tasks (
        user TEXT NOT NULL, id TEXT NOT NULL, type TEXT NOT NULL, priority TEXT NOT NULL,
        status TEXT NOT NULL, created_seq INTEGER NOT NULL, created_at REAL NOT NULL,
        seq INTEGER NOT NULL, updated_at REAL NOT NULL, done_at REAL, attempt INTEGER NOT NULL,
        host TEXT NOT NULL, cancel_requested INTEGER NOT NULL, error TEXT, size INTEGER NOT NULL,
        asked_by TEXT NOT NULL, project TEXT NOT NULL, question TEXT NOT NULL,
        tags TEXT NOT NULL, again TEXT NOT NULL, batch TEXT NOT NULL,
        PRIMARY KEY (user, id)) WITHOUT ROWID""",
    *selection.INDEXES,
    """CREATE INDEX IF NOT EXISTS tasks_batch ON tasks (user, batch, created_seq)
        WHERE batch != ''""",
    """CREATE INDEX IF NOT EXISTS tasks_project_batch ON tasks (project, batch, created_seq)
        WHERE project != '' AND batch != ''""",
    "CREATE INDEX IF NOT EXISTS tasks_open ON tasks (user, id, size) WHERE done_at IS NULL",
    """CREATE INDEX IF NOT EXISTS tasks_project_time ON tasks (created_at, project)
        WHERE project != ''""",
    """CREATE INDEX IF NOT EXISTS tasks_asked ON tasks (created_seq)
        WHERE status = 'input_required'""",
    """CREATE TABLE IF NOT EXISTS hosts (
        id TEXT PRIMARY KEY, owner TEXT, seq INTEGER NOT NULL, spec TEXT NOT NULL,
        status TEXT NOT NULL, reason TEXT NOT NULL, latency_ms REAL NOT NULL, checked_at REAL,
        said TEXT NOT NULL)""",
    """CREATE TABLE IF NOT EXISTS preferences (
        user TEXT NOT NULL, host TEXT NOT NULL, weight REAL NOT NULL, since REAL NOT NULL,
        PRIMARY KEY (user, host)) WITHOUT ROWID""",
    """CREATE TABLE IF NOT EXISTS keys (
        kid TEXT PRIMARY KEY, seq INTEGER NOT NULL, jwk TEXT NOT NULL,
        replaced_at REAL, expires REAL NOT NULL)""",
    """CREATE TABLE IF NOT EXISTS spent (
        hour INTEGER NOT NULL, user TEXT NOT NULL, count INTEGER NOT NULL, tasks INTEGER NOT NULL,
        PRIMARY KEY (hour, user)) WITHOUT ROWID""",
    "CREATE TABLE IF NOT EXISTS clock (only INTEGER PRIMARY KEY CHECK (only = 1), at REAL)",
    *bulk.SCHEMA,
    *lookup.SCHEMA,
    *figures.SCHEMA,
)

_INSERT_TASK = f"INSERT OR REPLACE INTO tasks VALUES ({', '.join('?' * 21)})"
_CHANGE_TASK = """UPDATE tasks SET seq = ?, updated_at = ?,
    status = coalesce(?, status), attempt = coalesce(?, attempt), host = coalesce(?, host),
    cancel_requested = coalesce(?, cancel_requested), done_at = coalesce(?, done_at),
    error = coalesce(?, error), question = coalesce(?, question),
    tags = coalesce(?, tags) WHERE user = ? AND id = ?"""
_INSERT_HOST = """INSERT INTO hosts VALUES (?, ?, ?, ?, 'unknown', '', 0, NULL, '')
    ON CONFLICT (id) DO UPDATE
    SET owner = excluded.owner, seq = excluded.seq, spec = excluded.spec"""
_CHANGE_HEALTH = """UPDATE hosts SET status = ?, reason = ?, latency_ms = ?, checked_at = ?,
    said = ? WHERE id = ?"""
_DELETE_HOST = "DELETE FROM hosts WHERE id = ?"
_PUT_PREFERENCE = "INSERT OR REPLACE INTO preferences VALUES (?, ?, ?, ?)"
_MOVE_PREFERENCE = "UPDATE OR REPLACE preferences SET host = ? WHERE user = ? AND host = ?"
_DELETE_PREFERENCE = "DELETE FROM preferences WHERE user = ? AND host = ?"
_SPEND = """INSERT INTO spent VALUES (?, ?, ?, ?) ON CONFLICT (hour, user)
    DO UPDATE SET count = count + excluded.count, tasks = tasks + excluded.tasks"""
_FORGET_SPENT = "DELETE FROM spent WHERE hour < (SELECT max(hour) FROM spent) - 24"
_SET_CLOCK = "INSERT OR REPLACE INTO clock VALUES (1, ?)"


class _Task(msgspec.Struct, gc=False):
    """What one batch says about one task; None: nothing."""

    user: str
    id: str
    seq: int = 0
    updated_at: float = 0.0
    type: str | None = None
    """It and the next three only of a task that was created in this batch."""
    priority: str | None = None
    created_seq: int | None = None
    created_at: float | None = None
    status: str | None = None
    attempt: int | None = None
    host: str | None = None
    cancel_requested: int | None = None
    done_at: float | None = None
    error: str | None = None
    size: int = 0
    """What it counts among the bytes of open tasks."""
    asked_by: str = ""
    project: str = ""
    question: str | None = None
    """What it asks, as JSON; empty once that is answered."""
    tags: str | None = None
    """As JSON; empty: it has none."""
    again: str = ""
    batch: str = ""


def apply(records: list[Record]) -> list[Change]:
    """Turn facts into rows; facts of one task in one batch become one row."""
    tasks: dict[tuple[str, str], _Task] = {}
    rest: list[Change] = []
    keys = KeyRows()
    spent, opened = Counter[tuple[int, str]](), Counter[tuple[int, str]]()
    last: Record | None = None
    """The last of the facts that change a row."""
    for record in records:
        fact: Any = record.fact
        if (tell := _TELL.get(type(fact))) is not None:
            tell(_touched(tasks, fact.user, fact.task, record), record, fact)
            if tell is _signed:
                keys.signed(fact)
            elif tell in _SPENT:
                spent[int(record.at // HOUR_S), fact.user] += 1
                opened[int(record.at // HOUR_S), fact.user] += tell is _created
            last = record
            continue
        match record.fact:
            case facts.LogRouter() | facts.LogSealed():
                continue
            case facts.McpRegistered() | facts.McpRemoved() | facts.McpHealth() as fact:
                rest.append(_small(record, fact))
                if isinstance(fact, facts.McpRegistered) and fact.was and fact.spec.owner:
                    row = (fact.host, fact.spec.owner, fact.was)
                    rest.append(Change(_MOVE_PREFERENCE, [row]))
            case facts.McpPreferred() as fact:
                rest.append(_preference(record, fact))
                spent[int(record.at // HOUR_S), fact.user] += 1
            case facts.LogKey() as fact:
                keys.announced(record, fact)
            case facts.Unknown():
                what = subjects.parse(record.subject)
                if what.task:
                    task = _touched(tasks, what.user, what.task, record)
                    task.done_at = record.at if what.type == "job.done" else task.done_at
                elif what.type in ("mcp.registered", "mcp.removed"):
                    rest.append(Change(_DELETE_HOST, [(what.host,)]))
        last = record
    created = [_row(task) for task in tasks.values() if task.type is not None]
    changed = [_CHANGED(task) for task in tasks.values() if task.type is None]
    rest += [*keys.changes(), Change(_SET_CLOCK, [(last.at,)] if last else [])]
    if spent:
        rest.append(Change(_SPEND, [(*key, n, opened[key]) for key, n in spent.items()]))
        rest.append(Change(_FORGET_SPENT, [()]))
    for more in (lookup, bulk, figures):
        rest += more.changes(records)
    return [Change(_INSERT_TASK, created), Change(_CHANGE_TASK, changed), *rest]


def _touched(tasks: dict[tuple[str, str], _Task], user: str, id_: str, record: Record) -> _Task:
    """The task a fact is about, which is the last one about it so far."""
    task = tasks.get((user, id_))
    if task is None:
        task = tasks[user, id_] = _Task(user, id_)
    task.seq, task.updated_at = record.seq, record.at
    return task


def _created(task: _Task, record: Record, fact: TaskCreated) -> None:
    spec = fact.spec
    task.type, task.priority = spec.type, str(spec.priority)
    task.created_seq, task.created_at = record.seq, record.at
    task.status, task.size = "pending", weight(spec, len(record.data))
    task.asked_by, task.project = fact.asked_by, fact.project
    task.tags, task.again, task.batch = _tags(spec.tags), spec.again or "", spec.batch or ""


def _cancelled(task: _Task, _: Record, __: facts.TaskCancelled) -> None:
    task.cancel_requested = 1


def _tagged(task: _Task, _: Record, fact: facts.TaskTagged) -> None:
    task.tags = _tags(fact.tags)


def _routed(task: _Task, _: Record, fact: facts.TaskRouted) -> None:
    task.status, task.attempt, task.host = "queued", fact.attempt, fact.route.host


def _signed(task: _Task, _: Record, fact: facts.JobSigned) -> None:
    task.status, task.attempt, task.host = "running", fact.attempt, fact.host


def _failed(task: _Task, _: Record, fact: facts.JobFailed) -> None:
    task.status, task.error = "queued", _error(Failure(fact.kind, fact.message))


def _done(task: _Task, record: Record, fact: facts.JobDone) -> None:
    task.status, task.done_at = _STATUS[fact.outcome], record.at
    task.error = _error(fact.error)
    if fact.attempt:
        task.attempt = fact.attempt
    if host := fact.host or (fact.earlier.host if fact.earlier else ""):
        task.host = host


def _asked(task: _Task, record: Record, fact: facts.TaskAsked) -> None:
    task.status = "input_required"
    task.question = msgspec.json.encode(question(fact, record.at)).decode()


def _answered(task: _Task, _: Record, __: facts.TaskAnswered) -> None:
    task.status, task.question = "queued", ""


def _no_more(_: _Task, __: Record, ___: facts.ResultStored | facts.ResultDeleted) -> None:
    """There is a new fact: that is all."""


_TELL: dict[type, Callable[[_Task, Record, Any], None]] = {
    TaskCreated: _created,
    facts.TaskCancelled: _cancelled,
    facts.TaskRouted: _routed,
    facts.TaskAsked: _asked,
    facts.TaskAnswered: _answered,
    facts.TaskTagged: _tagged,
    facts.JobSigned: _signed,
    facts.JobFailed: _failed,
    facts.JobDone: _done,
    facts.ResultStored: _no_more,
    facts.ResultDeleted: _no_more,
}
"""What each fact of a task says about it."""
_SPENT = (_created, _cancelled, _tagged)
"""Facts that users write."""
_STATUS = {outcome: str(of_outcome(outcome)) for outcome in facts.Outcome}


def _tags(tags: dict[str, str]) -> str:
    return msgspec.json.encode(tags).decode() if tags else ""


def _error(failure: Failure | None) -> str:
    """The error as JSON; empty text where there is none, so that it replaces an earlier one."""
    return msgspec.json.encode(failure).decode() if failure else ""


_CHANGED = attrgetter(
    *("seq", "updated_at", "status", "attempt", "host", "cancel_requested", "done_at", "error"),
    *("question", "tags", "user", "id"),
)
"""The row for `_CHANGE_TASK`."""


def _row(task: _Task) -> tuple[Any, ...]:
    """The row for `_INSERT_TASK`."""
    return (
        *(task.user, task.id, task.type, task.priority, task.status),
        *(task.created_seq, task.created_at, task.seq, task.updated_at, task.done_at),
        *(task.attempt or 0, task.host or "", task.cancel_requested or 0, task.error or ""),
        *(task.size, task.asked_by, task.project, task.question or ""),
        *(task.tags or "", task.again, task.batch),
    )


def _small(record: Record, fact: facts.HostFact) -> Change:
    match fact:
        case facts.McpRegistered():
            spec = msgspec.json.encode(fact.spec).decode()
            return Change(_INSERT_HOST, [(fact.host, fact.spec.owner, record.seq, spec)])
        case facts.McpRemoved():
            return Change(_DELETE_HOST, [(fact.host,)])
        case facts.McpHealth():
            how = fact.status.value, fact.reason, fact.latency_ms, record.at, fact.said
            return Change(_CHANGE_HEALTH, [(*how, fact.host)])


def _preference(record: Record, fact: facts.McpPreferred) -> Change:
    if fact.weight is None:
        return Change(_DELETE_PREFERENCE, [(fact.user, fact.host)])
    return Change(_PUT_PREFERENCE, [(fact.user, fact.host, fact.weight, record.at)])


@reads
async def list_hosts(projection: Projection, user: str, *, every: bool) -> list[HostView]:
    """Return the hosts this user may use, the operator's first; with `every`, other users' too."""
    rows = await projection.query(
        "SELECT spec, seq, status, reason, latency_ms, checked_at, said FROM hosts"
        " WHERE owner IS NULL OR owner = ? OR ? ORDER BY instr(id, '/') > 0, id",
        (user, every),
    )
    return [_host_view(row) for row in rows]


def _host_view(row: tuple[Any, ...]) -> HostView:
    host = msgspec.json.decode(row[0], type=Host)
    health = HostHealth(HealthStatus(row[2]), *row[3:])
    return HostView(**msgspec.structs.asdict(host), seq=row[1], health=health)


@reads
async def list_preferences(projection: Projection, user: str) -> list[Preference]:
    """Return what this user has said about hosts, the operator's first."""
    rows = await projection.query(
        "SELECT host, weight, since FROM preferences WHERE user = ?"
        " ORDER BY instr(host, '/') > 0, host",
        (user,),
    )
    return [Preference(*row) for row in rows]


@reads
async def meant(projection: Projection, who: Asker, host: str) -> tuple[str, bool]:
    """The host that somebody means, and whether it exists and is for them.

    A bare name is the operator's host, and else their own: one that is there, or one that they have
    said something about.
    """
    ids = (host,) if "/" in host else (host, host_id(who.user, host))
    for id_ in ids:
        sql = "SELECT spec FROM hosts WHERE id = ? AND (owner IS NULL OR owner = ?)"
        found = await projection.query(sql, (id_, who.user))
        if found and allows(msgspec.json.decode(found[0][0], type=Host).access, who):
            return id_, True
    for id_ in ids:
        sql = "SELECT 1 FROM preferences WHERE host = ? AND user = ?"
        if await projection.query(sql, (id_, who.user)):
            return id_, False
    return host, False


@reads
async def owners(projection: Projection) -> dict[str, str | None]:
    """Return whose each host is; of one that is for some users alone, nobody's: `OPERATOR`."""
    sql = "SELECT id, iif(json_extract(spec, '$.access') IS NULL, owner, ?) FROM hosts"
    return dict(await projection.query(sql, (OPERATOR,)))


@reads
async def open_tasks(projection: Projection) -> list[OpenRow]:
    """Return the tasks that are not over."""
    rows = await projection.query("SELECT user, id, size FROM tasks WHERE done_at IS NULL")
    return [OpenRow(*row) for row in rows]


@reads
async def spent(projection: Projection) -> list[FactsRow]:
    """Return how many facts each user has stored in the newest 25 hours of log time."""
    rows = await projection.query("SELECT user, hour, count, tasks FROM spent")
    return [FactsRow(*row) for row in rows]
