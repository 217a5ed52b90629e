"""How each fact of the log changes the router's state.

Pure: the state depends only on the records folded, in order.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec

from contracts import subjects
from contracts.asks import AnswerAction, QuestionKind, TaskAnswered, TaskAsked
from contracts.cached import owned
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
    ResultDeleted,
    ResultStored,
    TaskCancelled,
    TaskCreated,
    TaskRouted,
    Unknown,
)
from contracts.host import Placement, clamped, operated
from contracts.message import bounded
from contracts.task import input_sha256, tool_of
from services.outside.fits import USABLE
from services.router.again import remember
from services.router.select import HostEntry, Need
from services.router.state import (
    FLYING,
    NO_PERMIT,
    SICK,
    Inquiry,
    OpenTask,
    Phase,
    State,
    Track,
    key_of,
    slim,
)

HOSTS_FAULT = frozenset(
    {
        FailureKind.UNREACHABLE,
        FailureKind.TOOL,
        FailureKind.PROTOCOL,
        FailureKind.TIMEOUT,
        FailureKind.CUT,
    }
)
_MESSAGE = 1000
_WHERE = ("task.routed", "task.asked", "task.answered")
"""What tells where a task is, besides the facts of its attempts."""


def evolve(state: State, record: Record) -> None:
    """Apply one fact. Total: what does not fit, or does not concern the router, changes nothing."""
    state.seq, state.at, state.changes.meta = record.seq, record.at, True
    fact: Any = record.fact
    if (move := _MOVES.get(type(fact))) is not None:
        key = f"{fact.user}.{fact.task}"
        if (task := state.tasks.get(key)) is not None:
            state.changes.tasks.add(key)
            move(state, task, record, fact)
    elif (apply := _CHANGES.get(type(fact))) is not None:
        apply(state, record, fact)


def _unread(state: State, record: Record, _: Unknown) -> None:
    """Note what a record that can't be read is about, so that nothing is decided against it."""
    what = subjects.parse(record.subject)
    key = key_of(what.user, what.task)
    task = state.tasks.get(key)
    if what.term_begins:
        state.term, state.term_seq, state.changes.meta = what.number, record.seq, True
    elif what.type in ("mcp.registered", "mcp.removed"):
        state.forget_host(what.host)
    elif what.type.startswith("result."):
        state.changes.answers |= state.answers.forget(what.user, what.task)
    elif task is not None and (what.type in _WHERE or what.type.startswith("job.")):
        state.changes.tasks.add(key)
        task.unread = True
        if what.type == "task.asked":
            task.questions = max(task.questions, what.number)
        if what.type not in _WHERE:
            task.head, task.head_at = record.seq, record.at
        if what.type == "job.failed" and what.number == task.attempt:
            # It is over, however it ended: its host has a free slot.
            state.leave_flight(task)
            task.phase = Phase.WAITING
        if what.type == "job.done":
            state.leave_flight(task)
            del state.tasks[key]


def _created(state: State, record: Record, fact: TaskCreated) -> None:
    key, spec = f"{fact.user}.{fact.task}", fact.spec
    if key in state.tasks:
        return
    state.tasks[key] = slim(
        OpenTask(
            user=fact.user,
            task=fact.task,
            seq=record.seq,
            at=record.at,
            digest=input_sha256(spec),
            need=Need(
                spec.type,
                spec.required_capabilities,
                spec.preferred_capabilities,
                spec.is_heavy,
                spec.host,
            ),
            priority=spec.priority,
            timeout_s=spec.timeout_s,
            deadline_s=spec.deadline_s,
            delay_s=spec.delay_s,
            max_attempts=spec.max_attempts,
            on_unknown=spec.on_unknown,
            retry_tool_errors=spec.retry_tool_errors,
            invalid=fact.invalid[:_MESSAGE],
            trace=record.trace,
            roles=fact.roles,
            project=fact.project,
            tool=tool_of(spec) if state.tools_guarded or state.caching or spec.approve else "",
            fresh=spec.fresh,
            approve=spec.approve,
            anyone=bool(state.caching) and not owned(spec),
        )
    )
    if key not in state.changes.tasks:
        state.changes.tasks.add(key)
        state.changes.born.add(key)


def _signed(_: State, task: OpenTask, record: Record, fact: JobSigned) -> None:
    if task.phase in FLYING:
        task.phase = Phase.RUNNING
    task.head, task.head_at = record.seq, record.at
    task.executor, task.incarnation = fact.executor, fact.incarnation
    task.permit_until = fact.expires


def _done(state: State, task: OpenTask, record: Record, fact: JobDone) -> None:
    if task.version:
        remember(state, task, record, fact)
    if fact.outcome is Outcome.SUCCEEDED:
        _count(state, task.user, fact.host, success=True)
    state.leave_flight(task)
    del state.tasks[f"{task.user}.{task.task}"]


def _cancelled(_: State, task: OpenTask, __: Record, ___: TaskCancelled) -> None:
    task.cancelled = True


def _routed(state: State, task: OpenTask, _: Record, fact: TaskRouted) -> None:
    state.leave_flight(task)
    task.phase = Phase.ROUTED
    task.attempt, task.host = fact.attempt, fact.route.host
    task.failure, task.unread = None, False
    if task.asked is not None and task.asked.action is None:
        # Whoever asked has not waited.
        task.asked = None
    entry = state.hosts.get(task.host)
    same = entry is not None and entry.seq == fact.route.host_seq
    task.version = state.caching.get(task.host, "") if same else ""
    task.foreign = entry is not None and not operated(entry.spec)
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
    task.permit_until = NO_PERMIT
    # What the tool answered is for whoever asks for the task.
    task.failure = msgspec.structs.replace(fact, result=None) if fact.result else fact
    task.fallback = task.fallback or task.falls_back
    task.unread = task.unread and task.attempt != fact.attempt
    task.isolated = task.isolated or fact.shared
    if fact.kind in SICK and fact.host not in task.excluded:
        task.excluded = (*task.excluded, fact.host)
    if fact.kind in HOSTS_FAULT:
        _count(state, task.user, fact.host, success=False)


def _asked(state: State, task: OpenTask, record: Record, fact: TaskAsked) -> None:
    task.asked = Inquiry(
        *(fact.q, fact.kind, record.seq, record.at),
        *(max(0.0, fact.timeout_s), fact.host, fact.tool),
    )
    slim(task)
    task.questions = max(task.questions, fact.q)
    if task.phase in FLYING:
        state.leave_flight(task)
        task.phase = Phase.HELD
    if task.phase is Phase.HELD:
        return
    task.phase = Phase.ASKED
    # What it asks of a person itself has cost no attempt.
    task.spared += fact.kind is QuestionKind.INPUT


def _answered(state: State, task: OpenTask, record: Record, fact: TaskAnswered) -> None:
    asked = task.asked
    if asked is None or asked.q != fact.q or asked.action is not None:
        return
    if task.phase not in (Phase.ASKED, Phase.HELD):
        # The attempt that has asked is lost, and that decides.
        return
    reason = fact.reason[:_MESSAGE]
    task.asked = msgspec.structs.replace(
        asked, action=fact.action, who=fact.answered_by, reason=reason
    )
    # The log's clock may have jumped meanwhile.
    task.paused_s += min(max(0.0, record.at - asked.at), asked.timeout_s)
    if task.phase is Phase.HELD:
        task.phase = Phase.RUNNING
        state.count_flight(task)
    else:
        task.phase = Phase.WAITING
    task.only = asked.host
    if asked.kind is QuestionKind.INPUT:
        task.failure, task.told = None, asked.q
    elif fact.action is AnswerAction.ACCEPT:
        task.allowed = task.asked


def _count(state: State, user: str, host: str, *, success: bool) -> None:
    if host in state.hosts:
        pair = (user, host)
        track = state.tracks.get(pair)
        if track is None:
            track = state.tracks[pair] = Track()
        track.count(success)
        state.changes.tracks.add(pair)


def _registered(state: State, record: Record, fact: McpRegistered) -> None:
    if fact.was and fact.spec.owner is not None:
        state.rename_host(fact.spec.owner, fact.was, fact.host)
    entry, spec = state.hosts.get(fact.host), clamped(fact.spec)
    before = entry.spec.owner if entry else None
    state.guard(entry.spec if entry else None, spec)
    state.note_cache(spec)
    if entry is None:
        since, at = record.seq, record.at
        state.hosts[fact.host] = HostEntry(spec, record.seq, since=since, since_at=at)
    else:
        entry.spec, entry.seq = spec, record.seq
        if entry.status not in USABLE:
            # It is started anew.
            entry.since, entry.since_at = record.seq, record.at
    if before != fact.spec.owner:
        state.count_owner(before, -1)
        state.count_owner(fact.spec.owner)
    state.changes.hosts.add(fact.host)
    if not state.first_host_seq:
        state.first_host_seq = record.seq
        state.changes.meta = True


def _removed(state: State, _: Record, fact: McpRemoved) -> None:
    state.forget_host(fact.host)


def _health(state: State, record: Record, fact: McpHealth) -> None:
    if (entry := state.hosts.get(fact.host)) is not None:
        if (entry.status in USABLE) != (fact.status in USABLE):
            entry.since, entry.since_at = record.seq, record.at
        entry.status, entry.reason = fact.status, bounded(fact.reason)
        state.changes.hosts.add(fact.host)


def _preferred(state: State, _: Record, fact: McpPreferred) -> None:
    pair = (fact.user, fact.host)
    if fact.weight is None:
        state.tastes.pop(pair, None)
    else:
        state.tastes[pair] = min(1.0, max(0.0, fact.weight))
    state.changes.tastes.add(pair)


def _stored(state: State, _: Record, fact: ResultStored) -> None:
    state.changes.answers |= state.answers.moved(fact.user, fact.task, fact.pointer)


def _deleted(state: State, _: Record, fact: ResultDeleted) -> None:
    state.changes.answers |= state.answers.forget(fact.user, fact.task)


def _term(state: State, record: Record, fact: LogRouter) -> None:
    if not fact.again:
        state.term, state.term_seq, state.changes.meta = fact.term, record.seq, True


_MOVES: dict[type, Callable[[State, OpenTask, Record, Any], None]] = {
    TaskRouted: _routed,
    JobSigned: _signed,
    JobFailed: _failed,
    JobDone: _done,
    TaskCancelled: _cancelled,
    TaskAsked: _asked,
    TaskAnswered: _answered,
}
"""What later facts do to an open task."""
_CHANGES: dict[type, Callable[[State, Record, Any], None]] = {
    TaskCreated: _created,
    McpRegistered: _registered,
    McpRemoved: _removed,
    McpHealth: _health,
    McpPreferred: _preferred,
    LogRouter: _term,
    ResultStored: _stored,
    ResultDeleted: _deleted,
    Unknown: _unread,
}
"""What all others do."""
