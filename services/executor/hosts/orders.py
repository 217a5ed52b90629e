"""What goes between an executor and its workers about the calls of users' hosts.

Pure. A worker gets of a host what a call needs, and no secret but the call's own.
"""

from __future__ import annotations

from typing import Any, Literal, TypeAlias

import msgspec

from contracts.asks import AnswerAction
from contracts.facts import FailureKind
from contracts.host import Capability, Host, OpenApi, Step, Tool
from contracts.said import LogLevel
from services.executor.attempt.inquiry import HostQuestion, HostReply

CALL, CLOSE = "call", "close"
"""Verbs of orders."""
MOST_OUTPUT = 128 * 1024 * 1024
"""Bytes of one answer of a user's host, whatever it says of itself."""


class CallOrder(msgspec.Struct, frozen=True, array_like=True):
    """Make the calls of one attempt."""

    session: str
    host: Host
    spaces: str
    allow_private: bool
    private: str | None
    bearer: str | None
    isolated: bool
    careful: bool
    called: bool | None
    begun_until: float
    """Monotonic time until which a first request may go out without a question: it is noted."""
    left_s: float | None
    """Seconds until the call's deadline; None: it has none."""
    workspaces: str
    made: bool
    """The attempt's workspace is there."""
    roots: tuple[str, ...]
    user: str
    task: str
    attempt: int
    type: str
    raw: bytes
    required: tuple[Capability, ...]
    steps: tuple[Step, ...]
    literal: bool
    permit: str
    timeout_s: float
    trace: str
    """`traceparent` of the call."""
    unlisted: tuple[tuple[str, str], ...] = ()
    """See `AttemptPlan.unlisted`."""
    reply: HostReply | None = None
    """See `Call.reply`."""
    read: tuple[str, bytes] | None = None
    """See `AttemptPlan.read`."""


class CallEnd(msgspec.Struct, frozen=True, array_like=True):
    """How they ended: with a result, or a failure. What was answered, which may be an error, stands
    in here or in the file that comes along."""

    called: bool | None
    made: bool
    remarks: tuple[str, ...] = ()
    value: bytes = b""
    """The answer as JSON; empty: it lies in the file, or there is none."""
    kind: FailureKind | None = None
    message: str = ""
    error_called: bool | None = None
    transient: bool = False
    callers: bool = False
    bad_input: str = ""
    """Not empty: the input does not fit its schema, and nothing was called."""
    sign_in: Literal["", "token", "scope"] = ""
    question: HostQuestion | None = None


class Reported(msgspec.Struct, frozen=True, array_like=True, tag=True):
    """Progress of a call."""

    progress: float
    total: float | None
    message: str


class Logged(msgspec.Struct, frozen=True, array_like=True, tag=True):
    """A log message of the host."""

    level: LogLevel
    data: bytes
    logger: str


class Stands(msgspec.Struct, frozen=True, array_like=True, tag=True):
    """Whether the host was called by now."""

    called: bool | None


class MayBegin(msgspec.Struct, frozen=True, array_like=True, tag=True):
    """A request is about to go out: may it? The answer is YES or NO."""

    called: bool | None


class AskPeople(msgspec.Struct, frozen=True, array_like=True, tag=True):
    """The host holds its call open: ask people. The answer is `PeoplesAnswer`."""

    question: HostQuestion


class PeoplesAnswer(msgspec.Struct, frozen=True, array_like=True):
    """What was said, or why nobody was asked or has answered."""

    action: AnswerAction | None = None
    content: dict[str, Any] = {}
    why: str = ""


YES, NO = b"yes", b"no"
Told: TypeAlias = Reported | Logged | Stands | MayBegin | AskPeople


def lean(host: Host, task_type: str, steps: tuple[Step, ...]) -> Host:
    """The host with what a call of these steps needs, and its limits within bounds."""
    binding = host.task_types.get(task_type)
    limits = host.limits
    endpoint, called = host.endpoint, {step.tool for step in steps}
    tools = tuple(tool for tool in host.tools if tool.name in called)
    if isinstance(endpoint, OpenApi):
        endpoint = msgspec.structs.replace(endpoint, document={})
    else:
        # What they say of themselves tells whether they may be called again.
        tools = tuple(
            Tool(tool.name, read_only=tool.read_only, idempotent=tool.idempotent) for tool in tools
        )
    return msgspec.structs.replace(
        host,
        endpoint=endpoint,
        tools=tools,
        capabilities=(),
        task_types={} if binding is None else {task_type: binding},
        limits=msgspec.structs.replace(
            limits, max_output_bytes=min(limits.max_output_bytes, MOST_OUTPUT)
        ),
    )
