"""A work queue over a durable pull consumer: pulls overlap, never ask for more than was granted.

The consumer itself is the operator's; a service only takes messages from it.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
from collections.abc import Sequence
from typing import Any

import msgspec
from nats.aio.subscription import Subscription

from services.bus.client import Message, Outgoing
from services.log.port import Delivery
from services.log.wire import Wire
from services.process.timeouts import timeout

PULL_S = 2.0
LOST_PULL_S = PULL_S + 1.0
RETRY_S = 0.25
CLOSE_S = 1.0
"""How long the server may take to confirm that it sends no more."""
BUSY = 8
"""Messages handed over at once from which on the next ones are given `GATHER_S` to gather."""
GATHER_S = 0.003
LARGEST = 1_200_000
"""Bytes of the largest message there may be (`INTAKE_CONFIG.max_msg_size`), with its subjects."""
ORDINARY_ENDS = ("404", "408")
TOO_BIG = "Message Size Exceeds MaxBytes"
"""How the server ends a pull that the next message does not fit in."""
ACK = b"+ACK"
_NAK_NS = 1_000_000_000


class NatsDelivery:
    """One message; see `Delivery`."""

    def __init__(self, wire: Wire, message: Message) -> None:
        tokens = message.reply.split(".")
        self._wire = wire
        self.reply = message.reply
        self.subject = message.subject
        self.seq = int(tokens[-4])
        self.redelivered = tokens[-5] != "1"
        self.data = message.data
        self.size = len(message.subject + message.reply) + len(message.head) + len(message.data)
        self.trace = message.header(b"traceparent").decode(errors="replace")

    async def ack(self) -> None:
        """Done with it."""
        await self._wire.bus.nc.publish(self.reply, ACK)

    async def nak(self, delay_s: float = 0.0) -> None:
        """Give it back, to come again after `delay_s`."""
        body: dict[str, Any] = {"delay": int(delay_s * _NAK_NS)}
        await self._wire.bus.nc.publish(self.reply, b"-NAK " + msgspec.json.encode(body))

    async def hold(self) -> None:
        """Keep it: the server's wait for an answer begins anew."""
        await self._wire.bus.nc.publish(self.reply, b"+WPI")


class Pull:
    """Room that was asked for and is not filled yet; `size`: bytes, None where none are counted."""

    def __init__(self, count: int, size: int | None) -> None:
        self.count = count
        self.size = size
        self.used = False

    def fill(self, size: int) -> None:
        """Take in a message."""
        self.used = True
        self.count -= 1
        if self.size is not None:
            self.size -= size


class NatsInbox:
    """Reader of one durable consumer; see `Inbox`.

    Messages arrive under the subject they were stored with, so they are counted off the open pulls
    in turn, as the server fills them; the end of a pull is told on its own reply subject.
    """

    def __init__(
        self, wire: Wire, stream: str, durable: str, most_bytes: int | None = None
    ) -> None:
        """`most_bytes`: of messages that were taken and not given back by `want`."""
        self._wire = wire
        self._subject = f"$JS.API.CONSUMER.MSG.NEXT.{stream}.{durable}"
        self._prefix = wire.bus.nc.new_inbox() + "."
        self._numbers = itertools.count(1)
        self._subscription: Subscription | None = None
        self._granted = 0
        self._free = most_bytes
        self._refused = False
        self._pulls: dict[str, Pull] = {}
        """Open pulls, the next one to be filled first, and the room each still has."""
        self._got: list[Delivery] = []
        self._taken = 0
        self._news = asyncio.Event()

    def want(self, n: int, size: int = 0) -> None:
        """Grant room for `n` more messages, and give back `size` bytes."""
        self._granted += n
        if self._free is not None:
            self._free += size
        if self._due():
            self._news.set()

    async def receive(self) -> Sequence[Delivery]:
        """Wait for messages; asks the server for what has been granted."""
        if self._subscription is None:
            await self._subscribe()
        while True:
            await self._pull()
            if self._got:
                if self._taken >= BUSY:
                    await asyncio.sleep(GATHER_S)
                got, self._got = self._got, []
                self._taken = len(got)
                return got
            self._news.clear()
            try:
                async with asyncio.timeout(LOST_PULL_S):
                    await self._news.wait()
            except TimeoutError:
                self._forget_pulls()

    async def ack_all(self, deliveries: Sequence[Delivery]) -> None:
        """Be done with many of this inbox, by one write."""
        acks: list[Outgoing] = []
        for delivery in deliveries:
            assert isinstance(delivery, NatsDelivery), "it came from another inbox"
            acks.append((delivery.reply, "", b"", ACK))
        await self._wire.bus.nc.publish_all(acks)

    async def close(self) -> None:
        """Stop, and give back what nobody has looked at, also what open pulls have still brought.

        Without the connection that is the server's to see: it waits for an answer in vain.
        """
        if self._subscription is None:
            return
        subscription, self._subscription = self._subscription, None
        self._wire.bus.on_reconnected.remove(self._forget_pulls)
        with contextlib.suppress(TimeoutError, *self._wire.bus.publish_errors):
            async with timeout(CLOSE_S):
                # The server confirms it, and by then has sent what it had begun to send.
                await subscription.drain()
        unseen, self._got = self._got, []
        with contextlib.suppress(*self._wire.bus.publish_errors):
            for delivery in unseen:
                await delivery.nak()

    async def _subscribe(self) -> None:
        nc = self._wire.bus.nc
        self._subscription = await nc.subscribe_direct(self._prefix + "*", self._on_message)
        self._wire.bus.on_reconnected.append(self._forget_pulls)

    async def _pull(self) -> None:
        """Ask for all granted room, unless a pull that is still large enough is open."""
        if not self._due():
            return
        if self._refused:
            self._refused = False
            await asyncio.sleep(RETRY_S)
        pull = Pull(self._granted, self._free)
        reply = self._prefix + str(next(self._numbers))
        self._pulls[reply] = pull
        request = {"batch": pull.count, "expires": int(PULL_S * 1e9)}
        self._granted = 0
        if pull.size is not None:
            request["max_bytes"], self._free = pull.size, 0
        try:
            await self._wire.bus.wait_connected()
            await self._wire.bus.nc.publish(self._subject, msgspec.json.encode(request), reply)
        except self._wire.bus.publish_errors:
            self._refused = True
            self._end(reply)

    def _due(self) -> bool:
        every = self._pulls.values()
        if self._granted <= 0 or self._granted * 4 < sum(pull.count for pull in every):
            return False
        if self._free is None:
            return True
        # With less than the largest message, the server would end the pull at once.
        return self._free >= LARGEST and self._free * 4 >= sum(pull.size or 0 for pull in every)

    def _on_message(self, message: Message) -> None:
        if message.subject in self._pulls:
            full = message.description.startswith(TOO_BIG) and self._pulls[message.subject].used
            self._refused = not full and message.status not in ORDINARY_ENDS
            self._end(message.subject)
        elif not message.subject.startswith(self._prefix):
            delivery = NatsDelivery(self._wire, message)
            self._got.append(delivery)
            self._count_off(delivery.size)
        self._news.set()

    def _count_off(self, size: int) -> None:
        turn = next(iter(self._pulls), None)
        if turn is not None:
            pull = self._pulls.pop(turn)
            pull.fill(size)
            if pull.count > 0:
                self._pulls[turn] = pull
            else:
                self.want(0, pull.size or 0)

    def _end(self, reply: str) -> None:
        """Close a pull; room it did not use can be asked for again."""
        if (pull := self._pulls.pop(reply, None)) is not None:
            self.want(pull.count, pull.size or 0)

    def _forget_pulls(self) -> None:
        for reply in list(self._pulls):
            self._end(reply)
        self._news.set()
