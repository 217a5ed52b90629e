"""`GET /api/events`: the same facts as the websocket's, as server-sent events for simple clients.

One event a fact; its id is the place to resume from, which browsers send as `Last-Event-ID`.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter, deque
from collections.abc import AsyncIterator, Callable
from typing import Annotated, Any, Literal, NamedTuple

import msgspec
from litestar import get
from litestar.di import NamedDependency
from litestar.params import HeaderParameter, QueryParameter
from litestar.response import Stream

from contracts import facts, scopes, wire
from contracts.budget import BudgetOf
from contracts.errors import Reason, Rejected
from services.gateway.access.identity import Principal
from services.gateway.access.use import SOON_S, OverBudget
from services.gateway.http.parts import Asking, Parts, Wired
from services.gateway.openapi.document import described
from services.gateway.stream import frames
from services.gateway.stream.history import History, Start
from services.gateway.stream.marks import mark_of
from services.gateway.stream.rules import check_subscription
from services.gateway.stream.subscription import Subscription
from services.log.port import named

PING_S = 15.0
RETRY_MS = 1000
"""How long browsers wait before they connect again."""

To = Annotated[
    wire.FollowTo,
    QueryParameter(
        description="One's own tasks, one task, those of a batch, one's operations, the hosts, or,"
        " for auditors, all."
    ),
]
Types = Annotated[
    list[str] | None, QueryParameter(description="Only facts of these types.", max_items=32)
]
After = Annotated[
    str | None,
    QueryParameter(description="A sequence, or `start`; without one, only what is new."),
]
LastId = Annotated[
    str | None,
    HeaderParameter(name="Last-Event-ID", description="Goes before `after`.", required=False),
]


class _Typed(msgspec.Struct):
    type: Any = ""
    id: Any = ""


_op: msgspec.json.Decoder[wire.Events | wire.CaughtUp | wire.ProgressFrame] = msgspec.json.Decoder(
    wire.Events | wire.CaughtUp | wire.ProgressFrame
)
_type = msgspec.json.Decoder(_Typed)


class EventStream:
    """One client's events, as a reader of the feed: what waits is bounded."""

    def __init__(self, epoch: str, limit: int, token: str | None = None) -> None:
        """`limit`: bytes that may wait; more ends the stream, and the client resumes.

        `token`: id of the token that was shown, if it can be revoked.
        """
        self.token = token
        self._epoch = epoch
        self._limit = limit
        self._waiting: deque[bytes] = deque()
        self._queued = 0
        self._some = asyncio.Event()
        self._empty = asyncio.Event()
        self._empty.set()
        self.over = False

    def offer(self, frame: bytes) -> None:
        """Take a websocket frame; see `frames.text_frame`."""
        text = self._events(frame)
        self._waiting.append(text)
        self._queued += len(text)
        self._empty.clear()
        if self._queued > self._limit:
            self.end()
        self._some.set()

    def offer_if_idle(self, frame: bytes) -> None:
        """Take a frame that may as well be lost: only if nothing waits."""
        if not self._waiting:
            self.offer(frame)

    async def room(self) -> bool:
        """Wait until nothing waits; False if the client has gone."""
        await self._empty.wait()
        return not self.over

    def end(self) -> None:
        """Send nothing more."""
        self.over = True
        self._waiting.clear()
        self._some.set()
        self._empty.set()

    async def take(self, within_s: float) -> bytes:
        """Wait for what is next; a comment that keeps the connection open if that takes long."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(within_s):
                await self._some.wait()
        text = b"".join(self._waiting)
        self._waiting.clear()
        self._queued = 0
        self._some.clear()
        self._empty.set()
        return text or b": still here\n\n"

    def _events(self, frame: bytes) -> bytes:
        match _op.decode(frames.payload(frame)):
            case wire.Events(events=events):
                return b"".join(self._event(event) for event in events)
            case wire.CaughtUp(seq=seq, mark=mark):
                return self._text("caught_up", seq, mark, b'{"seq":%d}' % seq)
            case wire.ProgressFrame() as progress:
                return b"event: progress\ndata: %b\n\n" % msgspec.json.encode(progress)

    def _event(self, event: wire.Event) -> bytes:
        try:
            said = _type.decode(event.event)
        except facts.UNREADABLE:
            said = _Typed()
        kind = said.type if isinstance(said.type, str) and said.type else "unknown"
        name = named(said.id if isinstance(said.id, str) else "", bytes(event.event))
        return self._text(kind, event.seq, mark_of(event.seq, name), msgspec.json.encode(event))

    def _text(self, kind: str, seq: int, mark: str, data: bytes) -> bytes:
        # JSON in one line: what is stored has no line break outside of strings, and there it is \n.
        head = f"id: {seq}@{self._epoch}@{mark}\nevent: {kind}\ndata: "
        return head.encode() + data.replace(b"\n", b" ") + b"\n\n"


class EventStreams:
    """Every open stream of events, and what they need."""

    def __init__(
        self, history: History, budget_of: BudgetOf, holds: Callable[[Principal], bool]
    ) -> None:
        """`holds`: whether what a principal has shown is still good."""
        self.history = history
        self._holds = holds
        self._budget_of = budget_of
        self._open: set[EventStream] = set()
        self._users: Counter[str] = Counter()
        """How many of them each user has."""

    def __len__(self) -> int:
        return len(self._open)

    def check_room(self, who: Principal) -> None:
        """Refuse a user another stream where that is one too many. Raises OverBudget."""
        most = self._budget_of(who.user).event_streams
        if self._users[who.user] >= most and not who.operator:
            text = f"budget event_streams: {who.user} has {most} streams of events open"
            raise OverBudget(f"{text}, the most there may be: close some", SOON_S)

    def end_all(self) -> None:
        """Let every client come back elsewhere."""
        for stream in list(self._open):
            stream.end()

    def revoke(self, tokens: frozenset[str]) -> None:
        """End every stream that was opened with one of these tokens."""
        for stream in list(self._open):
            if stream.token in tokens:
                stream.end()

    async def events(
        self, parts: Parts, principal: Principal, request: wire.Subscribe, start: Start
    ) -> AsyncIterator[bytes]:
        """Yield the stream's text until the client goes, is too slow, or its token ends."""
        try:
            self.check_room(principal)
        except OverBudget as over:
            # Others of this user have taken the last place since it was looked at.
            yield b"event: refused\ndata: %b\n\n" % msgspec.json.encode({"message": over.message})
            return
        stream = EventStream(parts.log.epoch, parts.settings.queue_bytes, principal.token)
        subscription = Subscription.of(stream, request, principal)
        subscription.begin(start.after, start.strangers)
        self._open.add(stream)
        self._users[principal.user] += 1
        parts.feed.want_progress(subscription, 1)
        catching_up = asyncio.create_task(self.history.run(subscription, stream))
        catching_up.add_done_callback(lambda done: _ended(stream, done))
        try:
            yield b"retry: %d\n\n" % RETRY_MS
            if not self._holds(principal):
                # Revoked before this stream was one of those that `revoke` ends.
                return
            if not start.recovered:
                yield b'event: reset\ndata: {"after":%d}\n\n' % start.after
            while not stream.over and (left := _left(principal)) > 0:
                yield await stream.take(min(left, PING_S))
        finally:
            stream.end()
            catching_up.cancel()
            parts.feed.detach(subscription)
            parts.feed.want_progress(subscription, -1)
            self._open.discard(stream)
            self._users[principal.user] -= 1
            if not self._users[principal.user]:
                del self._users[principal.user]


def _ended(stream: EventStream, task: asyncio.Task[None]) -> None:
    if not task.cancelled() and task.exception() is not None:
        stream.end()


def _left(principal: Principal) -> float:
    left_s = principal.left_s()
    return PING_S if left_s is None else left_s


class Resumed(NamedTuple):
    """Where to resume, as a `subscribe` frame says it."""

    after: int | Literal["start"] | None = None
    epoch: str | None = None
    mark: str | None = None


def place(text: str | None) -> Resumed:
    """Read a place to resume from: `SEQ`, `SEQ@EPOCH`, `SEQ@EPOCH@MARK` or `start`. Raises
    Rejected."""
    if text is None:
        return Resumed()
    if text == "start":
        return Resumed("start")
    seq, _, rest = text.partition("@")
    epoch, _, mark = rest.partition("@")
    if not (seq.isascii() and seq.isdigit() and len(seq) < 19):
        raise Rejected(Reason.BAD_REQUEST, f"{text[:40]!r} is no sequence of the log")
    return Resumed(int(seq), epoch or None, mark or None)


@get(
    "/api/events",
    media_type="text/event-stream",
    opt={"no_compression": True}
    | described(scope=(scopes.TASKS_READ, scopes.HOSTS_READ), errors=(403, 503), ticket=True),
)
async def stream_events(
    parts: Wired,
    principal: Asking,
    event_streams: NamedDependency[EventStreams],
    to: To = "tasks",
    task: Annotated[str | None, QueryParameter(description="With `to=task`.")] = None,
    batch: Annotated[str | None, QueryParameter(description="With `to=batch`.")] = None,
    types: Types = None,
    after: After = None,
    last_event_id: LastId = None,
) -> Stream:
    """Follow facts as server-sent events: `id`, `event` (the type) and `data` (seq, at, event)."""
    if len(event_streams) >= parts.settings.max_connections:
        raise Rejected(Reason.UNAVAILABLE, "too many streams are open: try again")
    event_streams.check_room(principal)
    begin = place(last_event_id if last_event_id is not None else after)
    request = wire.Subscribe(0, "sse", to, task, tuple(types or ()), *begin, batch)
    check_subscription(request, principal)
    start = await event_streams.history.start(request, principal.user)
    events = event_streams.events(parts, principal, request, start)
    # Proxies would keep events until they have many.
    headers = {"X-Accel-Buffering": "no"}
    return Stream(events, media_type="text/event-stream", headers=headers)


ROUTES = (stream_events,)
