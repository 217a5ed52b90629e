"""Tasks that are submitted together: one wait for the log, for each the answer it gets alone."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence

import pytest
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from contracts.errors import Reason, Rejected
from contracts.facts import AnyFact, TaskCreated
from contracts.subjects import Guard
from services.bus.bus import Bus
from services.gateway import actor, domain
from services.gateway.access.identity import Principal
from services.gateway.actor import Desk, Submitted, Unanswered
from services.gateway.domain import TaskBody
from services.gateway.seats import Seats
from services.log.memory import MemoryLog
from services.log.port import AlreadyRecorded, Append, LogUnavailable
from services.store.blobs import Blobs
from tests.support.spans import kept_spans
from tests.unit.gateway.world import gate

ALICE = Principal("alice", frozenset())


class Rough(MemoryLog):
    """A log that notes what comes together, and has troubles."""

    def __init__(self) -> None:
        super().__init__()
        self.together: list[int] = []
        self.bad: dict[str, Exception] = {}
        """What becomes of the facts of these tasks."""
        self.back = asyncio.Event()
        self.back.set()

    async def append(self, fact: AnyFact, guard: Guard | None = None, trace: str = "") -> int:
        """See `Log.append`."""
        if isinstance(fact, TaskCreated) and fact.task in self.bad:
            raise self.bad[fact.task]
        (known,) = await self.read_last([f"task.created.alice.{getattr(fact, 'task', '')}"]) or [0]
        if known and known.fact.id == fact.id:
            return known.seq
        return await super().append(fact, guard, trace)

    async def append_all(self, items: Sequence[Append]) -> list[int | AlreadyRecorded]:
        """See `Log.append_all`."""
        self.together.append(len(items))
        await self.back.wait()
        good = [i for i in items if isinstance(i.fact, TaskCreated) and i.fact.task not in self.bad]
        outcomes = await super().append_all(good)
        if len(good) < len(items):
            raise next(iter(self.bad.values()))
        return outcomes


@pytest.fixture
def log() -> Rough:
    return Rough()


@pytest.fixture
def desk(log: Rough, bus: Bus) -> Desk:
    return Desk(log, Blobs(bus, limit=10**6), "gateway-1", gate=gate(bus))


@pytest.fixture
def spans() -> Iterator[InMemorySpanExporter]:
    with kept_spans() as exporter:
        yield exporter


def requests(*texts: str) -> list[TaskBody]:
    return [domain.parse_task(text.encode()) for text in texts]


def tasks(*ids: str) -> list[TaskBody]:
    return requests(*(f'{{"type":"t.x","id":"{id_}"}}' for id_ in ids))


def told(outcomes: Sequence[Submitted | Exception]) -> list[object]:
    """What their clients hear."""
    return [
        one.accepted.seq
        if isinstance(one, Submitted)
        else one.reason
        if isinstance(one, Rejected)
        else one
        for one in outcomes
    ]


async def test_all_of_them_are_one_append(desk: Desk, log: Rough) -> None:
    outcomes = await desk.submit_small(ALICE, tasks("a", "b", "c"), "websocket")
    assert (told(outcomes), log.together) == ([1, 2, 3], [3])
    assert desk.newest("alice") == 3


async def test_each_gets_the_answer_it_would_get_alone(desk: Desk, log: Rough) -> None:
    known = tasks("known")
    first = await desk.submit(ALICE, known[0], "websocket")
    texts = ['{"type":"t.x","input":[1]}', '{"type":"t.x","id":"known","priority":"low"}']
    texts += ['{"type":"t.x","id":"no token"}', '{"type":"t.x","id":"new"}']
    sent = [*known, *requests(*texts), *tasks("new")]
    outcomes = await desk.submit_small(ALICE, sent, "websocket")
    expected = [1, Reason.BAD_REQUEST, Reason.CONFLICT, Reason.BAD_ID, 2, 2]
    assert told(outcomes) == expected
    assert isinstance(outcomes[0], Submitted)
    assert outcomes[0].accepted.duplicate
    assert outcomes[0].at == (await log.read_last(["task.created.alice.known"]))[0].at
    assert first.accepted.seq == 1
    for request, outcome in zip(sent, outcomes, strict=True):
        if isinstance(outcome, Rejected):
            with pytest.raises(Rejected) as alone:
                await desk.submit(ALICE, request, "websocket")
            assert alone.value.message == outcome.message


async def test_trouble_with_one_is_no_trouble_for_the_others(desk: Desk, log: Rough) -> None:
    fault = RuntimeError("a fault of ours")
    log.bad = {"refused": LogUnavailable("no"), "broken": fault}
    outcomes = await desk.submit_small(ALICE, tasks("a", "refused", "b", "broken"), "websocket")
    assert told(outcomes) == [1, Reason.UNAVAILABLE, 2, fault]
    assert isinstance(outcomes[1], Unanswered)
    assert outcomes[1].task == "refused"


async def test_a_log_that_does_not_answer_leaves_nobody_without_answer(
    desk: Desk, log: Rough, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(actor, "ANSWER_S", 0.05)
    log.back.clear()
    outcomes = await desk.submit_small(ALICE, tasks("a", "b"), "websocket")
    assert [one.task for one in outcomes if isinstance(one, Unanswered)] == ["a", "b"]


async def test_who_is_cancelled_gives_seats_back_and_leaves_no_span_open(
    log: Rough, bus: Bus, monkeypatch: pytest.MonkeyPatch, spans: InMemorySpanExporter
) -> None:
    monkeypatch.setattr(actor, "IN_FLIGHT", 2)
    desk = Desk(log, Blobs(bus, limit=10**6), "gateway-1", gate=gate(bus))
    log.back.clear()
    sent = [
        asyncio.create_task(desk.submit_small(ALICE, tasks(*ids), "websocket"))
        for ids in ("ab", "cd")
    ]
    await asyncio.wait(sent, timeout=0.05)
    assert log.together == [2], "the others wait for seats"
    for one in reversed(sent):
        one.cancel()
        await asyncio.wait([one])
    assert {span.status.description for span in spans.get_finished_spans()} == {"CancelledError"}
    assert len(spans.get_finished_spans()) == 4
    log.back.set()
    assert told(await desk.submit_small(ALICE, tasks("e", "f"), "websocket")) == [1, 2]


async def test_each_has_a_span_that_its_fact_names(
    desk: Desk, log: Rough, spans: InMemorySpanExporter
) -> None:
    sent = [*tasks("a"), *requests('{"type":"t.x","input":[],"id":"bad"}'), *tasks("b", "a")]
    await desk.submit_small(ALICE, sent, "websocket")
    ended = spans.get_finished_spans()
    assert sorted(
        (str((one.attributes or {})["metamcp.task"]), one.status.description or "")
        for one in ended
        if one.name == "submit task"
    ) == [("a", ""), ("a", "AlreadyRecorded"), ("b", ""), ("bad", "Rejected")]
    for seq, task in ((1, "a"), (2, "b")):
        record = await log.at(seq)
        own = [one for one in ended if (one.attributes or {})["metamcp.task"] == task]
        assert record is not None
        assert record.trace.split("-")[2] in {f"{one.context.span_id:016x}" for one in own}


def test_small_stays_inline_however_it_is_written() -> None:
    most = domain.INLINE_LIMIT // 4
    numbers = ",".join(["1e15"] * ((most - 12) // 5))
    (request,) = requests(f'{{"type":"t.x","input":{{"a":[{numbers}]}}}}')
    assert domain.is_small(request)
    assert len(domain.canonical_input(request.input)) <= domain.INLINE_LIMIT
    (request,) = requests(f'{{"type":"t.x","input":{{"a":"{"x" * most}"}}}}')
    assert not domain.is_small(request)


async def test_seats_are_taken_in_turn_and_never_in_parts() -> None:
    seats = Seats(3)
    assert await seats.take(2, 2) == 2
    order: list[str] = []

    async def take(name: str, count: int) -> None:
        await seats.take(count, count)
        order.append(name)

    many, gone, few = (
        asyncio.create_task(take(name, n)) for name, n in (("many", 3), ("gone", 3), ("few", 1))
    )
    await asyncio.wait([many, gone, few], timeout=0.05)
    assert order == []
    gone.cancel()
    seats.give(2)
    await many
    seats.give(3)
    await few
    assert order == ["many", "few"]
    assert await seats.take(1, 100) == 2
