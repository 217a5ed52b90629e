"""What the router knows: the fold of the log, in which whatever is over is forgotten.

Pure. The state is changed in place (one actor owns it), yet depends only on the records folded.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Literal

import msgspec

from contracts import subjects
from contracts.facts import (
    FailureKind,
    JobDone,
    JobFailed,
    JobSigned,
    LogRouter,
    McpHealth,
    McpPreferred,
    McpRegistered,
    McpRemoved,
    Outcome,
    Record,
    TaskCancelled,
    TaskCreated,
    TaskRouted,
    Unknown,
)
from contracts.host import Placement
from contracts.task import Priority, TaskSpec, input_sha256
from services.router.select import HostEntry, Need

HISTORY_LIMIT = 64
"""Attempts remembered per user and host; then both counts are halved, so that old news fades."""
HOSTS_FAULT = frozenset(
    {
        FailureKind.UNREACHABLE,
        FailureKind.TOOL,
        FailureKind.PROTOCOL,
        FailureKind.TIMEOUT,
        FailureKind.CUT,
    }
)
SICK = frozenset(
    {
        FailureKind.HOST_GONE,
        FailureKind.UNREACHABLE,
        FailureKind.CUT,
        FailureKind.TIMEOUT,
        FailureKind.LOST,
    }
)
"""After these another host is tried first."""
_MESSAGE = 1000


class Phase(StrEnum):
    """Who has to act on an open task: the router, any executor, or the one that claimed it."""

    WAITING = "waiting"
    ROUTED = "routed"
    RUNNING = "running"


class OpenTask(msgspec.Struct, omit_defaults=True):
    """A task that is not over; times are log time, seconds since the epoch."""

    user: str
    task: str
    seq: int
    at: float
    digest: str
    need: Need
    priority: Priority = Priority.NORMAL
    timeout_s: float | None = None
    deadline_s: float | None = None
    delay_s: float | None = None
    max_attempts: int | None = None
    on_unknown: Literal["fail", "retry"] = "fail"
    retry_tool_errors: bool = False
    invalid: str = ""
    trace: str = ""
    cancelled: bool = False
    phase: Phase = Phase.WAITING
    attempt: int = 0
    host: str = ""
    head: int = 0
    """Sequence of its last `job.*` fact."""
    head_at: float = 0.0
    executor: str = ""
    incarnation: str = ""
    permit_until: float = 0.0
    failure: JobFailed | None = None
    """Of its latest attempt, while nothing newer has happened."""
    excluded: tuple[str, ...] = ()
    falls_back: bool = False
    """Should the running attempt fail, a host beside the orchestrator may take the heavy task."""
    fallback: bool = False
    unread: bool = False
    """Its latest fact can't be read: nothing is decided about it until one tells where it is."""


class Track(msgspec.Struct):
    """How a host has done for a user."""

    good: int = 0
    tried: int = 0

    def count(self, success: bool) -> None:
        """Add one attempt; at the limit both counts are halved."""
        self.tried += 1
        self.good += success
        if self.tried >= HISTORY_LIMIT:
            self.tried //= 2
            self.good //= 2


class Changes(msgspec.Struct):
    """Keys whose value may have changed since the last `State.take_changes`."""

    tasks: set[str] = msgspec.field(default_factory=set)
    hosts: set[str] = msgspec.field(default_factory=set)
    tracks: set[tuple[str, str]] = msgspec.field(default_factory=set)
    tastes: set[tuple[str, str]] = msgspec.field(default_factory=set)
    meta: bool = False
    freed_hosts: set[str] = msgspec.field(default_factory=set)
    freed_users: set[str] = msgspec.field(default_factory=set)
    owners: set[str] = msgspec.field(default_factory=set)
    """Users who have gained or lost a host of their own."""

    def add(self, later: Changes) -> None:
        """Take in the keys of later changes."""
        self.tasks |= later.tasks
        self.hosts |= later.hosts
        self.tracks |= later.tracks
        self.tastes |= later.tastes
        self.meta |= later.meta


class State:
    """The fold of the log through `seq`. Whatever is over is forgotten."""

    def __init__(self) -> None:
        self.seq = 0
        self.tasks: dict[str, OpenTask] = {}
        self.hosts: dict[str, HostEntry] = {}
        self.tracks: dict[tuple[str, str], Track] = {}
        self.tastes: dict[tuple[str, str], float] = {}
        self.term = 0
        self.term_seq = 0
        self.first_host_seq = 0
        """Sequence of the log's first `mcp.registered`; 0: none yet."""
        self.used: dict[str, int] = {}
        """Attempts in flight on each host that has any."""
        self.busy: dict[str, int] = {}
        """Attempts in flight of each user who has any."""
        self.flight = 0
        self.owners: dict[str, int] = {}
        """How many hosts each user owns."""
        self.changes = Changes()

    def take_changes(self) -> Changes:
        """Return what has changed, and begin anew."""
        changes, self.changes = self.changes, Changes()
        return changes

    def taste(self, user: str, host: str) -> float:
        """How much this user likes the host: as they said, else smoothed success, 1.0 at first."""
        said = self.tastes.get((user, host))
        if said is not None:
            return said
        track = self.tracks.get((user, host))
        return (track.good + 2) / (track.tried + 2) if track else 1.0

    def count_flight(self, task: OpenTask) -> None:
        """Count the task's attempt, if one is in flight, against its host and user."""
        if task.phase is Phase.WAITING:
            return
        self.used[task.host] = self.used.get(task.host, 0) + 1
        self.busy[task.user] = self.busy.get(task.user, 0) + 1
        self.flight += 1

    def count_owner(self, owner: str | None, by: int = 1) -> None:
        """Count a host that this user has gained, or lost."""
        if owner is None:
            return
        count = self.owners.get(owner, 0) + by
        if count:
            self.owners[owner] = count
        else:
            del self.owners[owner]
        if count == 0 or (count == 1 and by == 1):
            self.changes.owners.add(owner)

    def leave_flight(self, task: OpenTask) -> None:
        """Give the attempt's slot back, if it has one."""
        if task.phase is Phase.WAITING:
            return
        less(self.used, task.host)
        less(self.busy, task.user)
        self.flight -= 1
        self.changes.freed_hosts.add(task.host)
        self.changes.freed_users.add(task.user)


def initial() -> State:
    """Return the state before the first fact."""
    return State()


def key_of(user: str, task: str) -> str:
    """Name a task of a user: ids hold no dot."""
    return f"{user}.{task}"


def evolve(state: State, record: Record) -> None:
    """Apply one fact. Total: what does not fit, or does not concern the router, changes nothing."""
    state.seq = record.seq
    match record.fact:
        case TaskCreated() as fact:
            _created(state, record, fact)
        case TaskRouted() | JobSigned() | JobFailed() | JobDone() | TaskCancelled() as fact:
            key = f"{fact.user}.{fact.task}"
            if (task := state.tasks.get(key)) is not None:
                state.changes.tasks.add(key)
                _moved(state, task, key, record)
        case McpRegistered() as fact:
            _registered(state, record.seq, fact)
        case McpRemoved() as fact:
            _removed(state, fact.host)
        case McpHealth() as fact:
            if (entry := state.hosts.get(fact.host)) is not None:
                entry.status = fact.status
                state.changes.hosts.add(fact.host)
        case McpPreferred() as fact:
            _preferred(state, fact)
        case LogRouter(again=False) as fact:
            state.term, state.term_seq, state.changes.meta = fact.term, record.seq, True
        case Unknown():
            _unread(state, record)
        case _:
            pass


def _unread(state: State, record: Record) -> None:
    """Note what a record that can't be read is about, so that nothing is decided against it."""
    what = subjects.parse(record.subject)
    key = key_of(what.user, what.task)
    task = state.tasks.get(key)
    if what.term_begins:
        state.term, state.term_seq, state.changes.meta = what.number, record.seq, True
    elif what.type in ("mcp.registered", "mcp.removed"):
        _removed(state, what.host)
    elif task is not None and (what.type == "task.routed" or what.type.startswith("job.")):
        state.changes.tasks.add(key)
        task.unread = True
        if what.type != "task.routed":
            task.head, task.head_at = record.seq, record.at
        if what.type == "job.done":
            state.leave_flight(task)
            del state.tasks[key]


def _created(state: State, record: Record, fact: TaskCreated) -> None:
    key, spec = f"{fact.user}.{fact.task}", fact.spec
    if key in state.tasks:
        return
    state.tasks[key] = OpenTask(
        user=fact.user,
        task=fact.task,
        seq=record.seq,
        at=record.at,
        digest=input_sha256(spec),
        need=_need(spec),
        priority=spec.priority,
        timeout_s=spec.timeout_s,
        deadline_s=spec.deadline_s,
        delay_s=spec.delay_s,
        max_attempts=spec.max_attempts,
        on_unknown=spec.on_unknown,
        retry_tool_errors=spec.retry_tool_errors,
        invalid=fact.invalid[:_MESSAGE],
        trace=record.trace,
    )
    state.changes.tasks.add(key)


def _need(spec: TaskSpec) -> Need:
    return Need(
        spec.type, spec.required_capabilities, spec.preferred_capabilities, spec.is_heavy, spec.host
    )


def _moved(state: State, task: OpenTask, key: str, record: Record) -> None:
    """Apply a later fact of an open task."""
    match record.fact:
        case TaskRouted() as fact:
            _routed(state, task, fact)
        case JobSigned() as fact:
            task.phase = Phase.RUNNING if task.phase is not Phase.WAITING else task.phase
            task.head, task.head_at = record.seq, record.at
            task.executor, task.incarnation = fact.executor, fact.incarnation
            task.permit_until = fact.expires
        case JobFailed() as fact:
            _failed(state, task, record, fact)
        case JobDone() as fact:
            if fact.outcome is Outcome.SUCCEEDED:
                _count(state, task.user, fact.host, success=True)
            state.leave_flight(task)
            del state.tasks[key]
        case TaskCancelled():
            task.cancelled = True
        case _:
            pass


def _routed(state: State, task: OpenTask, fact: TaskRouted) -> None:
    state.leave_flight(task)
    task.phase = Phase.ROUTED
    task.attempt, task.host = fact.attempt, fact.route.host
    task.failure, task.unread = None, False
    entry = state.hosts.get(task.host)
    task.falls_back = (
        entry is not None
        and entry.spec.placement is Placement.USER_SPACE
        and entry.spec.flags.fallback_to_oracle
    )
    state.count_flight(task)


def _failed(state: State, task: OpenTask, record: Record, fact: JobFailed) -> None:
    state.leave_flight(task)
    task.phase = Phase.WAITING
    task.head, task.head_at = record.seq, record.at
    task.executor = task.incarnation = ""
    task.permit_until = 0.0
    long = len(fact.message) > _MESSAGE
    task.failure = msgspec.structs.replace(fact, message=fact.message[:_MESSAGE]) if long else fact
    task.fallback = task.fallback or task.falls_back
    task.unread = task.unread and task.attempt != fact.attempt
    if fact.kind in SICK and fact.host not in task.excluded:
        task.excluded = (*task.excluded, fact.host)
    if fact.kind in HOSTS_FAULT:
        _count(state, task.user, fact.host, success=False)


def _count(state: State, user: str, host: str, *, success: bool) -> None:
    if host in state.hosts:
        track = state.tracks.get((user, host))
        if track is None:
            track = state.tracks[user, host] = Track()
        track.count(success)
        state.changes.tracks.add((user, host))


def _registered(state: State, seq: int, fact: McpRegistered) -> None:
    entry = state.hosts.get(fact.host)
    before = entry.spec.owner if entry else None
    if entry is None:
        state.hosts[fact.host] = HostEntry(fact.spec, seq)
    else:
        entry.spec, entry.seq = fact.spec, seq
    if before != fact.spec.owner:
        state.count_owner(before, -1)
        state.count_owner(fact.spec.owner)
    state.changes.hosts.add(fact.host)
    if not state.first_host_seq:
        state.first_host_seq = seq
        state.changes.meta = True


def _removed(state: State, host: str) -> None:
    entry = state.hosts.pop(host, None)
    if entry is None:
        return
    state.count_owner(entry.spec.owner, -1)
    state.changes.hosts.add(host)
    for pair in [pair for pair in state.tracks if pair[1] == host]:
        del state.tracks[pair]
        state.changes.tracks.add(pair)


def _preferred(state: State, fact: McpPreferred) -> None:
    pair = (fact.user, fact.host)
    if fact.weight is None:
        state.tastes.pop(pair, None)
    else:
        state.tastes[pair] = min(1.0, max(0.0, fact.weight))
    state.changes.tastes.add(pair)


def less(counts: dict[str, int], key: str) -> None:
    """Count one less; what comes to nothing is not kept."""
    if counts.get(key, 0) > 1:
        counts[key] -= 1
    else:
        counts.pop(key, None)
