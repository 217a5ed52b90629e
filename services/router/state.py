"""What the router knows: the fold of the log, in which whatever is over is forgotten.

Pure. The state is changed in place (one actor owns it), yet depends only on the records folded.
"""

from __future__ import annotations

import functools
from enum import StrEnum
from typing import Literal

import msgspec

from contracts.asks import AnswerAction, QuestionKind
from contracts.cached import caches, version
from contracts.facts import FailureKind, JobFailed
from contracts.host import Host
from contracts.permitted import guarded
from contracts.task import Priority
from services.router.answers import Answers
from services.router.flights import Flights
from services.router.select import HostEntry, Need

NEEDS = 4096
"""Different needs of tasks that are kept once for all tasks that have them, …"""
WORDS = 16_384
"""… and names of users, hosts and tools."""
HISTORY_LIMIT = 64
"""Attempts remembered per user and host; then both counts are halved, so that old news fades."""
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
NO_PERMIT = 0.0
"""A row leaves out what is its field's default: for a number that is this very object."""


class Phase(StrEnum):
    """Who has to act on an open task: the router, any executor, or the one that claimed it."""

    WAITING = "waiting"
    ASKED = "asked"
    """A person has to answer; the deadline stands still."""
    ROUTED = "routed"
    RUNNING = "running"
    HELD = "held"
    """Its host holds the call open until a person has answered: the executor's, without a slot."""


CLAIMED = frozenset({Phase.RUNNING, Phase.HELD})
"""In these an executor has it."""
FLYING = frozenset({Phase.ROUTED, Phase.RUNNING})
"""In these it has a slot."""


class Inquiry(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """A task's latest question, and what was said to it."""

    q: int
    kind: QuestionKind
    seq: int
    at: float
    timeout_s: float
    host: str
    tool: str
    action: AnswerAction | None = None
    """None: it waits for an answer."""
    who: str = ""
    reason: str = ""


class OpenTask(msgspec.Struct, omit_defaults=True, gc=False):
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
    roles: tuple[str, ...] = ()
    """In which whoever asked acted."""
    project: str = ""
    tool: str = ""
    """The one that it calls, where that is known and somebody needs to know it: some host says of
    tools who may use them, or lets their answers be given again."""
    fresh: bool = False
    """No earlier result will do."""
    approve: bool = False
    """A person has to allow it, whatever its host says."""
    anyone: bool = False
    """Its input names no bytes of its user's, as far as that was looked at."""
    version: str = ""
    """That of the host of its attempt, if that lets answers be given again."""
    cancelled: bool = False
    phase: Phase = Phase.WAITING
    attempt: int = 0
    host: str = ""
    foreign: bool = False
    """The host of its attempt is one of its user's own."""
    head: int = 0
    """Sequence of its last `job.*` fact."""
    head_at: float = 0.0
    executor: str = ""
    incarnation: str = ""
    permit_until: float = NO_PERMIT
    failure: JobFailed | None = None
    """Of its latest attempt, while nothing newer has happened."""
    excluded: tuple[str, ...] = ()
    falls_back: bool = False
    """Should the running attempt fail, a host beside the orchestrator may take the heavy task."""
    fallback: bool = False
    isolated: bool = False
    """An attempt ended with a session that others may have been in: the next ones are alone in
    theirs, and that one does not count."""
    asked: Inquiry | None = None
    allowed: Inquiry | None = None
    """The approval that was given last."""
    questions: int = 0
    """The highest number of one."""
    paused_s: float = 0.0
    """How long it has waited for answers: by so much its deadline is later."""
    told: int = 0
    """Its latest question of a host that was answered."""
    spared: int = 0
    """Attempts that ended with a question: they don't count."""
    only: str = ""
    """The host that a person has allowed, or that has asked: it gets the task while it is there."""
    unread: bool = False
    """Its latest fact can't be read: nothing is decided about it until one tells where it is."""


@functools.lru_cache(maxsize=NEEDS)
def _one(need: Need) -> Need:
    return need


@functools.lru_cache(maxsize=WORDS)
def _word(text: str) -> str:
    return text


def slim(task: OpenTask) -> OpenTask:
    """The same task, which shares with others in memory what they have in common."""
    task.need = _one(task.need)
    task.user, task.tool = _word(task.user), _word(task.tool)
    task.on_unknown = "retry" if task.on_unknown == "retry" else "fail"
    if (asked := task.asked) is not None:
        host, tool = _word(asked.host), _word(asked.tool)
        task.asked = msgspec.structs.replace(asked, host=host, tool=tool)
    return task


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
    born: set[str] = msgspec.field(default_factory=set)
    """Those of the tasks that were not there at the last `State.take_changes`."""
    hosts: set[str] = msgspec.field(default_factory=set)
    tracks: set[tuple[str, str]] = msgspec.field(default_factory=set)
    tastes: set[tuple[str, str]] = msgspec.field(default_factory=set)
    answers: set[str] = msgspec.field(default_factory=set)
    meta: bool = False
    freed_hosts: set[str] = msgspec.field(default_factory=set)
    freed_users: set[str] = msgspec.field(default_factory=set)
    freed_foreign: set[str] = msgspec.field(default_factory=set)
    """Users of whom an attempt on a host of their own has ended."""
    owners: set[str] = msgspec.field(default_factory=set)
    """Users who have gained or lost a host of their own."""
    guards: bool = False
    """Who may use which host has changed, or may have."""

    def add(self, later: Changes) -> None:
        """Take in the keys of later changes."""
        self.born |= later.born - self.tasks
        self.tasks |= later.tasks
        self.hosts |= later.hosts
        self.tracks |= later.tracks
        self.tastes |= later.tastes
        self.answers |= later.answers
        self.meta |= later.meta


class State:
    """The fold of the log through `seq`. Whatever is over is forgotten."""

    def __init__(self) -> None:
        self.seq = 0
        self.at = 0.0
        """Log time of the newest fact."""
        self.tasks: dict[str, OpenTask] = {}
        self.hosts: dict[str, HostEntry] = {}
        self.tracks: dict[tuple[str, str], Track] = {}
        self.tastes: dict[tuple[str, str], float] = {}
        self.term = 0
        self.term_seq = 0
        self.first_host_seq = 0
        """Sequence of the log's first `mcp.registered`; 0: none yet."""
        self.flights = Flights()
        self.guarded: set[str] = set()
        """Hosts that are, or of which something is, for some users alone."""
        self.tools_guarded = 0
        """How many hosts say of tools who may use them, or has to allow it."""
        self.caching: dict[str, str] = {}
        """Hosts that let answers be given again, and the version of each."""
        self.answers = Answers()
        self.owners: dict[str, int] = {}
        """How many hosts each user owns."""
        self.changes = Changes()

    def take_changes(self) -> Changes:
        """Return what has changed, and begin anew."""
        changes, self.changes = self.changes, Changes()
        return changes

    def taste(self, user: str, host: str) -> float:
        """How much this user likes the host: as they said, else smoothed success, 1.0 at first."""
        pair = (user, host)
        said = self.tastes.get(pair)
        if said is not None:
            return said
        track = self.tracks.get(pair)
        return (track.good + 2) / (track.tried + 2) if track else 1.0

    def count_flight(self, task: OpenTask) -> None:
        """Count the task's attempt, if one is in flight, against its host and user."""
        if task.phase not in FLYING:
            return
        self.flights.add(task.user, task.host, foreign=task.foreign)

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

    def guard(self, before: Host | None, after: Host | None) -> None:
        """Note what has changed about who may use a host."""
        for spec, by in ((before, -1), (after, 1)):
            if spec is not None and guarded(spec):
                (self.guarded.add if by > 0 else self.guarded.discard)(spec.id)
                self.changes.guards = True
            if spec is not None:
                self.tools_guarded += by * bool(spec.tool_access or spec.approve)

    def note_cache(self, spec: Host) -> None:
        """Note whether the host lets answers be given again."""
        if caches(spec):
            self.caching[spec.id] = version(spec)
        else:
            self.caching.pop(spec.id, None)

    def forget_host(self, host: str) -> None:
        """Take the host out, and with it how it has done."""
        entry = self.hosts.pop(host, None)
        if entry is None:
            return
        self.count_owner(entry.spec.owner, -1)
        self.guard(entry.spec, None)
        self.caching.pop(host, None)
        self.changes.hosts.add(host)
        for pair in [pair for pair in self.tracks if pair[1] == host]:
            del self.tracks[pair]
            self.changes.tracks.add(pair)

    def rename_host(self, owner: str, was: str, now: str) -> None:
        """What the owner has said of a host, and how it has done for him, holds for its new id."""
        old, new = (owner, was), (owner, now)
        if (track := self.tracks.pop(old, None)) is not None:
            self.tracks[new] = track
            self.changes.tracks |= {old, new}
        if (taste := self.tastes.pop(old, None)) is not None:
            self.tastes[new] = taste
            self.changes.tastes |= {old, new}

    def leave_flight(self, task: OpenTask) -> None:
        """Give the attempt's slot back, if it has one."""
        if task.phase not in FLYING:
            return
        self.flights.remove(task.user, task.host, foreign=task.foreign)
        self.changes.freed_hosts.add(task.host)
        self.changes.freed_users.add(task.user)
        if task.foreign:
            self.changes.freed_foreign.add(task.user)


def initial() -> State:
    """Return the state before the first fact."""
    return State()


def key_of(user: str, task: str) -> str:
    """Name a task of a user: ids hold no dot."""
    return f"{user}.{task}"
