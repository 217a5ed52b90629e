"""A question to everybody who serves a subject, where `Bus.request` asks only one of them."""

from __future__ import annotations

import asyncio
import contextlib
import math
from collections.abc import Awaitable, Callable

import nats.errors
from nats.aio.msg import Msg
from nats.micro.request import Request

from contracts.errors import Rejected
from services.bus.bus import Bus
from services.bus.errors import BusError, BusTimeout, NoResponders, translated
from services.bus.serve import Handler, endpoint, payload_of

AskAll = Callable[[str, bytes], Awaitable[list[bytes]]]
MOST_ANSWERS = 64
FIRST_S = 3.0
"""How long the first answer may take …"""
QUIET_S = 0.25
"""… and how long nobody may answer after another before that is all."""


async def answer_all(bus: Bus, subject: str, handler: Handler) -> None:
    """Answer each request on `subject`, as everybody else who does this.

    Else it is as with `Bus.serve`; such a subject belongs to none of its services.
    """
    tasks: set[asyncio.Future[None]] = set()

    def spawn(work: Awaitable[None]) -> None:
        task = asyncio.ensure_future(work)
        tasks.add(task)
        task.add_done_callback(tasks.discard)

    accept = endpoint(subject, handler, spawn)
    await bus.subscribe(subject, lambda message: accept(Request(message)))


async def ask_all(
    bus: Bus,
    subject: str,
    payload: bytes = b"",
    *,
    most: int = MOST_ANSWERS,
    within_s: float = math.inf,
) -> list[bytes]:
    """Return the answers of all who have one within this time, but no more than `most`.

    Raises NoResponders, BusTimeout, PermissionDenied, Disconnected; and if there is no answer but
    refusals, the first of them as Rejected or RequestFailed.
    """
    came: asyncio.Queue[Msg] = asyncio.Queue(most)

    async def take(message: Msg) -> None:
        with contextlib.suppress(asyncio.QueueFull):
            came.put_nowait(message)

    inbox = bus.nc.new_inbox()
    with translated(inbox):
        # Without the round trip of `Bus.subscribe`: the server sees this before the question.
        subscription = await bus.nc.subscribe(inbox, cb=take)
    try:
        await bus.publish(subject, payload, reply=inbox)
        return await _gathered(subject, came, most, within_s)
    finally:
        with contextlib.suppress(nats.errors.Error):
            await subscription.unsubscribe()


async def _gathered(
    subject: str, came: asyncio.Queue[Msg], most: int, within_s: float
) -> list[bytes]:
    clock = asyncio.get_running_loop().time
    end = clock() + within_s
    found: list[bytes] = []
    refusals: list[Exception] = []
    while len(found) + len(refusals) < most:
        try:
            patience_s = QUIET_S if found or refusals else FIRST_S
            async with asyncio.timeout(min(patience_s, end - clock())):
                message = await came.get()
        except TimeoutError:
            break
        if (message.headers or {}).get("Status") == "503":
            raise NoResponders(f"Nobody serves {subject!r}. Is the service running?")
        try:
            found.append(payload_of(message))
        except (Rejected, BusError) as refusal:
            refusals.append(refusal)
    if found:
        return found
    if refusals:
        raise refusals[0]
    raise BusTimeout(f"No answer on {subject!r} in time.")
