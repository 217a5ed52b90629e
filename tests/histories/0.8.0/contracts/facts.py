"""Every fact of the log. What is stored is what stands here: version with care.

A fact holds nothing the log knows already: its time and order are the log's sequence and timestamp.
"""

from __future__ import annotations

import base64
import functools
import hashlib
from enum import StrEnum
from typing import Any, TypeAlias

import msgspec

from contracts.asks import TaskAnswered as TaskAnswered
from contracts.asks import TaskAsked as TaskAsked
from contracts.fact import Fact as Fact
from contracts.host import HealthStatus, Host
from contracts.operation import OperationStarted as OperationStarted
from contracts.operation import OperationStepped as OperationStepped
from contracts.operation import OperationStopped as OperationStopped
from contracts.result import Pointer, Result
from contracts.route import Earlier, Route
from contracts.tags import TaskTagged as TaskTagged
from contracts.task import TaskSpec


class Outcome(StrEnum):
    """How a task ended. Exactly one per task."""

    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"
    TIMED_OUT = "timed_out"
    REJECTED = "rejected"


class FailureKind(StrEnum):
    """What went wrong with one attempt."""

    HOST_GONE = "host_gone"
    UNREACHABLE = "unreachable"
    TOOL = "tool"
    PROTOCOL = "protocol"
    TIMEOUT = "timeout"
    CUT = "cut"
    LOST = "lost"
    TOO_LARGE = "too_large"
    FORBIDDEN_PATH = "forbidden_path"
    BAD_INPUT = "bad_input"
    INPUT_REQUIRED = "input_required"
    """The host has asked something: no fault of anybody, and no attempt that counts."""


class Failure(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """Why an attempt, or the whole task, did not succeed."""

    code: str
    """A `FailureKind`, or one of `no_host`, `host_down`, `queue_timeout`, `outcome_unknown`,
    `invalid`, ..."""
    message: str = ""
    """For people; at most 4 KiB."""


class TaskCreated(Fact, frozen=True, kw_only=True, tag="task.created", gc=False):
    """A user's task was accepted."""

    user: str
    task: str
    spec: TaskSpec
    """What was asked for; never changes."""
    source: str = "api"
    """api, websocket, nats or mcp."""
    invalid: str = ""
    """Not empty: it could not be understood, for this reason; the router rejects it."""
    asked_by: str = ""
    """On whose authority: `token:ID`, `client:ID`, `session:ID`, `publisher:NAME`; empty: the
    installation's own token, or an earlier release."""
    project: str = ""
    """The project it belongs to; empty: none."""
    roles: tuple[str, ...] = ()
    """Roles that whoever asked acted in, besides `user`: hosts may be for some of them only."""


class TaskCancelled(Fact, frozen=True, kw_only=True, tag="task.cancelled", gc=False):
    """The user asked to cancel; the task is over only when `job.done` says so."""

    user: str
    task: str
    reason: str = ""
    """The user's words."""


class TaskRouted(Fact, frozen=True, kw_only=True, tag="task.routed", gc=False):
    """Attempt `attempt` goes to `route.host`."""

    user: str
    task: str
    attempt: int
    route: Route
    """The decision with all its inputs."""


class JobSigned(Fact, frozen=True, kw_only=True, tag="job.signed", gc=False):
    """An executor claimed the attempt and holds a permit for it; the call comes after this fact."""

    user: str
    task: str
    attempt: int
    host: str
    input_sha256: str
    """Digest of the task's input, the same in route, permit and outcome."""
    executor: str
    """Instance name, stable over restarts; heartbeats carry it."""
    incarnation: str
    """Id of this run of that instance."""
    expires: float
    """Seconds since the epoch; the permit's `exp`."""
    permit: str
    """The RS256 JWT: bound to one host, attempt and input. Recorded so that audits verify it."""


class JobFailed(Fact, frozen=True, kw_only=True, tag="job.failed", gc=False):
    """One attempt failed; the router decides what follows."""

    user: str
    task: str
    attempt: int
    host: str
    kind: FailureKind
    """What went wrong."""
    message: str = ""
    """For people; at most 4 KiB."""
    called: bool | None = None
    """Was the host called? None: not known."""
    retryable: bool = False
    """Running it again is harmless, or its outcome is known and may change."""
    elapsed_ms: float = 0.0
    """From the claim to the failure."""
    shared: bool = False
    """Its session died or fell silent, and another call may be the cause: it is not held against
    the task, whose next attempt gets a session of its own."""
    result: Result | None = None
    """What the tool answered, when that was an error; None: there was no such answer, or it could
    not be kept. It is the task's result for as long as no later attempt is routed."""


class JobDone(Fact, frozen=True, kw_only=True, tag="job.done", gc=False):
    """The end of the task."""

    user: str
    task: str
    outcome: Outcome
    """How the task ended."""
    attempt: int = 0
    """The attempt that decided it; 0 if none ran."""
    host: str = ""
    """Where that attempt ran; empty if none ran."""
    input_sha256: str = ""
    """Digest of the task's input; empty if no attempt ran."""
    result: Result | None = None
    """What the host answered; None unless it succeeded. An answer that is an error stands in the
    `job.failed` of the attempt."""
    error: Failure | None = None
    """Why it did not succeed; None if it did."""
    elapsed_ms: float = 0.0
    """Of the host call."""
    remarks: tuple[str, ...] = ()
    """For people: what they should know of a success, such as what was left out of an archive."""
    from_: str = msgspec.field(name="from", default="")
    """Not empty: nothing ran; the result is that of this earlier task, given again. `-` stands for
    a task of another user."""
    earlier: Earlier | None = None
    """Of such an end: where to find the work."""


class ResultStored(Fact, frozen=True, kw_only=True, tag="result.stored", gc=False):
    """The result's bytes have moved to `pointer`."""

    user: str
    task: str
    pointer: Pointer
    """Where the bytes lie now."""


class ResultDeleted(Fact, frozen=True, kw_only=True, tag="result.deleted", gc=False):
    """The result's bytes are gone, by policy or on request."""

    user: str
    task: str
    reason: str
    """Why the bytes are gone."""


class McpRegistered(Fact, frozen=True, kw_only=True, tag="mcp.registered", gc=False):
    """A host was added or changed."""

    host: str
    k: int
    """Counts this host's registrations up from 1."""
    spec: Host
    """The host, with what discovery found."""
    was: str = ""
    """Its id in an earlier release, which knew no owners; what was said of that holds for it."""


class McpRemoved(Fact, frozen=True, kw_only=True, tag="mcp.removed", gc=False):
    """A host is gone."""

    host: str
    k: int
    """Counts this host's removals up from 1."""
    reason: str = ""
    """Why it was removed."""


class McpHealth(Fact, frozen=True, kw_only=True, tag="mcp.health", gc=False):
    """A host's health changed."""

    host: str
    k: int
    """Counts this host's changes of health up from 1."""
    status: HealthStatus
    """What the router counts on from now on."""
    reason: str = ""
    """`<kind>: <what happened and what to do>`; empty when all is well."""
    latency_ms: float = 0.0
    """Of the probe that found it."""
    said: str = ""
    """Why its program did not start, in the program's own words: for admins and auditors."""


class McpPreferred(Fact, frozen=True, kw_only=True, tag="mcp.preferred", gc=False):
    """A user likes or dislikes a host."""

    user: str
    host: str
    k: int
    """Counts this user's preferences for this host up from 1."""
    weight: float | None = None
    """0 (avoid) to 1 (prefer); None takes an earlier preference back."""


class LogRouter(Fact, frozen=True, kw_only=True, tag="log.router", gc=False):
    """A router became the active one."""

    term: int
    """One more than the router's before; what this router writes is guarded on there being no later
    one."""
    again: bool = False
    """It had become so before, and still was when it stored this: the ends of tasks that stand
    behind this fact are of the same atomic batch."""


class LogKey(Fact, frozen=True, kw_only=True, tag="log.key", gc=False):
    """The public half of a signing key."""

    kid: str
    """Thumbprint of the key (RFC 7638), as in the header of permits."""
    jwk: dict[str, Any]
    """The public key as a JSON Web Key."""
    replaces: str = ""
    """Thumbprint of the key that this one replaces; both verify while the change is under way."""


class LogSealed(Fact, frozen=True, kw_only=True, tag="log.sealed", gc=False):
    """A signed digest over the log up to a sequence."""

    k: int
    """Counts the seals up from 1."""
    through: int
    """Last sequence the digest covers."""
    digest: str
    """Over all facts up to there."""
    signature: str = ""
    """Of the digest, by the log's key; empty if it was not signed."""


JobFact: TypeAlias = JobSigned | JobFailed | JobDone
TaskFact: TypeAlias = (
    TaskCreated
    | TaskCancelled
    | TaskRouted
    | TaskAsked
    | TaskAnswered
    | TaskTagged
    | JobSigned
    | JobFailed
    | JobDone
    | ResultStored
    | ResultDeleted
)
HostFact: TypeAlias = McpRegistered | McpRemoved | McpHealth
OperationFact: TypeAlias = OperationStarted | OperationStepped | OperationStopped
AnyFact: TypeAlias = (
    TaskFact | HostFact | McpPreferred | OperationFact | LogRouter | LogKey | LogSealed
)


class Unknown(msgspec.Struct, frozen=True, gc=False):
    """What this release can't read: a newer one has written it, or it is damaged.

    Followers pass over it. Who would need it to decide leaves alone what its subject names.
    """

    id: str
    """Empty if it has none that can be read."""
    tag: str
    """Its type as it says itself; known, when only its content is not."""
    subject: str
    """Where it stands in the log; its tag, where that was not told."""
    why: str
    """What could not be read."""
    data: bytes
    """As it is stored."""

    @property
    def json(self) -> bytes:
        """What is stored; of what is no JSON, an object that holds it in base64."""
        try:
            self.data.decode()
            msgspec.json.decode(self.data, type=msgspec.Raw)
        except UNREADABLE:
            return msgspec.json.encode({"damaged": base64.b64encode(self.data).decode()})
        return self.data


Logged: TypeAlias = AnyFact | Unknown
"""What is read from the log; only an `AnyFact` is ever written."""

UNREADABLE = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)
"""What decoding raises."""


class _Head(msgspec.Struct):
    """What any fact says of itself, if it is one."""

    type: Any = ""
    id: Any = ""


_decoder: msgspec.json.Decoder[AnyFact] = msgspec.json.Decoder(AnyFact)
_head: msgspec.json.Decoder[_Head] = msgspec.json.Decoder(_Head)
_encoder = msgspec.json.Encoder()


class Record(msgspec.Struct, frozen=True, gc=False):
    """A fact with its place in the log."""

    seq: int
    at: float
    """Log time, seconds since the epoch."""
    subject: str
    fact: Logged
    data: bytes
    """The stored JSON, for those who pass it on."""
    trace: str = ""
    """W3C `traceparent`, if the writer had one."""


def encode(fact: AnyFact) -> bytes:
    """Return the fact's JSON, the form the log stores."""
    return _encoder.encode(fact)


def decode(data: bytes, subject: str = "") -> Logged:
    """Read a stored fact: unknown fields are skipped, and what can't be read is an `Unknown`."""
    try:
        return _decoder.decode(data)
    except UNREADABLE as error:
        return _unknown(data, subject, str(error))


def _unknown(data: bytes, subject: str, why: str) -> Unknown:
    try:
        head = _head.decode(data)
    except UNREADABLE:
        head = _Head()
    tag = head.type if isinstance(head.type, str) else ""
    id_ = head.id if isinstance(head.id, str) else ""
    return Unknown(id_, tag, subject or tag, why, data)


@functools.cache
def words() -> str:
    """Digest of all that this release can read: a view that has passed over something is good
    for as long as this stays."""
    schema = msgspec.json.encode(msgspec.json.schema(AnyFact), order="deterministic")
    return hashlib.sha256(schema).hexdigest()[:16]
