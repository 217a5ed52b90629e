"""Made-up websocket frames: each is answered, nobody hears of another user, all else goes on.

Nothing of it is random: the same frames are sent in each run.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections import Counter
from collections.abc import AsyncIterator, Callable
from typing import Any, NamedTuple

import pytest
from hypothesis import strategies as st
from websockets.asyncio.client import ClientConnection
from websockets.exceptions import ConnectionClosed

from contracts import facts as kinds
from contracts import wire
from contracts.nesting import too_deep
from contracts.wire import ServerFrame
from services.gateway.stream.connection import FRAME_NESTING
from services.gateway.stream.rules import FACT_TYPES
from tests.unit.gateway.fuzzing import (
    IDS,
    SECRET,
    THERE,
    fill,
    happen,
    holds,
    nobody_listens,
    odd,
    read,
    read_by_bob,
    serves,
    until,
)
from tests.unit.gateway.world import World

Data = str | bytes
Read = Callable[[Data], ServerFrame]
CLOSES = {4400, 4401, 1009}
"""Codes of docs/protocol.md that a client can bring about by what it says."""
LAST = '{"op":"unsubscribe","ref":10000001,"sub":"nothing"}'
"""Its answer is the last one."""


class Ear:
    """One socket, and everything that has come; what may not come is an error."""

    def __init__(self, socket: ClientConnection, read: Read) -> None:
        self.socket = socket
        self.texts: list[Data] = []
        self.frames: list[ServerFrame] = []
        self._read = read
        self._news = asyncio.Condition()
        self.reading = asyncio.create_task(self._listen())

    async def _listen(self) -> None:
        try:
            async for text in self.socket:
                self.texts.append(text)
                self.frames.append(self._read(text))
                async with self._news:
                    self._news.notify_all()
        finally:
            async with self._news:
                self._news.notify_all()

    async def send(self, data: Data) -> None:
        with contextlib.suppress(ConnectionClosed):
            await self.socket.send(data)

    @property
    def answers(self) -> list[int | None]:
        """The `ref` of each answer."""
        return [one.ref for one in self.frames if isinstance(one, wire.Ack | wire.ErrorFrame)]

    async def until(self, answers: int) -> bool:
        """Wait for so many answers; False if the socket is closed before."""
        async with asyncio.timeout(20), self._news:
            await self._news.wait_for(lambda: len(self.answers) >= answers or self.reading.done())
        self.check()
        return len(self.answers) >= answers

    def check(self) -> None:
        """Raise what was wrong with what has come."""
        if self.reading.done():
            with contextlib.suppress(ConnectionClosed):
                self.reading.result()


@contextlib.asynccontextmanager
async def listening(
    gateway: World, token: str | None = "bob-token", read: Read = read_by_bob
) -> AsyncIterator[Ear]:
    async with gateway.stream(token) as stream:
        ear = Ear(stream.socket, read)
        try:
            yield ear
        finally:
            await ear.socket.close()
            await asyncio.wait((ear.reading,))
    ear.check()


class Script(NamedTuple):
    """What Bob does on one socket."""

    token: str | None
    frames: list[Data]


STOLEN = ("alice-token", "admin-token")
NAMES = st.sampled_from(["a", "b", "c", "*", "\0", "é", "a" * 64, "", "n" * 65, "\ud800"])
TOKENS = st.sampled_from(["bob-token", "bob-token", *STOLEN, "wrong", "é"])
TYPES = st.lists(st.sampled_from([*sorted(FACT_TYPES), "*", "\0"]), max_size=2)
AFTER = st.sampled_from([None, "start", "start", 0, 1, -1, 10**6, 10**30, "end", 1.5])
EPOCHS = st.sampled_from([None, "2026-01-01T00:00:00Z", "*"])
TO = st.sampled_from(["tasks", "task", "hosts", "tasks", "hosts", "all", "everything"])
TASKS = st.fixed_dictionaries(
    {"type": st.sampled_from(["t.x", "mcp.call", "a", "b.c", "*", "a" * 65])},
    optional={
        "id": IDS,
        "input": st.sampled_from([{}, {"a": 10**30}, {"text": "é\0"}, [], None]),
        "host": IDS,
        "priority": st.sampled_from(["high", 0, 9, 1001, "x"]),
    },
)


def op(name: str, **fields: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    return st.fixed_dictionaries({"op": st.just(name)} | fields)


FOLLOW = op(
    "subscribe",
    sub=st.sampled_from(["a", "b", "c", "d"]),
    to=st.sampled_from(["tasks", "task", "hosts"]),
    task=st.sampled_from(THERE),
    after=st.sampled_from(["start", 0, 1, None]),
)
SUBSCRIBE = st.builds(
    lambda frame, more: frame | more,
    op("subscribe", sub=NAMES, to=TO),
    st.fixed_dictionaries(
        {}, optional={"task": IDS, "types": TYPES, "after": AFTER, "epoch": EPOCHS}
    ),
)
SENSIBLE = st.one_of(
    FOLLOW,
    SUBSCRIBE,
    SUBSCRIBE,
    op("unsubscribe", sub=NAMES),
    op("submit", task=TASKS),
    op("submit", task=TASKS),
    op("cancel", task=IDS),
    op("auth", token=TOKENS),
)
PLACES = ("op", "ref", "sub", "to", "task", "types", "after", "epoch", "token", "user", "events")
CHANGES = st.dictionaries(st.sampled_from(PLACES), odd(), min_size=1, max_size=2)
TWISTS = ("twice", "tail", "cut", "bom", "spaces", "deep", "bytes", "broken")


NOISE = st.text(max_size=30) | st.binary(max_size=30) | st.sampled_from(["[" * 5000, "{" * 70])


@st.composite
def frame(draw: st.DrawFn, ref: int) -> Data:
    match draw(st.sampled_from(["good"] * 5 + ["changed", "changed", "twisted", "noise"])):
        case "good":
            return json.dumps({"ref": ref} | draw(SENSIBLE))
        case "changed":
            return json.dumps({"ref": ref} | draw(SENSIBLE) | draw(CHANGES))
        case "twisted":
            text = json.dumps({"ref": ref} | draw(SENSIBLE))
            return twisted(text, draw(st.sampled_from(TWISTS)))
        case _:
            return draw(NOISE)


@st.composite
def scripts(draw: st.DrawFn) -> Script:
    """A conversation of frames that make sense, of some that are changed, and of nonsense."""
    if draw(st.integers(0, 5)) == 0:
        return Script("bob-token", draw(st.lists(NOISE, min_size=10, max_size=12)))
    frames = [draw(frame(n)) for n in range(draw(st.integers(8, 25)))]
    if draw(st.booleans()):
        return Script("bob-token", frames)
    token = draw(st.sampled_from(["bob-token", "bob-token", "wrong", "é"]))
    first = json.dumps({"op": "auth", "ref": 10_000_000, "token": token})
    frames.insert(draw(st.integers(0, 2)), first)
    # Who shows a stolen token on a new socket becomes its owner there.
    return Script(None, [one for one in frames if not any(word in str(one) for word in STOLEN)])


def twisted(text: str, how: str) -> Data:
    match how:
        case "twice":
            return text[:-1] + ',"op":"cancel","task":"hers","ref":77}'
        case "tail":
            return text + "{}"
        case "cut":
            return text[: len(text) // 2]
        case "bom":
            return "\ufeff" + text
        case "spaces":
            return " \n" + text.replace(":", " :\t") + "\n"
        case "deep":
            return text[:-1] + ',"x":' + "[" * 80 + "]" * 80 + "}"
        case "bytes":
            return text.encode()
        case "broken":
            return text.encode().replace(b"a", b"\xff", 1)
        case _:
            return text


def asked(data: Data) -> tuple[set[int | None], bool]:
    """The `ref` that the answer has to carry, read with another parser.

    The second part is False where it is a matter of taste whether there is one.
    """
    raw = data if isinstance(data, bytes) else data.encode()
    clear = True

    def pairs(found: list[tuple[str, Any]]) -> dict[str, Any]:
        nonlocal clear
        clear = clear and len(dict(found)) == len(found)
        return dict(found)

    try:
        value = json.loads(raw.decode(errors="surrogateescape"), object_pairs_hook=pairs)
    except (ValueError, RecursionError):
        return {None}, True
    if too_deep(raw, FRAME_NESTING) or not isinstance(value, dict):
        return {None}, True
    try:
        json.dumps(value, ensure_ascii=False, allow_nan=False).encode()
    except ValueError:
        clear = False
    ref = value.get("ref")
    known = ref if type(ref) is int else None
    return {known} if clear else {None, known}, clear


def check_answers(frames: list[Data], answers: list[int | None], *, closed: bool) -> None:
    """Each frame has exactly one answer, with its own `ref` if it can be read at all."""
    wanted = [asked(data) for data in frames]
    clear = Counter(ref for refs, clear in wanted if clear for ref in refs)
    unclear = [refs for refs, clear in wanted if not clear]
    extra, missing = Counter(answers) - clear, clear - Counter(answers)
    assert set(extra) <= set().union(*unclear), (frames, answers)
    assert extra.total() <= len(unclear), (frames, answers)
    assert closed or len(answers) == len(frames), (frames, answers)
    assert closed or not missing, (frames, answers)


async def play(gateway: World, script: Script, seen: Counter[str]) -> None:
    """Have a conversation, and look at each of its answers."""
    frames = [*script.frames, LAST]
    async with listening(gateway, script.token) as bob:
        for data in script.frames:
            await bob.send(data)
        await bob.until(len(script.frames))
        await happen(gateway)
        await bob.send(LAST)
        closed = not await bob.until(len(frames))
    assert not closed or bob.socket.close_code in CLOSES
    check_answers(frames, bob.answers, closed=closed)
    for one in bob.frames:
        seen[one.code if isinstance(one, wire.ErrorFrame) else type(one).__name__] += 1
        for event in one.events if isinstance(one, wire.Events) else ():
            seen[type(kinds.decode(bytes(event.event))).__name__] += 1
    seen[str(bob.socket.close_code)] += 1
    await until(lambda: nobody_listens(gateway))


async def test_made_up_conversations(gateway: World) -> None:
    await fill(gateway)
    seen: Counter[str] = Counter()
    await holds(lambda script: play(gateway, script, seen), scripts(), 80)
    await serves(gateway)
    assert seen.keys() >= {"Ack", "Events", "CaughtUp", "ProgressFrame", "1000", "4400", "4401"}
    assert seen.keys() >= {"bad_request", "bad_id", "not_found", "forbidden", "unauthorized"}
    assert seen.keys() >= {"TaskCreated", "JobDone", "McpRegistered", "McpHealth"}


async def test_alice_is_told_what_would_be_noticed_if_bob_were_told(gateway: World) -> None:
    await fill(gateway)
    async with listening(gateway, "alice-token", read) as alice:
        await alice.send('{"op":"subscribe","ref":1,"sub":"a","after":"start"}')
        await alice.send('{"op":"subscribe","ref":2,"sub":"b","to":"hosts","after":"start"}')
        await alice.until(2)
        await happen(gateway)
        await alice.send(LAST)
        await alice.until(3)
    told = [text for text in alice.texts if SECRET in str(text)]
    assert {type(read(text)) for text in told} == {wire.Events, wire.ProgressFrame}
    for text in told:
        with pytest.raises(AssertionError):
            read_by_bob(text)
        # Without the word, whose a fact is tells it.
        if isinstance(read(text), wire.Events):
            with pytest.raises(AssertionError):
                read_by_bob(str(text).replace(SECRET, "plain"))


@pytest.mark.parametrize(
    "said",
    [
        '{"op":"unsubscribe","ref":1,"sub":"%s"}',
        '{"op":"cancel","ref":1,"task":"%s"}',
        '{"op":"%s","ref":1}',
        '{"op":"cancel","ref":1,"%s":0}',
    ],
)
async def test_an_error_does_not_repeat_all_that_was_sent(gateway: World, said: str) -> None:
    async with listening(gateway) as bob:
        # Each of them would be written as four characters.
        await bob.send(said % ("\x7f" * 100_000))
        assert await bob.until(1)
    assert bob.answers == [1]
    assert len(bob.texts[-1]) < 5000
