"""Reading long history through a consumer that the server forgets by itself.

A direct get costs the server three times as much a fact. There is one of these for each service
that begins far behind, never for a client.
"""

from __future__ import annotations

import asyncio
import contextlib
from bisect import bisect_right
from collections.abc import AsyncGenerator, Sequence
from operator import attrgetter
from typing import Any, NamedTuple

import msgspec
import structlog

from contracts.facts import Record
from contracts.subjects import STREAM
from services.bus.client import Message
from services.bus.names import JS_API, replay_consumers
from services.log.port import ApiRefused, Batch, Batches, LogUnavailable
from services.log.wire import REQUEST_TIMEOUT_S, Numbered, Wire, numbered_of, record_numbered
from services.process.ids import new_id

EVERYTHING = ">"
HISTORY_BATCH = 1000
HISTORY_BYTES = 8 * 1024 * 1024
FORGOTTEN_S = 30
"""A consumer from which nobody has read for so long is gone; one that was read is deleted."""
NO_MORE = ("404", "408")
FULL = ("batch completed", "message size exceeds maxbytes")
"""Why a pull ends that has got as much as it asked for."""
REQUEST = msgspec.json.encode({"batch": HISTORY_BATCH, "max_bytes": HISTORY_BYTES, "no_wait": True})
FAILED = "replaying the log failed"
_seq = attrgetter("seq")

log = structlog.get_logger()


class Pulled(NamedTuple):
    """What one pull has got."""

    records: list[Record]
    whole: bool
    """There is no more."""


class ReplayPull:
    """One request for facts, and what has come of it."""

    def __init__(self, reply: str) -> None:
        self.reply = reply
        self.got: list[Message] = []
        self.whole = False
        """The server has said that there is no more."""
        self._over = asyncio.Event()
        self._why = ""
        """It has said that it gives no more, and why."""

    def take(self, message: Message) -> None:
        """A fact has come."""
        self.got.append(message)
        if len(self.got) == HISTORY_BATCH:
            self._over.set()

    def end(self, message: Message) -> None:
        """The server ends it."""
        self.whole = message.status in NO_MORE
        if not self.whole and message.description.lower() not in FULL:
            self._why = f"{message.status} {message.description}"
        self._over.set()

    async def told(self, lost: asyncio.Future[Any]) -> None:
        """Wait for its end for as long as something comes. Raises LogUnavailable, what `lost`
        raises."""
        over = asyncio.ensure_future(self._over.wait())
        try:
            while not over.done():
                count = len(self.got)
                first = asyncio.FIRST_COMPLETED
                await asyncio.wait((over, lost), timeout=REQUEST_TIMEOUT_S, return_when=first)
                if lost.done():
                    lost.result()
                if not over.done() and len(self.got) == count:
                    raise LogUnavailable(f"{FAILED}: nothing came for {REQUEST_TIMEOUT_S:g} s")
        finally:
            over.cancel()
        if self._why:
            raise LogUnavailable(f"{FAILED}: {self._why}")


class Replay:
    """One reading of all facts that match, in order."""

    def __init__(self, wire: Wire, name: str, *, empty: bool) -> None:
        """Use `begin`. `empty`: nothing matches."""
        self._wire = wire
        self._next = f"{JS_API}.CONSUMER.MSG.NEXT.{STREAM}.{name}"
        self._delete = f"{JS_API}.CONSUMER.DELETE.{STREAM}.{name}"
        self._empty = empty
        self._count = 0
        """Facts that have come."""
        self._inbox = wire.bus.nc.new_inbox()
        self._pulls = 0
        self._pull = ReplayPull("")

    @classmethod
    async def begin(cls, wire: Wire, filters: Sequence[str], after: int) -> Replay | None:
        """Have the server read for us; None where it won't, or all names are taken. Raises
        LogUnavailable, also where the server's permissions are those of an earlier release."""
        if wire.bus.api != JS_API:
            return None
        for name in replay_consumers(wire.bus.user):
            try:
                return await cls._made(wire, name, filters, after)
            except ApiRefused as error:
                # Mostly: another instance has it.
                log.info("replay_not_begun", name=name, error=str(error))
        return None

    @classmethod
    async def _made(cls, wire: Wire, name: str, filters: Sequence[str], after: int) -> Replay:
        config: dict[str, object] = {
            "name": name,
            "ack_policy": "none",
            "deliver_policy": "by_start_sequence",
            "opt_start_seq": after + 1,
            "mem_storage": True,
            "num_replicas": 1,
            "inactive_threshold": FORGOTTEN_S * 1_000_000_000,
            # Whoever asks for what is there already gets it, unless something differs.
            "metadata": {"reading": new_id()},
        }
        if tuple(filters) != (EVERYTHING,):
            config["filter_subjects"] = list(filters)
        body = {"stream_name": STREAM, "config": config, "action": "create"}
        subject = f"{JS_API}.CONSUMER.CREATE.{STREAM}.{name}"
        made = await wire.api(subject, msgspec.json.encode(body))
        return cls(wire, name, empty=not made["num_pending"])

    async def batches(self, until: int) -> Batches:
        """Yield what there is up to there, reading on while a batch is being used.

        Raises LogUnavailable when something was lost on the way: begin anew behind what has come.
        """
        nc = self._wire.bus.nc
        subscription = await nc.subscribe_direct(f"{self._inbox}.*", self._take)
        try:
            if self._empty:
                yield Batch([], until, live=True)
                return
            async with contextlib.aclosing(self._parts()) as parts:
                async for records, whole in parts:
                    over = whole or bool(records and records[-1].seq >= until)
                    count = bisect_right(records, until, key=_seq)
                    after = until if over else records[-1].seq
                    yield Batch(records[:count], after, live=over)
                    if over:
                        return
        finally:
            with contextlib.suppress(*self._wire.bus.publish_errors):
                await subscription.unsubscribe()
                # Without a reply subject the server would not listen.
                await nc.publish(self._delete, reply=f"{self._inbox}.end")

    async def _parts(self) -> AsyncGenerator[Pulled, None]:
        """All that comes, each part asked for while the one before is used."""
        reading = asyncio.create_task(self._pulled())
        try:
            while True:
                part = await reading
                if not part.whole:
                    reading = asyncio.create_task(self._pulled())
                if part.records or part.whole:
                    yield part
                if part.whole:
                    return
        finally:
            reading.cancel()
            await asyncio.wait((reading,))
            if not reading.cancelled():
                reading.exception()

    def _take(self, message: Message) -> None:
        """Facts come under their own subjects; the end of a pull on the reply subject of that."""
        if message.data:
            self._pull.take(message)
        elif message.subject == self._pull.reply:
            self._pull.end(message)

    async def _pulled(self) -> Pulled:
        self._pulls += 1
        pull = self._pull = ReplayPull(f"{self._inbox}.{self._pulls}")
        try:
            with self._wire.waiting() as lost:
                await self._wire.bus.nc.publish(self._next, REQUEST, reply=pull.reply)
                await pull.told(lost)
        except self._wire.bus.publish_errors as error:
            raise LogUnavailable(f"{FAILED}: {error}") from error
        numbered = [numbered_of(message) for message in pull.got]
        self._check(numbered)
        records = [record_numbered(*pair) for pair in zip(pull.got, numbered, strict=True)]
        none_left = bool(numbered) and not numbered[-1].left
        return Pulled(records, none_left or pull.whole)

    def _check(self, numbered: Sequence[Numbered]) -> None:
        """Each has its number: none may be missing."""
        for one in numbered:
            self._count += 1
            if one.number != self._count:
                text = f"fact {self._count} of a replay was lost on the way"
                raise LogUnavailable(f"{FAILED}: {text}")
