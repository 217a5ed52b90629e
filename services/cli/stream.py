"""A stream of facts from the gateway's websocket that survives cuts.

Apart from the client of HTTP, because a command that follows nothing need not load it.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Literal, TypeAlias

import msgspec
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidStatus
from websockets.typing import Subprotocol

from contracts.errors import Reason
from contracts.facts import Record
from contracts.wire import (
    PROTOCOL,
    Ack,
    CaughtUp,
    ErrorFrame,
    Events,
    FollowTo,
    Hello,
    ProgressFrame,
    ServerFrame,
    Subscribe,
    Unsubscribe,
)
from services.cli.client import hint, record, unreachable
from services.cli.common import CliError, Exit
from services.cli.target import Target
from services.process.backoff import delay

_FRAME_BYTES = 16 * 1024 * 1024
_FIRST_DELAY, _LAST_DELAY = 0.1, 5.0
_NEVER_AGAIN = range(4400, 4500)
_UNAUTHORIZED = 4401
_NOT_UNDERSTOOD = (Reason.BAD_REQUEST, Reason.BAD_ID, Reason.TOO_LARGE)

_frames: msgspec.json.Decoder[ServerFrame] = msgspec.json.Decoder(ServerFrame)

Item: TypeAlias = Record | ProgressFrame | CaughtUp
Scope = FollowTo
Note = Callable[[str], object]


class FactStream:
    """Facts from the gateway's websocket, resumed after a cut at the last one seen."""

    def __init__(self, target: Target, note: Note) -> None:
        """`note` is told about cuts and gaps."""
        self._target = target
        self._note = note
        self._epoch: str | None = None
        self._after: int | Literal["start"] | None = None
        self._mark = ""
        """Proves that the log still has the fact at `_after`; empty: nothing does."""

    async def follow(
        self,
        to: Scope,
        *,
        task: str | None = None,
        batch: str | None = None,
        types: Sequence[str] = (),
        after: int | Literal["start"] | None = None,
    ) -> AsyncIterator[Item]:
        """Yield facts in order, each once, with progress between them; for ever.

        Raises CliError when the gateway refuses, or was not there in the first place.
        """
        self._after, self._mark = after, ""
        wanted = Subscribe(ref=1, sub="cli", to=to, task=task, types=tuple(types), batch=batch)
        failures, seen = 0, False
        while True:
            try:
                async with self._connected() as socket:
                    hello = await self._hello(socket)
                    await self._subscribe(socket, wanted, hello)
                    failures, seen = 0, True
                    async for item in self._items(socket):
                        yield item
            except ConnectionClosed as error:
                self._check_close(error)
            except InvalidStatus as error:
                if error.response.status_code in (401, 403):
                    raise CliError(
                        Exit.REFUSED, "The gateway refuses this token.", hint(401, "")
                    ) from error
                if not seen:
                    raise unreachable(self._target.url, error) from error
            except (OSError, TimeoutError, InvalidHandshake) as error:
                if not seen:
                    raise unreachable(self._target.url, error) from error
            failures += 1
            self._note("The stream was cut; it resumes where it stopped.")
            await asyncio.sleep(delay(failures + 1, _FIRST_DELAY, _LAST_DELAY, random.random()))

    def _connected(self) -> connect:
        return connect(
            self._target.stream,
            additional_headers=self._target.headers,
            subprotocols=[Subprotocol(PROTOCOL)],
            max_size=_FRAME_BYTES,
            ssl=self._target.trust,
            proxy=None if self._target.here else True,
        )

    async def _hello(self, socket: ClientConnection) -> Hello:
        hello = _frames.decode(await socket.recv())
        if not isinstance(hello, Hello):
            raise CliError(Exit.FAILED, f"{self._target.url} does not speak {PROTOCOL}.")
        if self._epoch not in (None, hello.epoch):
            self._start_over()
        self._epoch = hello.epoch
        return hello

    async def _subscribe(self, socket: ClientConnection, wanted: Subscribe, hello: Hello) -> None:
        epoch = self._epoch if isinstance(self._after, int) else None
        # A gateway that sends no marks is of a release that takes none.
        mark = self._mark if epoch and hello.mark and self._mark else None
        asked = msgspec.structs.replace(wanted, after=self._after, epoch=epoch, mark=mark)
        await self._ask(socket, asked)
        ack = await self._answer(socket, wanted.ref)
        if mark and ack.recovered is False:
            # What was shown is not in this log, so neither is it known what has not been.
            self._start_over()
            await self._ask(socket, Unsubscribe(wanted.ref, wanted.sub))
            await self._answer(socket, wanted.ref)
            await self._ask(socket, msgspec.structs.replace(wanted, after="start"))
            await self._answer(socket, wanted.ref)
        elif self._after is not None and ack.recovered is False:
            self._note("Some facts since the last one seen can't be delivered.")
        if self._after is None:
            # From here on a cut must not lose anything, so the place to resume is fixed now.
            self._after, self._mark = hello.head, hello.mark

    def _start_over(self) -> None:
        self._note("The log is a new one; facts are shown from its start.")
        self._after, self._mark = "start", ""

    async def _ask(self, socket: ClientConnection, frame: Subscribe | Unsubscribe) -> None:
        await socket.send(msgspec.json.encode(frame).decode())

    async def _answer(self, socket: ClientConnection, ref: int) -> Ack:
        """The answer to a frame. Raises CliError where it is refused."""
        while True:
            frame = _frames.decode(await socket.recv())
            if isinstance(frame, ErrorFrame):
                understood = frame.code not in _NOT_UNDERSTOOD
                why = hint(0, frame.code) if frame.code == Reason.INSUFFICIENT_SCOPE else ""
                raise CliError(Exit.REFUSED if understood else Exit.USAGE, frame.message, why)
            if isinstance(frame, Ack) and frame.ref == ref:
                return frame

    async def _items(self, socket: ClientConnection) -> AsyncIterator[Item]:
        async for text in socket:
            frame = _frames.decode(text)
            if isinstance(frame, Events):
                for event in frame.events:
                    last = event is frame.events[-1]
                    self._after, self._mark = event.seq, frame.mark if last else ""
                    yield record(event.seq, event.at, bytes(event.event))
            elif isinstance(frame, CaughtUp):
                if not isinstance(self._after, int) or frame.seq >= self._after:
                    self._after, self._mark = frame.seq, frame.mark
                yield frame
            elif isinstance(frame, ProgressFrame):
                yield frame
            elif isinstance(frame, ErrorFrame):
                self._note(f"The gateway says: {frame.message}")
        # A clean close by the server is a cut as well: it is shutting down.

    def _check_close(self, error: ConnectionClosed) -> None:
        received = error.rcvd
        if received is not None and received.code in _NEVER_AGAIN:
            why = received.reason or f"code {received.code}"
            what = hint(401, "") if received.code == _UNAUTHORIZED else ""
            raise CliError(Exit.REFUSED, f"The gateway closed the stream: {why}", what) from error
