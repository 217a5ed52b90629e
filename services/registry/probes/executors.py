"""The executors, as a registry meets them: who is there, and who has a session with a host."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import time
import zlib
from collections.abc import Callable, Iterable

import msgspec

from contracts import subjects
from contracts.errors import Rejected
from contracts.held import (
    Holder,
    HolderRequest,
    SessionAnswer,
    SessionRequest,
    SessionState,
)
from services.bus.all import ask_all
from services.bus.bus import Bus
from services.bus.errors import BusError, BusTimeout, NoResponders

LOST_S = 5.0
"""An executor that has not been heard of for so long is gone, and at a start they have so long to
come: nothing that is theirs is begun here before."""
LOOK_S = 1.0
SLACK_S = 2.0
"""For an answer on its way, beyond the time that the executor has for it."""
START_S = 5.0
"""A start that takes longer is asked after again."""
UNPACKED_BYTES = 8 * 1024 * 1024
"""The longest answer of a host that is taken, as of a process of the registry's own."""


class ExecutorLost(Exception):
    """The executor does not answer any more: nothing is known of its hosts."""


class Unasked(Exception):
    """Nobody can be asked now, because NATS is away."""


class ExecutorPeers:
    """Who has been heard of lately."""

    def __init__(self, bus: Bus, clock: Callable[[], float] = time.monotonic) -> None:
        self._bus = bus
        self._clock = clock
        self._began = clock()
        self._heard: dict[str, float] = {}
        self._answered: dict[str, float] = {}
        self._came = asyncio.Event()
        self.alone: set[str] = set()
        """Hosts of which the registry runs a process of its own."""
        self.on_new: Callable[[Iterable[str]], None] = lambda hosts: None
        """Called with those when an executor is new, or back."""

    def hear(self, subject: str) -> None:
        """Take a beat, whose subject says whose it is."""
        instance, now = subject.rpartition(".")[2], self._clock()
        new = now - self._heard.get(instance, -LOST_S) >= LOST_S
        self._heard = {name: at for name, at in self._heard.items() if now - at <= LOST_S}
        self._heard[instance] = now
        if new:
            self._came.set()
            self.on_new(tuple(self.alone))

    def alive(self, instance: str) -> bool:
        """Whether it has been heard of lately."""
        since = self._clock() - LOST_S
        return max(one.get(instance, since) for one in (self._heard, self._answered)) > since

    async def holder(self, host: str, seq: int) -> str | None:
        """Who has a session with the host or would begin one; None: nobody.

        Waits for those that are heard of and do not answer. Raises Unasked.
        """
        until = self._clock() + 2 * LOST_S
        while True:
            self._came.clear()
            try:
                return await self._holder(host, seq)
            except Rejected:
                return None
            except (NoResponders, BusTimeout):
                pass
            except (BusError, msgspec.MsgspecError) as error:
                raise Unasked(str(error)) from error
            last = max([self._began, *self._heard.values()])
            if (left := min(last + LOST_S, until) - self._clock()) <= 0:
                return None
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(min(left, LOOK_S)):
                    await self._came.wait()

    async def ask(self, instance: str, request: SessionRequest) -> SessionAnswer:
        """Ask one executor. Raises ExecutorLost, and Rejected: it has no session to show."""
        payload = msgspec.json.encode(request)
        subject, within_s = subjects.look(instance), request.within_s + SLACK_S
        asking = asyncio.ensure_future(self._bus.request(subject, payload, timeout=within_s))
        try:
            while not (await asyncio.wait([asking], timeout=LOOK_S))[0]:
                if not self.alive(instance):
                    raise ExecutorLost(f"{instance} has not been heard of for {LOST_S:g} s")
            return _unpacked(msgspec.json.decode(asking.result(), type=SessionAnswer))
        except (BusError, msgspec.MsgspecError, zlib.error) as error:
            raise ExecutorLost(f"{instance}: {error}") from error
        finally:
            asking.cancel()

    async def opened(self, instance: str, host: str, seq: int) -> SessionAnswer:
        """What comes of a session, once it has begun or ended. Raises as `ask` does."""
        while True:
            answer = await self.ask(instance, SessionRequest(host, seq, within_s=START_S))
            if answer.state is not SessionState.STARTING:
                return answer

    async def _holder(self, host: str, seq: int) -> str:
        subject = subjects.command("executor", "holder")
        answers = await ask_all(self._bus, subject, msgspec.json.encode(HolderRequest(host, seq)))
        every = [msgspec.json.decode(answer, type=Holder) for answer in answers]
        if not (found := [one for one in every if not one.leaving]):
            raise NoResponders("all of them stop")
        now = self._clock()
        self._answered = {name: at for name, at in self._answered.items() if now - at <= LOST_S}
        self._answered |= {one.instance: now for one in found}
        # One that has it, else any, and not the same one for every host.
        return max(found, key=lambda one: (one.open, _draw(host, one.instance))).instance


def _draw(host: str, instance: str) -> bytes:
    return hashlib.sha256(f"{host} {instance}".encode()).digest()


def _unpacked(answer: SessionAnswer) -> SessionAnswer:
    if not answer.packed:
        return answer
    data = zlib.decompressobj().decompress(answer.packed, UNPACKED_BYTES)
    return msgspec.structs.replace(answer, data=msgspec.Raw(data), packed=b"")
