"""The stream of facts survives cuts: resumed at the last one seen, or ended with a reason."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import msgspec
import pytest
from websockets.asyncio.server import ServerConnection, serve
from websockets.typing import Subprotocol

from contracts.facts import JobDone, Outcome, Record, encode
from contracts.wire import (
    PROTOCOL,
    Ack,
    CaughtUp,
    ErrorFrame,
    Event,
    Events,
    Hello,
    Subscribe,
    Unsubscribe,
)
from services.cli.client import Target
from services.cli.common import CliError, Exit
from services.cli.stream import FactStream

Conversation = Callable[[ServerConnection, Subscribe], Awaitable[None]]
DONE = encode(
    JobDone(id="f", by="executor-1", user="u", task="t", outcome=Outcome.SUCCEEDED, attempt=1)
)


async def send(socket: ServerConnection, frame: msgspec.Struct) -> None:
    await socket.send(msgspec.json.encode(frame).decode())


async def fact(socket: ServerConnection, *seqs: int, mark: str = "") -> None:
    await send(socket, Events("cli", [Event(n, 1.0, msgspec.Raw(DONE)) for n in seqs], mark))


@asynccontextmanager
async def gateway(
    *conversations: Conversation, epochs: str = "aaaa", mark: str = ""
) -> AsyncIterator[tuple[FactStream, list[Subscribe], list[str]]]:
    """Each connection gets the next conversation; yields a client, what it asked for, its notes."""
    asked: list[Subscribe] = []
    notes: list[str] = []
    waiting = iter(zip(conversations, epochs, strict=False))

    async def handle(socket: ServerConnection) -> None:
        talk, epoch = next(waiting)
        await send(socket, Hello(PROTOCOL, epoch, 40, 25, {}, mark))
        wanted = msgspec.json.decode(await socket.recv(), type=Subscribe)
        asked.append(wanted)
        await send(socket, Ack(ref=wanted.ref, recovered=wanted.mark != "lost"))
        await talk(socket, wanted)

    async with serve(handle, "127.0.0.1", 0, subprotocols=[Subprotocol(PROTOCOL)]) as server:
        port = next(iter(server.sockets)).getsockname()[1]
        yield FactStream(Target(f"http://127.0.0.1:{port}", "t"), notes.append), asked, notes


async def take(stream: FactStream, count: int, after: int | None = None) -> list[int]:
    """The next sequences of a stream."""
    found: list[int] = []
    async with asyncio.timeout(30):
        async for item in stream.follow("tasks", after=after):
            if isinstance(item, Record):
                found.append(item.seq)
            if len(found) == count:
                break
    return found


async def test_a_cut_is_resumed_at_the_last_fact_seen() -> None:
    async def first(socket: ServerConnection, _: Subscribe) -> None:
        await fact(socket, 41)
        await fact(socket, 44)
        socket.transport.abort()

    async def second(socket: ServerConnection, _: Subscribe) -> None:
        await fact(socket, 45)
        await socket.wait_closed()

    async with gateway(first, second) as (stream, asked, notes):
        assert await take(stream, 3) == [41, 44, 45]
    assert [(one.after, one.epoch) for one in asked] == [(None, None), (44, "a")]
    assert len(notes) == 1


async def test_a_cut_before_the_first_fact_loses_nothing_either() -> None:
    async def first(socket: ServerConnection, _: Subscribe) -> None:
        await socket.close(4001, "restart")

    async def second(socket: ServerConnection, _: Subscribe) -> None:
        await fact(socket, 41)
        await socket.wait_closed()

    async with gateway(first, second) as (stream, asked, _notes):
        assert await take(stream, 1) == [41]
    assert asked[1].after == 40


async def test_what_was_caught_up_with_is_not_asked_for_again() -> None:
    async def first(socket: ServerConnection, _: Subscribe) -> None:
        await send(socket, CaughtUp("cli", 77))
        await socket.close(1012, "restart")

    async def second(socket: ServerConnection, _: Subscribe) -> None:
        await fact(socket, 78)
        await socket.wait_closed()

    async with gateway(first, second) as (stream, asked, _notes):
        assert await take(stream, 1, after=5) == [78]
    assert [one.after for one in asked] == [5, 77]


async def test_another_log_is_read_from_its_start() -> None:
    async def first(socket: ServerConnection, _: Subscribe) -> None:
        await fact(socket, 41)
        await socket.close(4001, "restart")

    async def second(socket: ServerConnection, _: Subscribe) -> None:
        await fact(socket, 2)
        await socket.wait_closed()

    async with gateway(first, second, epochs="ab") as (stream, asked, notes):
        assert await take(stream, 2) == [41, 2]
    assert asked[1].after == "start"
    assert any("new one" in note for note in notes)


@pytest.mark.parametrize(
    ("hello", "proofs"), [("new", [None, "new", "m44", None]), ("", [None] * 4)], ids=["new", "old"]
)
async def test_a_cursor_is_proven_to_a_gateway_that_knows_marks(
    hello: str, proofs: list[str | None]
) -> None:
    async def cut(socket: ServerConnection, _: Subscribe) -> None:
        await socket.close(4000, "restart")

    async def two(socket: ServerConnection, _: Subscribe) -> None:
        await fact(socket, 41, 44, mark="m44" if hello else "")
        await socket.close(4000, "restart")

    async def half(socket: ServerConnection, _: Subscribe) -> None:
        await send(socket, CaughtUp("cli", 50))
        await socket.close(4000, "restart")

    async def last(socket: ServerConnection, _: Subscribe) -> None:
        await fact(socket, 51)
        await socket.wait_closed()

    async with gateway(cut, two, half, last, mark=hello) as (stream, asked, _notes):
        assert await take(stream, 3) == [41, 44, 51]
    assert [one.after for one in asked] == [None, 40, 44, 50]
    assert [one.mark for one in asked] == proofs


async def test_another_past_of_the_log_is_read_from_its_start() -> None:
    again: list[Subscribe] = []

    async def first(socket: ServerConnection, _: Subscribe) -> None:
        await fact(socket, 41, mark="lost")
        await socket.close(4000, "restart")

    async def second(socket: ServerConnection, wanted: Subscribe) -> None:
        assert wanted.mark == "lost"
        gone = msgspec.json.decode(await socket.recv(), type=Unsubscribe)
        await fact(socket, 45)  # was on its way
        await send(socket, Ack(ref=gone.ref))
        again.append(msgspec.json.decode(await socket.recv(), type=Subscribe))
        await send(socket, Ack(ref=again[0].ref, recovered=True))
        await fact(socket, 2, mark="m2")
        await socket.wait_closed()

    async with gateway(first, second, mark="new") as (stream, _asked, notes):
        assert await take(stream, 2) == [41, 2]
    assert [(one.sub, one.after, one.mark) for one in again] == [("cli", "start", None)]
    assert any("new one" in note for note in notes)


@pytest.mark.parametrize("code", [4401, 4406])
async def test_a_close_that_says_never_again_ends_the_stream(code: int) -> None:
    async def refuse(socket: ServerConnection, _: Subscribe) -> None:
        await socket.close(code, "unknown token")

    async with gateway(refuse) as (stream, _asked, _notes):
        with pytest.raises(CliError, match="unknown token") as caught:
            await take(stream, 1)
    assert caught.value.code is Exit.REFUSED


@pytest.mark.parametrize(
    ("reason", "code"),
    [("bad_request", Exit.USAGE), ("bad_id", Exit.USAGE), ("not_found", Exit.REFUSED)],
)
async def test_a_refused_subscription_is_usage_only_if_it_was_not_understood(
    reason: str, code: Exit
) -> None:
    async def handle(socket: ServerConnection) -> None:
        await send(socket, Hello(PROTOCOL, "a", 40, 25, {}))
        await socket.recv()
        await send(socket, ErrorFrame(reason, "it is not so", 1))
        await socket.wait_closed()

    async with serve(handle, "127.0.0.1", 0, subprotocols=[Subprotocol(PROTOCOL)]) as server:
        port = next(iter(server.sockets)).getsockname()[1]
        stream = FactStream(Target(f"http://127.0.0.1:{port}", "t"), [].append)
        with pytest.raises(CliError, match="it is not so") as caught:
            await take(stream, 1)
    assert caught.value.code is code
