"""What an executor does with a route, and what it writes down afterwards.

Pure: no clock, no randomness, no I/O. Times, ids and the permit come in as values.
"""

from __future__ import annotations

import math
from typing import NamedTuple, TypeAlias

from contracts.facts import (
    Failure,
    FailureKind,
    JobDone,
    JobFailed,
    JobSigned,
    Outcome,
    TaskCreated,
    TaskRouted,
)
from contracts.host import Host, longest_s
from contracts.message import bounded
from contracts.permitted import allows, asker_of, guarded, may_run
from contracts.result import Result
from contracts.task import input_sha256
from contracts.wire import ISSUER, PermitClaims, permit_id

NONE_HIDDEN: frozenset[str] = frozenset()


class Me(NamedTuple):
    """Which executor this is."""

    instance: str
    incarnation: str


class LogView(NamedTuple):
    """What the executor's own view of the log says."""

    position: int
    """Sequence through which hosts are known."""
    host: Host | None
    """The route's host as it is now; None: unknown or removed."""
    host_seq: int
    """Sequence of the fact that describes it; 0 without one."""
    unread: bool = False
    """That fact can't be read by this release."""


class Claim(NamedTuple):
    """Claim the attempt and call this host."""

    host: Host
    budget_s: float
    """Seconds from now within which call and success must happen."""


class Drop(NamedTuple):
    """Leave the route alone: it is over, or somebody else's to end."""

    reason: str


class WaitForView(NamedTuple):
    """The own view has not reached this sequence yet."""

    seq: int


class Leave(NamedTuple):
    """Give the route back: an executor that can read what this one can't may take it."""

    reason: str


class Fail(NamedTuple):
    """Record the attempt as failed without claiming it."""

    kind: FailureKind
    message: str


Decision: TypeAlias = Claim | Drop | WaitForView | Leave | Fail


def decide(routed: TaskRouted, cancelled: bool, view: LogView, now: float) -> Decision:
    """Say what to do with a route; `now` is log time, or a moment before it."""
    route = routed.route
    if cancelled:
        return Drop("the task was cancelled")
    if route.expires and now >= route.expires:
        return Drop("the task's deadline has passed")
    if view.position < route.host_seq:
        return WaitForView(route.host_seq)
    if view.unread and view.host_seq == route.host_seq:
        return Leave(f"the registration of host {route.host} can't be read by this release")
    if view.host is None:
        return Fail(FailureKind.HOST_GONE, f"host {route.host} was removed after the route")
    if view.host_seq != route.host_seq:
        return Fail(FailureKind.HOST_GONE, f"host {route.host} was registered anew after the route")
    left = route.expires - now if route.expires else math.inf
    return Claim(view.host, min(route.timeout_s, left, longest_s(view.host)))


def unfit(routed: TaskRouted, task: TaskCreated | None) -> str:
    """Say why this task can't be what was routed; empty if it is."""
    if task is None or task.invalid:
        return "there is no such task"
    if routed.route.input_sha256 != input_sha256(task.spec):
        return "the route names another input than the task has"
    if routed.route.task_type not in ("", task.spec.type):
        return "the route names another task type than the task has"
    return ""


def unpermitted(host: Host, task: TaskCreated) -> str:
    """Say why the host does not run this for whoever has asked; empty if it does.

    The router has looked at the same: this is for one that did not know of it yet.
    """
    if guarded(host) and not may_run(host, task.spec.type, None, asker_of(task)):
        return f"host {host.id} does not serve task type {task.spec.type}"
    return ""


def hidden_tools(host: Host, task: TaskCreated) -> frozenset[str]:
    """The host's tools that are not there for whoever has asked."""
    if not host.tool_access:
        return NONE_HIDDEN
    who = asker_of(task)
    return frozenset(name for name, access in host.tool_access.items() if not allows(access, who))


def claims(routed: TaskRouted, audience: str, now: float, lifetime_s: float) -> PermitClaims:
    """Build a permit's claims; `now` is log time."""
    start = int(now)
    return PermitClaims(
        iss=ISSUER,
        sub=routed.user,
        aud=audience,
        jti=permit_id(routed.task, routed.attempt),
        iat=start,
        nbf=start,
        exp=math.ceil(now + lifetime_s),
        task_id=routed.task,
        attempt=routed.attempt,
        input_sha256=routed.route.input_sha256,
        task_type=routed.route.task_type,
        host=routed.route.host,
    )


def signed(routed: TaskRouted, permit: PermitClaims, token: str, me: Me, fact_id: str) -> JobSigned:
    """The claim as a fact."""
    return JobSigned(
        id=fact_id,
        by=me.instance,
        user=routed.user,
        task=routed.task,
        attempt=routed.attempt,
        host=routed.route.host,
        input_sha256=routed.route.input_sha256,
        executor=me.instance,
        incarnation=me.incarnation,
        expires=float(permit.exp),
        permit=token,
    )


class Ended(NamedTuple):
    """How an attempt failed."""

    kind: FailureKind
    message: str
    called: bool | None
    """Was the host called? None: it may have been."""
    retryable: bool
    elapsed_ms: float = 0.0
    shared: bool = False
    """See `JobFailed.shared`."""
    result: Result | None = None
    """See `JobFailed.result`."""


def failed(routed: TaskRouted, ended: Ended, by: str, fact_id: str) -> JobFailed:
    """A failed attempt as a fact."""
    return JobFailed(
        id=fact_id,
        by=by,
        user=routed.user,
        task=routed.task,
        attempt=routed.attempt,
        host=routed.route.host,
        kind=ended.kind,
        message=bounded(ended.message),
        called=ended.called,
        retryable=ended.retryable,
        elapsed_ms=round(ended.elapsed_ms, 3),
        shared=ended.shared,
        result=ended.result,
    )


def succeeded(
    routed: TaskRouted, result: Result, by: str, fact_id: str, elapsed_ms: float
) -> JobDone:
    """A success as a fact."""
    return JobDone(
        id=fact_id,
        by=by,
        user=routed.user,
        task=routed.task,
        outcome=Outcome.SUCCEEDED,
        attempt=routed.attempt,
        host=routed.route.host,
        input_sha256=routed.route.input_sha256,
        result=result,
        elapsed_ms=round(elapsed_ms, 3),
    )


def cancelled(routed: TaskRouted, reason: str, by: str, fact_id: str, elapsed_ms: float) -> JobDone:
    """The end of a task that its user cancelled while it ran."""
    return JobDone(
        id=fact_id,
        by=by,
        user=routed.user,
        task=routed.task,
        outcome=Outcome.CANCELLED,
        attempt=routed.attempt,
        host=routed.route.host,
        input_sha256=routed.route.input_sha256,
        error=Failure("cancelled", bounded(reason or "cancelled by its user")),
        elapsed_ms=round(elapsed_ms, 3),
    )
