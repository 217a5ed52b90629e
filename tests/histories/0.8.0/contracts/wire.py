"""What travels outside the log: heartbeats, progress, commands, answers, websocket frames."""

from __future__ import annotations

from typing import Any, Literal, TypeAlias

import msgspec

from contracts.budget import DEFAULT
from contracts.errors import Reason
from contracts.host import HealthStatus, Host
from contracts.task import TaskRequest


class Beat(msgspec.Struct, frozen=True):
    """Heartbeat of an executor, every second on `beat.executor.<instance>`."""

    instance: str
    incarnation: str
    busy: int = 0
    slots: int = 0
    max_files: int | None = None
    """Files that one task may bring along to it; None: an older release, which does not say."""
    max_files_bytes: int | None = None
    """Bytes of them all."""
    max_input_bytes: int | None = None
    """Bytes of an input that lies in the object store."""


class Progress(msgspec.Struct, frozen=True, omit_defaults=True):
    """Live progress of a running attempt, on `progress.<user>.<task>`."""

    user: str
    task: str
    attempt: int
    progress: float
    total: float | None = None
    message: str = ""


class Breaker(msgspec.Struct, frozen=True, omit_defaults=True):
    """How the calls of a host go at an executor, on `breaker.<owner>.<name>`: on every change, and
    every few seconds while its circuit breaker is not closed or half of the last calls failed."""

    instance: str
    """The executor."""
    host: str
    host_seq: int
    """Sequence of the `mcp.registered` fact of the host that was called."""
    open: bool
    failures: int = 0
    """Calls that failed in a row."""
    reason: str = ""
    """How the last of them failed."""
    recent_calls: int = 0
    """The last calls that say something about the host …"""
    recent_faults: int = 0
    """… and how many of them failed; 0 as long as fewer than half of them did."""
    deaths: int = 0
    """Sessions that died or fell silent lately with calls in them; 0 if it was one at most."""


class HostLogRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`cmd.executor.host_log`: what a host wrote on stderr, newest last."""

    host: str
    lines: int = 200


class HostLog(msgspec.Struct, frozen=True):
    """Answer to a `HostLogRequest`."""

    host: str
    instance: str
    """The executor that has kept it."""
    lines: tuple[str, ...]


class MetricsPage(msgspec.Struct, frozen=True):
    """Answer to `cmd.<service>.metrics`: what one process measures."""

    run: str
    """The operating system's process; services that share one answer with the same page."""
    instances: dict[str, str]
    """The services in it, by instance."""
    text: str
    """Prometheus exposition format."""


class HostWrite(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`cmd.registry.add`, `cmd.registry.update` and `cmd.registry.check`: a host by command."""

    user: str
    """Who is acting; the host's owner, unless it is the operator."""
    operator: bool
    host: str
    """The host's id, or the name of one's own."""
    entry: msgspec.Raw
    """As in a manifest (contracts/host.schema.json), in JSON."""
    most: int = DEFAULT.hosts
    """Hosts that this user may have."""


class HostSwitch(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`cmd.registry.switch`: give the host work, or no more of it."""

    user: str
    operator: bool
    host: str
    enabled: bool


class HostRemoval(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`cmd.registry.remove`: take the host away."""

    user: str
    operator: bool
    host: str


class HostChanged(msgspec.Struct, frozen=True):
    """Answer to a command that changes a host."""

    host: str
    seq: int
    """Last sequence of the log that says so; whoever has reached it sees the change."""
    changed: bool
    """False: it was so before."""


class HostListRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`cmd.registry.list`: hosts that this user may use; without a user, all."""

    user: str | None = None


class ProbeRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`cmd.registry.probe`: probe this host now and say how it is; with a user, one of theirs."""

    host: str
    user: str | None = None


class Probed(msgspec.Struct, frozen=True):
    """How a host is, as a probe has just found."""

    host: Host
    status: HealthStatus
    reason: str = ""
    latency_ms: float = 0.0
    since: float = 0.0
    """Log time of the last change of health, seconds since the epoch."""


class HostList(msgspec.Struct, frozen=True):
    """Answer to a `HostListRequest`: what the last probes have found."""

    hosts: tuple[Probed, ...]


class DiscoverRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`cmd.registry.discover`: look at this user's Spaces now."""

    user: str


class SpaceSeen(msgspec.Struct, frozen=True, omit_defaults=True):
    """What discovery found in one Space."""

    space: str
    """`owner/name`."""
    stage: str
    """As the Hub says it: RUNNING, SLEEPING, BUILDING, ..."""
    host: str = ""
    """Id of the host it is registered as; empty: it is none."""
    problem: str = ""
    """Why it is none, or why what was known of it stands; empty: all is well."""


class Discovered(msgspec.Struct, frozen=True):
    """Answer to a `DiscoverRequest`."""

    spaces: tuple[SpaceSeen, ...]


class Accepted(msgspec.Struct, frozen=True):
    """Answer to a submission: the task's id and the sequence of its `task.created`."""

    task: str
    seq: int
    duplicate: bool = False
    """The same task was accepted before; `seq` is the original's."""


class Refused(msgspec.Struct, frozen=True, omit_defaults=True):
    """Answer to what was not accepted; nothing was done."""

    reason: Reason
    message: str
    task: str = ""


ISSUER = "metamcp"
"""Claim `iss` of every permit."""
PERMIT_ECHO = "metamcp-jti"
"""Header of an answer to `/execute`: the `jti` of the permit that it is the answer to."""


def permit_id(task: str, attempt: int) -> str:
    """The claim `jti` of the permit of an attempt."""
    return f"{task}.{attempt}"


class PermitClaims(msgspec.Struct, frozen=True):
    """Claims of a permit (a JWT, RS256 or EdDSA, with `kid`); times in whole seconds."""

    iss: str
    sub: str
    """The user."""
    aud: str
    """Whom it is for: the https origin that is called; of a host without one, its id."""
    jti: str
    """`<task>.<attempt>`: a host refuses, or answers again, what it has seen."""
    iat: int
    nbf: int
    exp: int
    task_id: str
    attempt: int
    input_sha256: str
    """Digest of the exact bytes of the task's input."""
    task_type: str = ""
    """What the host is asked to do; the body of `/execute` does not say."""
    host: str = ""
    """The host's id; earlier releases named it in `aud`."""


# Websocket, protocol metamcp.v1 (see docs/protocol.md). Client frames are told apart by `op`.

PROTOCOL = "metamcp.v1"


FollowTo: TypeAlias = Literal["tasks", "task", "batch", "operations", "hosts", "all"]
"""What one can follow: one's own tasks, one of them, those of a batch, one's operations, the hosts,
or, for auditors, everything."""


class ClientAuth(
    msgspec.Struct, frozen=True, tag_field="op", tag="auth", forbid_unknown_fields=True
):
    """Say who is there; again before the token expires."""

    ref: int
    token: str


class Subscribe(
    msgspec.Struct, frozen=True, tag_field="op", tag="subscribe", forbid_unknown_fields=True
):
    """Follow facts under the name `sub`; `after` is the last sequence already seen, `mark` what the
    server has sent with it."""

    ref: int
    sub: str
    to: FollowTo = "tasks"
    task: str | None = None
    types: tuple[str, ...] = ()
    after: int | Literal["start"] | None = None
    epoch: str | None = None
    mark: str | None = None
    batch: str | None = None
    """With `to: "batch"`, which."""


class Unsubscribe(
    msgspec.Struct, frozen=True, tag_field="op", tag="unsubscribe", forbid_unknown_fields=True
):
    """Stop following."""

    ref: int
    sub: str


class Submit(msgspec.Struct, frozen=True, tag_field="op", tag="submit", forbid_unknown_fields=True):
    """Create a task."""

    ref: int
    task: TaskRequest


class Cancel(msgspec.Struct, frozen=True, tag_field="op", tag="cancel", forbid_unknown_fields=True):
    """Ask to cancel a task."""

    ref: int
    task: str


ClientFrame: TypeAlias = ClientAuth | Subscribe | Unsubscribe | Submit | Cancel


class Hello(msgspec.Struct, frozen=True, tag_field="op", tag="hello"):
    """The server's first frame."""

    protocol: str
    epoch: str
    """Creation time of the log; another value means another log: start over."""
    head: int
    """Last sequence this gateway has seen."""
    ping_s: int
    limits: dict[str, int]
    mark: str = ""
    """Proves `head`, see `Subscribe`; a server that sends none takes none."""


class Ack(msgspec.Struct, frozen=True, tag_field="op", tag="ack", omit_defaults=True):
    """A client frame was carried out; which fields are set depends on the frame."""

    ref: int
    user: str | None = None
    expires: float | None = None
    recovered: bool | None = None
    """Every fact after `after` will be delivered. Never true for a part of them."""
    task: str | None = None
    seq: int | None = None


class Event(msgspec.Struct, frozen=True):
    """A fact with its place in the log."""

    seq: int
    at: float
    event: msgspec.Raw


class Events(msgspec.Struct, frozen=True, tag_field="op", tag="events"):
    """Facts, in order."""

    sub: str
    events: list[Event]
    mark: str = ""
    """Proves the sequence of the last of them, see `Subscribe`."""


class CaughtUp(msgspec.Struct, frozen=True, tag_field="op", tag="caught_up"):
    """History through `seq` has been delivered; what follows is live."""

    sub: str
    seq: int
    mark: str = ""
    """Proves `seq`, see `Subscribe`."""


class ProgressFrame(
    msgspec.Struct, frozen=True, tag_field="op", tag="progress", omit_defaults=True
):
    """Live progress; it has no sequence and is not replayed."""

    task: str
    attempt: int
    progress: float
    total: float | None = None
    message: str = ""


def waiting_frame(task: str, times: int, waiting: str) -> ProgressFrame:
    """What a task without a host waits for, told for the `times`th time: attempt 0, and progress
    that rises and is below that of any work."""
    return ProgressFrame(task, 0, min(times, 999_999) / 1_000_000, None, f"waiting: {waiting}")


class ErrorFrame(msgspec.Struct, frozen=True, tag_field="op", tag="error", omit_defaults=True):
    """A frame was refused; the socket stays open."""

    code: str
    message: str
    ref: int | None = None


ServerFrame: TypeAlias = Hello | Ack | Events | CaughtUp | ProgressFrame | ErrorFrame


class HttpError(msgspec.Struct, frozen=True):
    """The `error` of a failed HTTP answer."""

    code: int
    """The HTTP status."""
    reason: str
    message: str
    path: str
    details: Any = None
    request_id: str = ""
