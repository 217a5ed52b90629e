"""What the router owes each open task: an end, a host, or nothing yet.

Pure: `evolve` folds the log into the `State`, `decide` says the next step of one task.
"""

from __future__ import annotations

from hashlib import sha256
from math import inf

import msgspec

from contracts.facts import Failure, FailureKind, JobFailed, Outcome
from contracts.message import bounded
from contracts.permitted import allows, asker_of, may_run
from contracts.replay import UNKNOWN_OUTCOME, outcome_unknown, repeatable
from contracts.task import MCP_CALL
from services.log.clock import LogClock
from services.outside.fits import down
from services.router import asks
from services.router.fold import evolve
from services.router.select import Demand, HostEntry
from services.router.settings import Settings
from services.router.state import CLAIMED, SICK, OpenTask, Phase, State, initial, key_of
from services.router.steps import End, Lose, NeedsHost, Step, Wait

__all__ = [
    "End",
    "Lose",
    "NeedsHost",
    "State",
    "Step",
    "Wait",
    "backoff_s",
    "counted",
    "decide",
    "demand",
    "evolve",
    "expires_at",
    "given_up",
    "gives_up_at",
    "initial",
    "key_of",
]

MAX_BACKOFF_S = 60.0
_EARLY_S = 0.5
"""An executor that ends an attempt at the task's deadline may read its clock a little early."""


def decide(task: OpenTask, now: float, rules: Settings, clock: LogClock) -> Step:
    """Say what the router owes this task at log time `now`; which host is up to `select`.

    Given again with nothing new, the answer is the same.
    """
    expires = expires_at(task, rules, clock)
    if task.phase in CLAIMED:
        return _watch(task, now, expires + rules.grace_s, rules, clock)
    if task.invalid:
        return End(Outcome.REJECTED, Failure("invalid", task.invalid))
    if task.cancelled:
        return End(Outcome.CANCELLED)
    if task.phase is Phase.ASKED:
        return asks.waits(task, now, clock)
    if (refused := asks.refused(task)) is not None:
        return refused
    again = 0.0
    if task.failure is not None:
        failed_at = clock.moved(task.head_at, task.head)
        if task.failure.kind is FailureKind.INPUT_REQUIRED and now < failed_at + rules.grace_s:
            # Its question stands behind it in the log.
            return Wait(failed_at + rules.grace_s)
        if (end := asks.unheard(task, failed_at, clock)) is not None:
            return end
        if (end := _after(task, failed_at >= expires - _EARLY_S, rules)) is not None:
            return end
        again = failed_at + backoff_s(task.task, task.attempt)
    if now >= expires:
        return End(Outcome.TIMED_OUT, _too_late(task))
    if task.phase is Phase.ROUTED:
        return Wait(expires)
    start = clock.moved(task.at, task.seq) + task.delay_s if task.delay_s else 0.0
    if task.failure is not None and task.failure.kind not in SICK:
        start = max(start, again)
    return Wait(min(start, expires)) if now < start else NeedsHost(expires, again)


def expires_at(task: OpenTask, rules: Settings, clock: LogClock) -> float:
    """Return the log time at which the whole task must be over; the time in which it waited for
    answers does not count."""
    given = task.deadline_s or rules.default_deadline_s
    return clock.moved(task.at, task.seq) + given + task.paused_s


def gives_up_at(task: OpenTask, host: HostEntry, rules: Settings, clock: LogClock) -> float:
    """Return the log time at which a tool call that named this host, which is down, is over.

    Whoever has said how long it may take waits that long; so does other work.
    """
    if task.need.type != MCP_CALL or task.deadline_s is not None:
        return inf
    asked = clock.moved(task.at, task.seq) + (task.delay_s or 0.0) + task.paused_s
    tried = clock.moved(task.head_at, task.head) if task.head else 0.0
    since = clock.moved(host.since_at, host.since)
    return max(asked, tried, since) + rules.host_down_grace_s


def given_up(task: OpenTask, host: HostEntry, rules: Settings) -> End:
    """The end of such a call."""
    why = down(host.spec.id, host.status, host.reason)
    text = (
        f"{why}. The call has waited {rules.host_down_grace_s:g} s for it, and no other host can"
        " serve it: call again when it is back, or with `deadline_s`, the seconds to wait"
    )
    if task.failure is not None:
        text += f". Attempt {task.attempt} failed: {task.failure.message}"
    return End(Outcome.FAILED, Failure("host_down", text))


def demand(state: State, task: OpenTask) -> Demand:
    """Return what decides which hosts may serve it.

    Users without hosts of their own see the same hosts, but for those that are for some alone, so
    their tasks share a demand.
    """
    user, need = task.user if task.user in state.owners else "", task.need
    if task.only in state.hosts and task.only not in task.excluded:
        need = msgspec.structs.replace(need, host=task.only)
    if not state.guarded:
        return Demand(need, user, task.excluded, task.fallback)
    who = asker_of(task)
    hosts = [state.hosts[id_].spec for id_ in sorted(state.guarded)]
    hidden = tuple(host.id for host in hosts if not allows(host.access, who))
    tool = task.tool or None
    denied = tuple(
        host.id
        for host in hosts
        if host.id not in hidden and not may_run(host, task.need.type, tool, who)
    )
    return Demand(need, user, task.excluded, task.fallback, hidden, denied)


def backoff_s(task: str, attempt: int) -> float:
    """Return the pause after this attempt failed: 2^n seconds, at most 60, the last half of it by
    a hash of both, so that tasks that failed together do not come back together."""
    ceiling = min(2.0 ** min(attempt, 10), MAX_BACKOFF_S)
    fraction = int.from_bytes(sha256(f"{task}.{attempt}".encode()).digest()[:4], "big") / 2**32
    return float(ceiling * (0.5 + 0.5 * fraction))


def _watch(task: OpenTask, now: float, late: float, rules: Settings, clock: LogClock) -> Step:
    """A claimed attempt is its executor's, until that has overrun its time."""
    permit = clock.moved(task.permit_until, task.head) + rules.grace_s + task.paused_s
    if (until := asks.holds(task, clock)) > -inf:
        # Permit and deadline stand still.
        held = until + rules.grace_s
        return asks.waits(task, now, clock) if now >= held else Wait(held)
    if now >= late:
        return End(Outcome.TIMED_OUT, _too_late(task))
    if now >= permit:
        return Lose(f"{task.executor} let its permit expire without an outcome")
    return Wait(min(late, permit))


def _after(task: OpenTask, late: bool, rules: Settings) -> End | None:
    """End the task if its failed attempt was the last one."""
    failure = task.failure
    assert failure is not None
    error = _final(task, failure, rules)
    if late and (error is None or failure.kind in UNKNOWN_OUTCOME):
        return End(Outcome.TIMED_OUT, _too_late(task))
    return End(Outcome.FAILED, error) if error else None


def _final(task: OpenTask, failure: JobFailed, rules: Settings) -> Failure | None:
    """Return the error the task fails with, None if it may be tried again."""
    # In the fact one word stands for both: the work may be repeated, or the host has asked for it.
    again = repeatable(
        failure.kind,
        failure.called,
        replayable=failure.retryable,
        transient=failure.retryable,
        on_unknown=task.on_unknown,
        retry_tool_errors=task.retry_tool_errors,
    )
    if again and counted(task) < (task.max_attempts or rules.max_attempts):
        return None
    if not again and outcome_unknown(failure.kind, failure.called):
        text = f"whether the work was done is not known ({failure.kind}): {failure.message}"
        return Failure("outcome_unknown", bounded(text))
    return Failure(failure.kind, failure.message)


def counted(task: OpenTask) -> int:
    """Return how many attempts are held against the task: all but those that ended with a question,
    and one that others may have ended.

    There is no second one of those: after that it is alone in its sessions.
    """
    return task.attempt - task.isolated - task.spared


def _too_late(task: OpenTask) -> Failure:
    if task.failure is not None:
        text = f"attempt {task.attempt} failed: {task.failure.message}"
        return Failure("deadline", bounded(text))
    if task.phase is Phase.RUNNING:
        return Failure("deadline", f"attempt {task.attempt} was still running on {task.host}")
    if task.phase is Phase.ROUTED:
        return Failure("queue_timeout", "no executor took the task before its deadline")
    return Failure("queue_timeout", "no host or executor was free before the task's deadline")
