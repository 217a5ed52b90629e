"""The websocket protocol `metamcp.v1` (docs/protocol.md): one `Connection` per socket.

A refused frame is answered and never closes the socket; what closes it has a code that says whether
to come back (4000-4099) or not (4400-4499).
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from typing import TypeAlias

import msgspec

from contracts import wire
from contracts.errors import Reason, Rejected
from contracts.nesting import MAX_DEPTH, too_deep
from services.gateway import domain
from services.gateway.access.identity import UNKNOWN, Principal
from services.gateway.access.use import SOON_S, OverBudget
from services.gateway.actor import Desk
from services.gateway.refusals import DENIALS
from services.gateway.settings import Settings
from services.gateway.stream import frames
from services.gateway.stream.feed import Feed
from services.gateway.stream.history import History
from services.gateway.stream.rules import check_frame, check_subscription, may_follow
from services.gateway.stream.socket import StreamSocket
from services.gateway.stream.subscription import Subscription
from services.gateway.stream.work import SubmitFrame, Work, refused
from services.log.port import LogUnavailable
from services.process import telemetry
from services.store.blobs import StoreError

PING_S = 25
AUTH_S = 5.0
FRAME_LIMIT = 1024 * 1024
FRAME_NESTING = MAX_DEPTH + 1
"""A task in a frame may be as deep as one alone."""
MOST_MALFORMED = 10
"""Malformed frames in a row; then the socket is closed."""
IN_FLIGHT = 256
"""Submissions and cancellations of one socket at once; more are read later."""
RESTART, RESET, CROWDED = 4000, 4001, 4029
MALFORMED, UNAUTHORIZED = 4400, 4401

log = telemetry.get_logger()

Authenticate = Callable[[str], Awaitable[Principal | None]]
Denied = Callable[[Principal | None, str, str, str], None]
"""Notes that somebody was kept out: who, from what frame, why, and what was missing."""

Frame: TypeAlias = wire.ClientAuth | wire.Subscribe | wire.Unsubscribe | SubmitFrame | wire.Cancel


class _Ref(msgspec.Struct):
    ref: int | None = None


_frames: msgspec.json.Decoder[Frame] = msgspec.json.Decoder(Frame)
_ref: msgspec.json.Decoder[_Ref] = msgspec.json.Decoder(_Ref)


class Streams:
    """What all connections share, and the list of them."""

    def __init__(
        self,
        feed: Feed,
        history: History,
        desk: Desk,
        authenticate: Authenticate,
        holds: Callable[[Principal], bool],
        settings: Settings,
        epoch: str,
    ) -> None:
        """`holds`: whether what a principal has shown is still good; `epoch`: the log's."""
        self.feed = feed
        self.history = history
        self.desk = desk
        self.authenticate = authenticate
        self.holds = holds
        self.settings = settings
        self.epoch = epoch
        self.connections: set[Connection] = set()
        self.users: Counter[str] = Counter()
        """How many of them each user has."""
        self.known = 0
        """How many have a user."""
        self.subscriptions: Counter[str] = Counter()
        """How many subscriptions each user has on them."""

    @property
    def full(self) -> bool:
        """Whether another connection would be one too many; those that nobody knows may go."""
        return self.known >= self.settings.max_connections

    async def serve(
        self, socket: StreamSocket, principal: Principal | None, denied: Denied, *, refused: bool
    ) -> None:
        """Speak with one client until it or we close; `refused`: its request had a bad token."""
        socket.limit = self.settings.queue_bytes
        connection = Connection(self, socket, denied)
        self.connections.add(connection)
        try:
            await connection.run(principal, refused=refused)
        finally:
            self.connections.discard(connection)
            connection.close()
            if connection.user is not None:
                self._leave(connection.user)
            socket.let_go()

    def _leave(self, user: str) -> None:
        self.known -= 1
        self.users[user] -= 1
        if not self.users[user]:
            del self.users[user]

    def crowded(self, principal: Principal) -> bool:
        """Whether another connection of this user would be one too many; the operator has room."""
        return self.crowds(principal, self.users[principal.user])

    def crowds(self, principal: Principal, count: int) -> bool:
        """Whether so many connections of a kind are all that this user may have."""
        return not principal.operator and count >= self.settings.max_user_connections

    def check_subscription(self, who: Principal) -> None:
        """Refuse one more of a user who has too many. Raises OverBudget."""
        most = self.desk.admission.budget_of(who.user).subscriptions
        if self.subscriptions[who.user] >= most and not who.operator:
            text = f"budget subscriptions: {who.user} has {most}, the most there may be"
            raise OverBudget(f"{text}: unsubscribe from some", SOON_S)

    def unsubscribed(self, user: str) -> None:
        """One of this user's subscriptions is over."""
        self.subscriptions[user] -= 1
        if not self.subscriptions[user]:
            del self.subscriptions[user]

    async def drain(self, within_s: float) -> None:
        """Let running submissions be answered, then ask every client to come back elsewhere."""
        work = [task for connection in self.connections for task in connection.work.running]
        if work:
            await asyncio.wait(work, timeout=within_s)
        self.shut_all(RESTART, "the gateway is stopping: reconnect and resume")

    def revoke(self, tokens: frozenset[str]) -> None:
        """Close every connection that has shown one of these tokens last."""
        for connection in list(self.connections):
            if connection.token in tokens:
                connection.socket.shut(UNAUTHORIZED, "the token was revoked")

    def shut_all(self, code: int, reason: str) -> None:
        """Close every connection."""
        for connection in list(self.connections):
            connection.socket.shut(code, reason)


class Connection:
    """One client: who it is, and what it follows."""

    def __init__(self, streams: Streams, socket: StreamSocket, denied: Denied) -> None:
        self.socket = socket
        self.work = Work(streams.desk, socket.offer, self._note, IN_FLIGHT)
        self._streams = streams
        self._denied = denied
        self._principal: Principal | None = None
        self._subscriptions: dict[str, Subscription] = {}
        self._catching_up: dict[str, asyncio.Task[None]] = {}
        self._malformed = 0

    @property
    def user(self) -> str | None:
        """Whose it is, once that is known."""
        return None if self._principal is None else self._principal.user

    @property
    def token(self) -> str | None:
        """Id of the token it goes by, if that can be revoked."""
        return None if self._principal is None else self._principal.token

    async def run(self, principal: Principal | None, *, refused: bool) -> None:
        """Greet, then answer frames until the connection ends."""
        self._send(self._hello())
        if refused:
            self._shut(UNKNOWN)
            return
        if principal is not None and not self._enter(principal):
            return
        patience = asyncio.get_running_loop().time() + AUTH_S
        while self.socket.open:
            try:
                async with asyncio.timeout_at(self._until(patience)):
                    messages = await self.socket.messages()
            except TimeoutError:
                if self._principal is None:
                    self._shut("no authentication in 5 s")
                else:
                    self.socket.shut(UNAUTHORIZED, "the token has expired")
                return
            await self._take(messages)

    def close(self) -> None:
        """Forget everything the client followed; its submissions go on."""
        for name in list(self._subscriptions):
            self._drop(name)

    def _until(self, patience: float) -> float | None:
        """When to lose patience, in loop time."""
        if self._principal is None:
            return patience
        left_s = self._principal.left_s()
        return None if left_s is None else asyncio.get_running_loop().time() + left_s

    def _hello(self) -> wire.Hello:
        streams = self._streams
        limits = {
            "frame_bytes": FRAME_LIMIT,
            "queue_bytes": streams.settings.queue_bytes,
            "subscriptions": streams.settings.max_subscriptions,
            "in_flight": IN_FLIGHT,
        }
        at, mark = streams.feed.position, streams.feed.mark
        return wire.Hello(wire.PROTOCOL, streams.epoch, at, PING_S, limits, mark)

    async def _take(self, messages: Sequence[bytes]) -> None:
        """Answer frames that came together; of those, submissions are stored together."""
        for data in messages:
            if not self.socket.open:
                break
            frame = self._read(data)
            if frame is None:
                continue
            try:
                await self._handle(frame)
            except Rejected as refusal:
                self._note(frame, refusal)
                self._refuse(frame.ref, refusal.reason, refusal.message)
            except LogUnavailable:
                self._refuse(frame.ref, Reason.UNAVAILABLE, "the log does not answer: try again")
        await self._begin()

    def _read(self, data: bytes) -> Frame | None:
        """Decode a frame; one that can't be is answered here, and too many of those close."""
        try:
            domain.check_depth(data, "it", FRAME_NESTING)
            frame = _frames.decode(data)
        except (Rejected, *domain.UNREADABLE) as error:
            self._refuse(_peek_ref(data), Reason.BAD_REQUEST, f"not a frame: {error}")
            self._malformed += 1
            if self._malformed >= MOST_MALFORMED:
                self.socket.shut(MALFORMED, f"{MOST_MALFORMED} malformed frames in a row")
            return None
        self._malformed = 0
        return frame

    async def _handle(self, frame: Frame) -> None:
        principal = self._principal
        if principal is not None:
            admission = self._streams.desk.admission
            admission.check_frame(principal.user, operator=principal.operator)
            check_frame(type(frame), principal)
        if isinstance(frame, SubmitFrame) and principal is not None:
            await self.work.submit(frame, principal)
            return
        await self._begin()
        if isinstance(frame, wire.ClientAuth):
            await self._authenticate(frame)
            return
        if principal is None:
            raise Rejected(Reason.UNAUTHORIZED, "send an auth frame first")
        match frame:
            case wire.Subscribe():
                await self._subscribe(frame, principal)
            case wire.Unsubscribe():
                if frame.sub not in self._subscriptions:
                    raise Rejected(Reason.NOT_FOUND, f"there is no subscription {frame.sub!r}")
                self._drop(frame.sub)
                self._send(wire.Ack(frame.ref))
            case wire.Cancel():
                await self.work.cancel(frame, principal.user)

    async def _begin(self) -> None:
        """Store what was submitted up to here, before anything else is done."""
        if self._principal is not None:
            await self.work.begin(self._principal)

    def _enter(self, principal: Principal) -> bool:
        """Take a place among the user's connections; closes if there is none."""
        if not self._streams.holds(principal):
            # Revoked before this was one of the connections that `revoke` closes.
            self._shut("the token was revoked", who=principal)
            return False
        if self._streams.crowded(principal):
            self.socket.shut(CROWDED, "this user has too many connections: close some")
            return False
        if self._streams.full:
            self.socket.shut(RESTART, "too many websockets are open: try again")
            return False
        self._principal = principal
        self._streams.users[principal.user] += 1
        self._streams.known += 1
        self.socket.known()
        return True

    async def _authenticate(self, frame: wire.ClientAuth) -> None:
        try:
            principal = await self._streams.authenticate(frame.token)
        except StoreError:
            raise Rejected(Reason.UNAVAILABLE, "tokens can't be looked up now: try again") from None
        if principal is None:
            if self._principal is None:
                self._refuse(frame.ref, Reason.UNAUTHORIZED, UNKNOWN)
                self._shut(UNKNOWN, "auth")
                return
            raise Rejected(Reason.UNAUTHORIZED, f"{UNKNOWN}; the old one counts")
        if self._principal is not None and principal.user != self._principal.user:
            raise Rejected(Reason.FORBIDDEN, "this socket belongs to another user: open a new one")
        if self._principal is None and not self._enter(principal):
            return
        self._principal = principal
        self._send(wire.Ack(frame.ref, user=principal.user, expires=principal.expires))
        for name, subscription in list(self._subscriptions.items()):
            subscription.shown_to(principal)
            if not may_follow(subscription.to, principal):
                self._drop(name)

    async def _subscribe(self, frame: wire.Subscribe, principal: Principal) -> None:
        self._check(frame, principal)
        start = await self._streams.history.start(frame, principal.user)
        subscription = Subscription.of(self.socket, frame, principal)
        subscription.begin(start.after, start.strangers)
        self._subscriptions[frame.sub] = subscription
        self._streams.subscriptions[principal.user] += 1
        self._streams.feed.want_progress(subscription, 1)
        self._send(wire.Ack(frame.ref, recovered=start.recovered, seq=start.after))
        task = asyncio.create_task(self._streams.history.run(subscription, self.socket))
        self._catching_up[frame.sub] = task
        task.add_done_callback(lambda done: self._caught_up(frame.sub, done))

    def _check(self, frame: wire.Subscribe, principal: Principal) -> None:
        most = self._streams.settings.max_subscriptions
        if frame.sub in self._subscriptions:
            raise Rejected(Reason.CONFLICT, f"subscription {frame.sub!r} exists")
        if not 0 < len(frame.sub) <= 64:
            raise Rejected(Reason.BAD_REQUEST, "`sub` is a name of 1 to 64 characters")
        if len(self._subscriptions) >= most:
            raise Rejected(Reason.RATE_LIMITED, f"at most {most} subscriptions per connection")
        self._streams.check_subscription(principal)
        check_subscription(frame, principal)

    def _caught_up(self, name: str, task: asyncio.Task[None]) -> None:
        if self._catching_up.get(name) is task:
            del self._catching_up[name]
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("stream_history_failed", exc_info=error)
            self.socket.shut(RESTART, "history could not be read: reconnect and resume")

    def _drop(self, name: str) -> None:
        subscription = self._subscriptions.pop(name)
        self._streams.unsubscribed(subscription.user)
        if task := self._catching_up.pop(name, None):
            task.cancel()
        self._streams.feed.detach(subscription)
        self._streams.feed.want_progress(subscription, -1)

    def _send(self, frame: wire.ServerFrame) -> None:
        self.socket.offer(frames.message(frame))

    def _refuse(self, ref: int | None, reason: Reason, message: str) -> None:
        self._send(refused(ref, reason, message))

    def _note(self, frame: Frame, refusal: Rejected) -> None:
        """Note that somebody was kept out, if that is why a frame is refused."""
        if refusal.reason in DENIALS:
            what = str(frame.__struct_config__.tag)
            missing = getattr(refusal, "missing", "")
            self._denied(self._principal, what, refusal.reason, missing)

    def _shut(self, why: str, what: str = "", who: Principal | None = None) -> None:
        """Close for somebody who has shown nothing that is good, and note it."""
        self._denied(who, what, Reason.UNAUTHORIZED, "")
        self.socket.shut(UNAUTHORIZED, why)


def _peek_ref(data: bytes) -> int | None:
    """The `ref` of a frame that is otherwise not understood."""
    if too_deep(data, FRAME_NESTING):
        return None
    try:
        return _ref.decode(data).ref
    except domain.UNREADABLE:
        return None
