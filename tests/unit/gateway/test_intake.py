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
from services.bus.names import sender
from services.gateway.actor import Desk
from services.gateway.intake import Intake, UnderWay
from services.gateway.people.records import Project
from services.log.memory import MemoryDelivery, MemoryLog
from services.log.port import START, LogUnavailable
from services.store.blobs import Blobs
from tests.support.facts import name
from tests.unit.gateway.world import gate

GOOD: dict[str, Any] = {"type": "t.x", "input": {"b": 1, "a": 2}}
SUBJECT = "intake.acme.created"


class Outside:
    """An intake at work, what it published, and the log it writes."""

    def __init__(self, bus: Bus, log: MemoryLog) -> None:
        self.log = log
        self.published: list[tuple[str, Refused | Accepted]] = []
        desk = Desk(self.log, Blobs(bus), "gateway-1", gate=gate(bus))
        self.barred: set[str] = set()
        self.intake = Intake(
            self.log, desk, self._publish, "epoch-1", lambda user: user in self.barred
        )
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
        async with asyncio.timeout(30):
            async for batch in self.log.follow((">",), START):
                found += [r.fact for r in batch.records if isinstance(r.fact, TaskCreated)]
                if len(found) >= count:
                    return found
        return found

    async def told(self, count: int) -> list[tuple[str, Refused | Accepted]]:
        """Wait for so many live messages."""
        async with asyncio.timeout(30):
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


@pytest.mark.parametrize(
    ("subject", "asked_by"),
    [
        ("intake.acme.created.crm", "publisher:crm"),
        # As releases before 0.5 have put it into the queue.
        ("intake.acme.created", "publisher:acme"),
    ],
)
async def test_the_publisher_comes_from_the_subject(bus: Bus, subject: str, asked_by: str) -> None:
    async with outside(bus) as one:
        one.send(GOOD, subject)
        one.send(b"junk", subject)
        facts = await one.facts(2)
    assert [(fact.user, fact.asked_by) for fact in facts] == [("acme", asked_by)] * 2


@pytest.mark.parametrize(
    ("subject", "expected"),
    [
        ("submit.acme.crm", ("acme", "crm")),
        ("submit.acme", ("acme", "acme")),
        ("intake.acme.created.crm", ("acme", "crm")),
        ("intake.acme.created.created", ("acme", "created")),
        ("intake.created.created", ("created", "created")),
        ("intake.acme.created", ("acme", "acme")),
    ],
)
def test_a_subject_names_user_and_publisher(subject: str, expected: tuple[str, str]) -> None:
    assert sender(subject) == expected


async def test_nobody_sends_as_the_operator(bus: Bus) -> None:
    async with outside(bus) as one:
        one.send(GOOD, "intake.-.created")
        one.send(GOOD | {"id": "next"})
        (first,) = await one.facts(1)
    assert (first.user, first.task) == ("acme", "next")
    assert one.intake.refused == 1


async def test_a_publisher_of_a_disabled_account_sends_nothing(bus: Bus) -> None:
    async with outside(bus) as one:
        one.barred.add("acme")
        one.send(GOOD | {"id": "mine"})
        one.send(GOOD, "intake.other.created")
        (first,) = await one.facts(1)
        ((subject, told),) = await one.told(1)
    assert (first.user, subject) == ("other", "live.intake.error.acme")
    assert isinstance(told, Refused)
    assert (told.reason, told.task) == ("forbidden", "mine")


async def test_a_publisher_sends_into_projects_of_its_own_only(bus: Bus) -> None:
    publisher, projects = name("pub"), gate(bus).projects
    hers, limits = Project(id="", name="x", members=()), {"open_tasks": 1}
    mine = await projects.create(publisher, msgspec.structs.replace(hers, limits=limits))
    other = await projects.create(name("else"), hers)
    async with outside(bus) as one:
        subject = f"intake.{publisher}.created"
        for number, project in enumerate((mine, other, mine)):
            one.send(GOOD | {"id": f"t{number}", "project": project.id}, subject)
            await one.facts(number + 1)
        good, foreign, over = await one.facts(3)
    assert (good.project, good.invalid) == (mine.id, "")
    assert (foreign.project, foreign.invalid) == ("", f"there is no project {other.id}")
    assert over.project == ""
    assert f"quota open_tasks of project {mine.id}" in over.invalid


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
        self.data = body if isinstance(body, bytes) else json.dumps(body).encode()

    def header(self, name: bytes) -> bytes:
        return b""


async def test_a_request_is_answered(bus: Bus) -> None:
    async with outside(bus) as one:
        for n, body in enumerate(
            (GOOD | {"id": "a"}, GOOD | {"id": "a"}, GOOD | {"id": "a", "type": "u"}, b"junk"), 1
        ):
            one.intake.answer(Request(body))
            await one.told(n)
        answers = [answer for subject, answer in one.published if subject == "_INBOX.1"]
    assert answers[:2] == [Accepted("a", 1), Accepted("a", 1, duplicate=True)]
    refused = [(a.reason, a.task) for a in answers[2:] if isinstance(a, Refused)]
    assert refused == [(Reason.CONFLICT, "a"), (Reason.BAD_REQUEST, "")]
    assert await one.log.head() == 1


class StuckLog(MemoryLog):
    """A log that answers nobody for a while."""

    def __init__(self) -> None:
        super().__init__()
        self.on = asyncio.Event()

    async def append(self, *args: Any, **options: Any) -> int:
        await self.on.wait()
        return await super().append(*args, **options)

    async def append_all(self, items: Any) -> Any:
        await self.on.wait()
        return await super().append_all(items)


async def test_the_requests_of_one_publisher_take_no_room_of_anothers(
    bus: Bus, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("services.gateway.intake.REQUESTS", 16)
    log = StuckLog()
    async with outside(bus, log) as one:
        for n in range(6):
            one.intake.answer(Request(GOOD | {"id": f"a{n}"}))
        ((_, first), (_, second)) = await one.told(2)
        assert isinstance(first, Refused)
        assert first.reason == second.reason == Reason.RATE_LIMITED
        other = Request(GOOD | {"id": "b"})
        other.subject = "submit.other"
        one.intake.answer(other)
        log.on.set()
        answers = [answer for _, answer in (await one.told(7))[2:]]
        assert sorted(a.task for a in answers) == ["a0", "a1", "a2", "a3", "b"]
        assert all(isinstance(answer, Accepted) for answer in answers)
        one.intake.answer(Request(GOOD | {"id": "a9"}))
        assert isinstance((await one.told(8))[-1][1], Accepted)
    assert not one.intake._under_way._users


def test_bytes_count_as_well() -> None:
    room = UnderWay(1000, 4000)
    assert room.enter("a", 600) is None
    refused = room.enter("a", 600)
    assert refused is not None
    assert refused.reason == Reason.RATE_LIMITED
    for user in "bcde":
        assert room.enter(user, 800) is None
    full = room.enter("f", 300)
    assert full is not None
    assert full.reason == Reason.UNAVAILABLE
    room.leave("b", 800)
    assert room.enter("f", 300) is None
