"""Tasks from outside: each becomes one fact, or its publisher is told; none stops another."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from typing import Any

import msgspec
import pytest

from contracts.errors import Reason
from contracts.facts import TaskCreated
from contracts.ids import intake_task_id
from contracts.wire import Accepted, Refused
from services.bus.bus import Bus
from services.gateway.actor import Desk
from services.gateway.intake import Intake
from services.log.memory import MemoryDelivery, MemoryLog
from services.log.port import START, LogUnavailable
from services.store.blobs import Blobs

GOOD: dict[str, Any] = {"type": "t.x", "input": {"b": 1, "a": 2}}
SUBJECT = "intake.acme.created"


class Outside:
    """An intake at work, what it published, and the log it writes."""

    def __init__(self, bus: Bus, log: MemoryLog) -> None:
        self.log = log
        self.published: list[tuple[str, Refused | Accepted]] = []
        desk = Desk(self.log, Blobs(bus), "gateway-1")
        self.intake = Intake(self.log, desk, self._publish, "epoch-1")
        self._news = asyncio.Event()

    async def _publish(self, subject: str, data: bytes) -> None:
        kind = Refused if b'"reason"' in data else Accepted
        self.published.append((subject, msgspec.json.decode(data, type=kind)))
        self._news.set()

    def send(self, body: Any, subject: str = SUBJECT) -> None:
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.log.intake(subject, data)

    async def facts(self, count: int) -> list[TaskCreated]:
        """Wait for so many facts."""
        found: list[TaskCreated] = []
        async with asyncio.timeout(10):
            async for batch in self.log.follow((">",), START):
                found += [r.fact for r in batch.records if isinstance(r.fact, TaskCreated)]
                if len(found) >= count:
                    return found
        return found

    async def told(self, count: int) -> list[tuple[str, Refused | Accepted]]:
        """Wait for so many live messages."""
        async with asyncio.timeout(10):
            while len(self.published) < count:
                self._news.clear()
                await self._news.wait()
        return self.published


@contextlib.asynccontextmanager
async def outside(bus: Bus, log: MemoryLog | None = None) -> AsyncIterator[Outside]:
    one = Outside(bus, log or MemoryLog())
    running = asyncio.create_task(one.intake.run())
    yield one
    running.cancel()
    await asyncio.wait([running])


async def test_the_user_comes_from_the_subject(bus: Bus) -> None:
    async with outside(bus) as one:
        one.send(GOOD | {"id": "mine"})
        one.send(GOOD)
        first, second = await one.facts(2)
    assert (first.user, first.task, first.source, first.invalid) == ("acme", "mine", "nats", "")
    assert bytes(first.spec.input) == b'{"a":2,"b":1}'
    assert second.task == intake_task_id("epoch-1", 2)


async def test_a_message_that_comes_again_doubles_nothing(bus: Bus) -> None:
    async with outside(bus) as one:
        one.send(GOOD)
        await one.facts(1)
        queue = one.log._queue("INTAKE", "intake")
        again = MemoryDelivery(queue, SUBJECT, 1, json.dumps(GOOD).encode())
        queue.put(again)
        one.send(GOOD)
        assert len(await one.facts(2)) == 2
        assert again.acknowledged
    assert one.published == []


BAD = [
    (b"not json at all", None, "not a task"),
    (b"\xff\xfe", None, "not a task"),
    (b"[" * 50_000, None, "nested more than 64 deep"),
    (b'{"id":"deep","type":"t","input":' + b'{"a":' * 900 + b"1" + b"}" * 901, None, "nested"),
    (b'{"id":"keep","type":"t","input":{"a":"\xff"}}', None, "utf-8"),
    (b'{"id":"keep","type":"\xff"}', None, "not a task"),
    (b"", None, "not a task"),
    (b"[1]", None, "not a task"),
    (b'{"type":"t.x","id":"keep","input":[1]}', "keep", "object"),
    (b'{"type":"t.x","id":"keep","user":"bob"}', "keep", "user"),
    (b'{"type":"t.x","id":"a.b"}', None, "a.b"),
    (b'{"id":"keep"}', "keep", "type"),
    (b'{"type":7,"id":"keep"}', "keep", "type"),
    (b'{"type":"job.done","id":"keep","task":"x","outcome":"succeeded","by":"e"}', "keep", "field"),
    (b'{"type":"t.x","id":"keep","host":"a b"}', "keep", "host"),
]


@pytest.mark.parametrize(("data", "task", "words"), BAD)
async def test_what_is_wrong_is_recorded_as_invalid_and_stops_nobody(
    bus: Bus, data: bytes, task: str | None, words: str
) -> None:
    async with outside(bus) as one:
        one.send(data)
        one.send(GOOD)
        found = await one.facts(2)
    invalid = next(fact for fact in found if fact.invalid)
    assert words in invalid.invalid
    assert (invalid.user, invalid.task) == ("acme", task or intake_task_id("epoch-1", 1))
    assert [fact.invalid for fact in found if fact is not invalid] == [""]


async def test_an_id_used_for_something_else_is_told_to_its_publisher(bus: Bus) -> None:
    async with outside(bus) as one:
        one.send(GOOD | {"id": "same"})
        await one.facts(1)
        one.send(GOOD | {"id": "same", "priority": "high"})
        one.send(GOOD | {"id": "same"}, "intake.other.created")
        ((subject, refused),) = await one.told(1)
        assert len(await one.facts(2)) == 2
    assert subject == "live.intake.error.acme"
    assert isinstance(refused, Refused)
    assert (refused.reason, refused.task) == (Reason.CONFLICT, "same")
    assert one.intake.refused == 1


async def test_a_big_input_moves_to_the_object_store(bus: Bus) -> None:
    async with outside(bus) as one:
        one.send(GOOD | {"input": {"text": "x" * 100_000}})
        (fact,) = await one.facts(1)
    assert fact.spec.input_pointer
    assert fact.spec.input_pointer.size == 100_011


async def test_many_messages(bus: Bus) -> None:
    async with outside(bus) as one:
        for n in range(5000):
            one.send(GOOD | {"id": f"t{n}"} if n % 10 else b"junk")
        found = await one.facts(5000)
    assert len({fact.task for fact in found}) == 5000
    assert len([fact for fact in found if fact.invalid]) == 500


class AwayLog(MemoryLog):
    """A log that is out of reach for the first appends."""

    failures = 2

    async def append_all(self, items: Any) -> Any:
        if self.failures:
            self.failures -= 1
            raise LogUnavailable("gone fishing")
        return await super().append_all(items)


async def test_nothing_is_lost_while_the_log_is_away(
    bus: Bus, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("services.gateway.intake.RETRY_S", 0.01)
    async with outside(bus, AwayLog()) as one:
        for n in range(20):
            one.send(GOOD | {"id": f"t{n}"})
        assert len(await one.facts(20)) == 20


class Request:
    """A NATS request."""

    def __init__(self, body: Any) -> None:
        self.subject = "submit.acme"
        self.reply = "_INBOX.1"
        self.headers = None
        self.data = body if isinstance(body, bytes) else json.dumps(body).encode()


async def test_a_request_is_answered(bus: Bus) -> None:
    async with outside(bus) as one:
        for n, body in enumerate(
            (GOOD | {"id": "a"}, GOOD | {"id": "a"}, GOOD | {"id": "a", "type": "u"}, b"junk"), 1
        ):
            await one.intake.answer(Request(body))
            await one.told(n)
        answers = [answer for subject, answer in one.published if subject == "_INBOX.1"]
    assert answers[:2] == [Accepted("a", 1), Accepted("a", 1, duplicate=True)]
    refused = [(a.reason, a.task) for a in answers[2:] if isinstance(a, Refused)]
    assert refused == [(Reason.CONFLICT, "a"), (Reason.BAD_REQUEST, "")]
    assert await one.log.head() == 1
