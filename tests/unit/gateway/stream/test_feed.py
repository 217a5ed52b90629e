"""The feed and the way to it: no gap, no repeat, nobody else's, whatever is cut when."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from contracts import facts as kinds
from contracts import wire
from contracts.facts import AnyFact
from contracts.host import HealthStatus, Host, Stdio
from services.gateway import visibility
from services.gateway.stream import frames
from services.gateway.stream.feed import Feed
from services.gateway.stream.history import History
from services.gateway.stream.marks import mark_of
from services.gateway.stream.subscription import Subscription
from services.log.memory import MemoryLog
from services.log.port import START, Batch, Checkpoint
from services.process.ids import new_id
from tests.support import facts

HEADS = {126: 4, 127: 10}


class Reader:
    """The receiving end of a connection that always has room; frames are read when asked."""

    def __init__(self) -> None:
        self.sent: list[bytes] = []
        self.caught_up = asyncio.Event()

    def offer(self, frame: bytes) -> None:
        self.sent.append(frame)
        if b'"caught_up"' in frame:
            self.caught_up.set()

    def offer_if_idle(self, frame: bytes) -> None:
        self.offer(frame)

    async def room(self) -> bool:
        await _turn()
        return True


async def _turn() -> None:
    """Let everything else run once."""
    await asyncio.get_running_loop().create_task(_nothing())


async def _nothing() -> None:
    return


def seqs(sent: list[bytes]) -> list[int]:
    """The sequences in websocket frames."""
    found = []
    for frame in sent:
        payload = json.loads(frame[HEADS.get(frame[1], 2) :])
        if payload["op"] == "events":
            found += [event["seq"] for event in payload["events"]]
    return found


def marked(sent: list[bytes]) -> wire.CaughtUp:
    """The last `caught_up` in websocket frames."""
    (*_, last) = [frame for frame in sent if b'"caught_up"' in frame]
    return msgspec.json.decode(frames.payload(last), type=wire.CaughtUp)


class Client:
    """Follows, is cut off with frames unread, and resumes from what it has read."""

    def __init__(self, history: History, feed: Feed, to: Any, user: str) -> None:
        self._history, self._feed, self._to, self._user = history, feed, to, user
        self.got: list[int] = []
        self._reader: Reader | None = None

    async def connect(self) -> None:
        after = self.got[-1] if self.got else "start"
        request = wire.Subscribe(1, "s", self._to, "t1", after=after)  # type: ignore[arg-type]
        self._reader = Reader()
        self._subscription = Subscription(self._reader, request, self._user)
        start = await self._history.start(request)
        assert start.recovered
        self._subscription.cursor = start.after
        self._task = asyncio.create_task(self._history.run(self._subscription, self._reader))

    async def cut(self, unread: int) -> None:
        if self._reader is None:
            return
        self._task.cancel()
        await asyncio.wait([self._task])
        self._feed.detach(self._subscription)
        sent = self._reader.sent
        self.got += seqs(sent[: max(0, len(sent) - unread)])
        self._reader = None

    async def finish(self) -> list[int]:
        """Resume once more and read everything."""
        await self.cut(0)
        await self.connect()
        assert self._reader
        async with asyncio.timeout(30):
            await self._reader.caught_up.wait()
        await self.cut(0)
        return self.got


STEPS = st.lists(
    st.tuples(st.just("append"), st.lists(st.integers(0, 5), min_size=1, max_size=12))
    | st.tuples(st.just("connect"), st.just([]))
    | st.tuples(st.just("cut"), st.lists(st.none(), max_size=3))
    | st.tuples(st.just("turns"), st.lists(st.none(), max_size=6)),
    max_size=25,
)


def host(owner: str | None, k: int) -> AnyFact:
    spec = Host(id="h1", name="h1", endpoint=Stdio("x"), owner=owner)
    return kinds.McpRegistered(id=new_id(), by="registry-1", host="h1", k=k, spec=spec)


def nth_fact(kind: int, n: int) -> AnyFact:
    match kind:
        case 0:
            return facts.signed("alice", "t1", n)
        case 1:
            return facts.signed("alice", "t2", n)
        case 2:
            return facts.signed("bob", "t1", n)
        case 3:
            return host([None, "alice", "bob"][n % 3], n)
        case 4:
            status = HealthStatus.WARNING
            common: dict[str, Any] = {"id": new_id(), "by": "registry-1", "host": "h1", "k": n}
            return kinds.McpHealth(status=status, **common)
        case _:
            return kinds.LogRouter(id=new_id(), by="router-1", term=n)


@pytest.mark.parametrize("to", ["tasks", "task", "hosts", "all"])
@given(
    steps=STEPS,
    ring=st.integers(1, 12),
    tick=st.sampled_from([0.0, 0.001]),
    known=st.lists(st.integers(0, 5), max_size=4),
)
@settings(max_examples=60)
def test_a_client_that_resumes_gets_every_fact_once_and_in_order(
    to: str, steps: list[tuple[str, list[Any]]], ring: int, tick: float, known: list[int]
) -> None:
    asyncio.run(_play(to, steps, Feed(facts=ring, size=10**6, tick_s=tick), known))


async def _play(to: str, steps: list[tuple[str, list[Any]]], feed: Feed, known: list[int]) -> None:
    """`known`: facts from before the gateway was started again, with its view of them."""
    log = MemoryLog()
    client = Client(History(log, feed, 2, 2000), feed, to, "alice")
    begin = START
    for kind in known:
        fact = nth_fact(kind, await log.head())
        visibility.remember_owner(feed.owners, fact)
        begin = Checkpoint(log.epoch, await log.append(fact), fact.id)
    feed.begin(begin.seq)

    async def follow() -> None:
        async for batch in log.follow((">",), begin):
            feed.publish(batch)

    following = asyncio.create_task(follow())
    for step, values in steps:
        match step:
            case "append":
                for kind in values:
                    await log.append(nth_fact(kind, await log.head()))
            case "connect":
                await client.cut(0)
                await client.connect()
            case "cut":
                await client.cut(len(values))
            case "turns":
                for _ in values:
                    await _turn()
    while feed.position < await log.head():
        await feed.moved()
    got = await client.finish()
    following.cancel()
    await asyncio.wait([following])
    assert got == await _expected(log, to)


async def _expected(log: MemoryLog, to: str) -> list[int]:
    """What the rule of `domain` shows to alice."""
    owners: dict[str, str | None] = {}
    wanted = {"tasks": "task", "task": "task", "hosts": "host"}.get(to)
    roles = frozenset({"auditor"} if to == "all" else ())
    seen = []
    for record in await log.read((">",), 10_000):
        visibility.remember_owner(owners, record.fact)
        whose = visibility.audience(record.fact, owners)
        right = wanted in (None, whose.kind) and (to != "task" or whose.task == "t1")
        if right and visibility.may_see("alice", roles, whose):
            seen.append(record.seq)
    return seen


@given(st.lists(st.integers(1, 300_000), min_size=1, max_size=8))
@settings(max_examples=30)
def test_frames_are_valid_and_bounded(sizes: list[int]) -> None:
    nobodys = visibility.Audience("operator")
    items = []
    for n, size in enumerate(sizes):
        text = b'{"seq":%d,"at":1.5,"event":"%b"}' % (n, b"x" * size)
        items.append(frames.FeedEntry(n, "x", nobodys, text, text, f"f{n}"))
    built = frames.event_frames('na"me', items, frames.Shows())
    found: list[int] = []
    for frame in built:
        head = HEADS.get(frame[1], 2)
        size = int.from_bytes(frame[2:head], "big") if head > 2 else frame[1]
        payload = json.loads(frame[head:])
        assert (frame[0], size, payload["sub"]) == (0x81, len(frame) - head, 'na"me')
        found += [event["seq"] for event in payload["events"]]
        assert payload["mark"] == mark_of(found[-1], f"f{found[-1]}")
        assert len(frame) < frames.FRAME_BYTES + 200 or len(payload["events"]) == 1
    assert found == list(range(len(sizes)))


async def test_memory_is_bounded_by_count_and_bytes() -> None:
    log, feed = MemoryLog(), Feed(facts=50, size=3000, tick_s=0)
    for _ in range(40):
        await log.append(facts.created("alice"))
    async for batch in log.follow((">",), START):
        feed.publish(batch)
        break
    assert len(feed._ring) < 50
    assert feed._bytes <= 3000
    assert sum(map(len, feed._users.values())) == len(feed._ring)
    assert not feed.covers(feed._ring[0].seq - 2)
    assert feed.covers(feed._ring[0].seq - 1)


async def test_waiting_for_the_end_of_a_task() -> None:
    log, feed = MemoryLog(), Feed(facts=50, size=10_000, tick_s=0)
    first, other = feed.wait_for_end("alice", "t1"), feed.wait_for_end("bob", "t1")
    await log.append(facts.done("alice", "t1"))
    async for batch in log.follow((">",), START):
        feed.publish(batch)
        break
    assert first.future.result() == 1
    assert not other.future.done()
    feed.forget(first)
    feed.forget(other)
    assert not feed._waiters


async def test_an_end_in_a_batch_of_history_is_waited_for_too() -> None:
    log, hub = MemoryLog(), Feed(facts=50, size=10_000, tick_s=0)
    waiter = hub.wait_for_end("alice", "t1")
    await log.append(facts.done("alice", "t1"))
    (record,) = await log.read((">",))
    hub.publish(Batch([record], 1, live=False))
    assert waiter.future.result() == 1
    assert not hub._waiters


async def test_facts_of_two_audiences_stay_in_order() -> None:
    log, feed, reader = MemoryLog(), Feed(facts=50, size=10_000, tick_s=0), Reader()
    feed.attach(Subscription(reader, wire.Subscribe(1, "s", "hosts"), "alice"))
    for k, owner in enumerate(["alice", None, "bob", "alice", None], 1):
        await log.append(host(owner, k))
    async for batch in log.follow((">",), START):
        feed.publish(batch)
        break
    assert seqs(reader.sent) == [1, 2, 4, 5]
