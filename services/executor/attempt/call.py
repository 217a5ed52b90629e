"""What every kind of host is to the executor: a session that carries out calls, many at a time.

A new kind is one file here and one row in the table of this package.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple, Protocol

import msgspec

from contracts.asks import AnswerAction, TaskAsked
from contracts.facts import FailureKind
from contracts.host import Host
from contracts.reads import ReadsChanged
from services.executor.attempt.course import Course
from services.executor.attempt.inquiry import HostQuestion, HostReply, NobodyAsked
from services.executor.attempt.plan import AttemptPlan
from services.executor.attempt.said import LogLine
from services.executor.attempt.workspace import Workspace
from services.outside.addresses import SPACES
from services.outside.apart.pool import WorkerPool

RESERVED = "io.modelcontextprotocol/"
"""How such keys begin."""

OnProgress = Callable[[float, float | None, str], Awaitable[None]]
"""Called with progress, total and message."""
AskPeople = Callable[[HostQuestion], Awaitable[tuple[AnswerAction, dict[str, Any]]]]
OnSaid = Callable[[LogLine], Awaitable[None]]
"""Called with the log messages of the host."""


class Spooled(NamedTuple):
    """A result too big for memory: JSON bytes in a file, which whoever gets this removes."""

    path: Path
    size: int

    def remove(self) -> None:
        """Delete the file, if it is still there."""
        self.path.unlink(missing_ok=True)


class HostError(Exception):
    """The call did not succeed."""

    def __init__(
        self,
        kind: FailureKind,
        message: str,
        *,
        called: bool | None = False,
        transient: bool = False,
        callers: bool = False,
        sign_in: Literal["", "token", "scope"] = "",
        answer: dict[str, Any] | Spooled | None = None,
        question: HostQuestion | None = None,
    ) -> None:
        super().__init__(f"{kind}: {message}")
        self.kind = kind
        self.message = message
        self.called = called
        """Was the host called? None: it may have been."""
        self.transient = transient
        """The host says that the same call may succeed later."""
        self.callers = callers
        """A well-formed answer, though an error of the protocol: the call is to blame for it, and
        the host is as it should be."""
        self.sign_in = sign_in
        """It wants its user to sign in there: another token may help, or one of more scopes."""
        self.answer = answer
        """What the tool has answered, in the form of results; a file is whoever's who gets this."""
        self.question = question
        """What it asks, of the kind `input_required`."""


class Answer(NamedTuple):
    """What a tool answered, faithfully."""

    content: list[Any]
    """Items as MCP writes them on the wire."""
    structured: Any = None
    is_error: bool = False
    meta: dict[str, Any] | None = None
    """`_meta` of the result."""
    spooled: Spooled | None = None
    """The whole answer, in the form of `wire`, when it is too big; the other fields say little."""

    def text(self) -> str:
        """All text of the answer, joined by newlines."""
        return "\n".join(
            str(item.get("text", "")) for item in self.content if item.get("type") == "text"
        )

    def wire(self) -> dict[str, Any]:
        """The form in which results are stored."""
        meta = {"meta": self.meta} if self.meta else {}
        return {
            "content": self.content,
            "structured": self.structured,
            "is_error": self.is_error,
            **meta,
        }

    def said(self) -> str:
        """What an answer that is an error says, for people: its text, else what it holds."""
        if text := self.text().strip():
            return text
        if self.structured is not None:
            return msgspec.json.encode(self.structured).decode()
        return "the tool answered with an error and no text"

    def value(self) -> Any:
        """What `$step` references look into: structured, else the text as JSON, else the text."""
        if self.structured is not None:
            return self.structured
        text = self.text()
        try:
            return msgspec.json.decode(text)
        except (msgspec.DecodeError, RecursionError):
            return text


def own_meta(meta: Any) -> dict[str, Any] | None:
    """A result's `_meta` without what the protocol itself puts there about the connection."""
    every = meta.items() if isinstance(meta, dict) else ()
    return {name: value for name, value in every if not name.startswith(RESERVED)} or None


class HostPlace:
    """One of a host's places, taken."""

    __slots__ = ("_free", "_taken")

    def __init__(self, free: FreePlaces) -> None:
        self._free = free
        self._taken = True

    def give(self) -> None:
        """Give it back, if it is taken."""
        if self._taken:
            self._taken = False
            self._free.release()

    def take(self) -> None:
        """Take one again, if one is free: whoever goes on does not wait behind others."""
        self._taken = self._free.take()


class FreePlaces(asyncio.Semaphore):
    """The places of a host that are free."""

    def take(self) -> bool:
        """Take one, if one is free and nobody waits for it."""
        if self.locked():
            return False
        self._value -= 1
        return True


async def _unasked(_: HostQuestion) -> tuple[AnswerAction, dict[str, Any]]:
    raise NobodyAsked("nobody can be asked here")


class Call:
    """One attempt's run on a host: what to do, where, and whether the host has been reached."""

    __slots__ = (
        *("ask", "careful", "course", "deadline", "held_s", "isolated", "made", "on_progress"),
        *("on_said", "place", "plan", "private", "reply", "roots", "still_ours", "unheard"),
        "workspace",
    )

    def __init__(
        self,
        plan: AttemptPlan,
        workspace: Workspace,
        on_progress: OnProgress,
        still_ours: Callable[[], Awaitable[bool]],
        roots: Sequence[Path] = (),
        course: Course | None = None,
    ) -> None:
        """`course`: the attempt's; without one it gets its own."""
        self.plan = plan
        self.workspace = workspace
        self.on_progress = on_progress
        self.on_said: OnSaid = _unheard
        self.still_ours = still_ours
        self.roots = roots
        """Folders path arguments may name on every host."""
        self.private: Path | None = None
        """The folder no path argument may name anything in; the pool sets it."""
        self.deadline = math.inf
        """Monotonic time at which whoever made the call cancels it: the host had its time."""
        self.isolated = False
        """It gets a session of its own, see `Route.isolated`."""
        self.careful = False
        """It can't be made again, so its session has to show first that it answers."""
        self.course = course or Course()
        self.made = 0
        """Tools that were called, and have answered."""
        self.reply: HostReply | None = None
        """What an earlier attempt was asked by this host, and the answer."""
        self.ask: AskPeople = _unasked
        """Asks people while the host holds the call open. Raises NobodyAsked."""
        self.place: HostPlace | None = None
        """Its place at the host, which it lends to others while it is held open."""
        self.held_s = 0.0
        """How long it was held so; infinity: it is held now."""
        self.unheard = False
        """The host did not wait for an answer."""

    def lend(self) -> None:
        """Others may have its place at the host."""
        if self.place is not None:
            self.place.give()

    def take(self) -> None:
        """It has its place again, if there is one; it does not wait for that."""
        if self.place is not None:
            self.place.take()

    def follows(self, asked: TaskAsked, tool: str) -> bool:
        """Whether the next call, of this tool, is the one that has asked so."""
        return (asked.tool, asked.calls) == (tool, self.made)

    @property
    def called(self) -> bool | None:
        """See `Course.called`: noted there, so that it outlives the call."""
        return self.course.called

    @called.setter
    def called(self, called: bool | None) -> None:
        self.course.called = called

    async def begin(self) -> None:
        """Note that a request is about to go out.

        Raises HostError(LOST) if the attempt was taken away while it waited.
        """
        if self.called is False and not await self.still_ours():
            raise HostError(FailureKind.LOST, "the attempt was given up while it waited")
        self.called = None


async def _unheard(_: LogLine) -> None:
    """Nobody listens."""


class HostSession(Protocol):
    """A way to one host, with its own connection or process."""

    async def open(self) -> None:
        """Connect or start what a call would otherwise wait for. Raises HostError."""

    async def call(self, call: Call) -> dict[str, Any] | Spooled:
        """Carry out the plan once and return the result to store.

        Cancelling it cancels the work at the host. Raises HostError.
        """

    async def close(self) -> None:
        """End the connection or process; calls still in flight fail with HostError(CUT)."""


def _untold(about: object) -> None:
    """Nobody wants to know."""


class Opening(NamedTuple):
    """What a session is made from."""

    host: Host
    folder: Path
    """For log files of hosts."""
    allow_noop: bool = False
    allow_private: bool = False
    """Hosts that users have registered may lie at private and loopback addresses."""
    private: Path | None = None
    """The orchestrator's own folder: closed to path arguments, but for the workspace."""
    spool: Path = Path()
    """Folder for answers that are too big for memory."""
    spaces: str = SPACES
    """Address of the Space that `hf://owner/space` names; `{subdomain}` is `owner-space`."""
    bearer: str | None = None
    """Sent as bearer token by hosts over HTTP: the secret that the endpoint names."""
    hide: Callable[[str], str] = str
    """Takes the host's secrets out of what it says."""
    isolated: bool = False
    """The session is for one call alone."""
    workers: WorkerPool | None = None
    """The processes in which sessions with users' hosts are held."""
    changed: Callable[[str], None] = _untold
    """Called with the id of a host whose tools may not be those that are known any more."""
    news: Callable[[ReadsChanged], None] = _untold
    """Called with what a host has said unasked of its prompts and resources."""
    user: Callable[[], str] = str
    """Whose session it is by now."""
