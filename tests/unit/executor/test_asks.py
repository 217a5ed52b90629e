"""An attempt whose host asks, one that takes the answer along, a call that nobody has allowed."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from contracts.asks import AnswerAction, QuestionKind, TaskAnswered, TaskAsked
from contracts.facts import FailureKind, JobDone, JobFailed, Outcome, Record
from contracts.host import Limits
from contracts.task import input_sha256
from services.executor.attempt.call import Answer, Call, FreePlaces, HostError, HostPlace
from services.executor.attempt.inquiry import HostQuestion, NobodyAsked
from services.keys.permits import SigningKey
from services.log.memory import MemoryLog
from services.log.port import Append, LogUnavailable
from services.process.ids import new_id
from tests.support import facts
from tests.unit.executor.world import World, fresh_key, host, moment, spec, world

FORM = {"type": "object", "properties": {"name": {"type": "string"}}}
WANTED = HostQuestion("noop", "Who are you?", FORM, "", ("who",), "state-1", 0)


@pytest.fixture(scope="module")
def key(tmp_path_factory: pytest.TempPathFactory) -> SigningKey:
    return fresh_key(tmp_path_factory.mktemp("data"))


async def asking(_: Call) -> Answer:
    text = "noop of host h1 asks: Who are you?"
    raise HostError(FailureKind.INPUT_REQUIRED, text, called=True, callers=True, question=WANTED)


def asked(task: str = "t1", q: int = 1, **fields: Any) -> TaskAsked:
    known: dict[str, Any] = {"kind": QuestionKind.INPUT, "message": "?", "timeout_s": 9}
    known |= {"host": "h1", "tool": "noop", "keys": ("who",)}
    return TaskAsked(id=new_id(), by="e", user="alice", task=task, q=q, **known | fields)


def answered(task: str = "t1", q: int = 1, **fields: Any) -> TaskAnswered:
    known: dict[str, Any] = {"action": AnswerAction.ACCEPT, "answered_by": "bob"}
    return TaskAnswered(id=new_id(), by="g", user="alice", task=task, q=q, **known | fields)


def kinds(one: World) -> list[str]:
    return one.facts()[-2:]


async def test_an_attempt_whose_host_asks_ends_with_the_question(
    tmp_path: Path, key: SigningKey
) -> None:
    async with world(tmp_path, key, script=asking) as one:
        route = await one.task(question_s=77.0)
        told = await one.fact(TaskAsked)
        failed = await one.fact(JobFailed)
        await one.idle()
    assert told.seq == failed.seq + 1
    end, fact = failed.fact, told.fact
    assert isinstance(end, JobFailed)
    assert isinstance(fact, TaskAsked)
    assert (end.kind, end.called, end.attempt) == (FailureKind.INPUT_REQUIRED, True, 1)
    assert (fact.q, fact.kind, fact.attempt, fact.host) == (1, QuestionKind.INPUT, 1, "h1")
    assert (fact.message, fact.schema, fact.keys) == ("Who are you?", FORM, ("who",))
    assert (fact.state, fact.timeout_s, fact.tool) == ("state-1", 77.0, "noop")
    assert fact.input_sha256 == route.route.input_sha256


class Restless(MemoryLog):
    """Stores what is appended together, and does not say so at first."""

    silent = 2

    async def append_together(self, items: Sequence[Append]) -> list[int]:
        stored = await super().append_together(items)
        self.silent -= 1
        if self.silent >= 0:
            raise LogUnavailable("no answer")
        return stored


async def test_a_question_is_stored_once_however_often_it_is_appended(
    tmp_path: Path, key: SigningKey
) -> None:
    async with world(tmp_path, key, script=asking, log=Restless()) as one:
        await one.task()
        await one.fact(TaskAsked)
        await one.idle()
        assert one.facts().count("asked") == 1


class Behind(MemoryLog):
    """Does not know the latest question yet."""

    async def last(self, filter_: str) -> Record | None:
        return None if filter_.startswith("task.asked") else await super().last(filter_)


async def test_a_question_gets_the_next_free_number(tmp_path: Path, key: SigningKey) -> None:
    async with world(tmp_path, key, script=asking, log=Behind()) as one:
        for q in (1, 2):
            await one.log.append(asked(q=q))
        await one.task()
        await one.fact(JobFailed)
        await one.idle()
    assert [r.fact.q for r in one.log._records if isinstance(r.fact, TaskAsked)] == [1, 2, 3]


async def test_nothing_is_asked_for_a_task_that_is_over(tmp_path: Path, key: SigningKey) -> None:
    async def late(call: Call) -> Answer:
        await one.log.append(facts.done("alice", "t1", Outcome.CANCELLED))
        return await asking(call)

    async with world(tmp_path, key, script=late) as one:
        await one.task()
        await one.fact(JobDone)
        await one.idle()
        assert kinds(one) == ["signed", "done"]


async def test_an_attempt_takes_along_what_its_host_was_answered(
    tmp_path: Path, key: SigningKey
) -> None:
    async with world(tmp_path, key) as one:
        await one.log.append(asked())
        await one.log.append(answered(content={"name": "Ada"}))
        await one.task(attempt=2, reply=1)
        await one.fact(JobDone)
        (call,) = one.pool.calls
        assert call.reply is not None
        assert (call.reply.asked.q, call.reply.answered.content) == (1, {"name": "Ada"})
        await one.log.append(asked("t2", host="other"))
        await one.log.append(answered("t2"))
        await one.task("t2", reply=1)
        await one.fact(JobDone, "t2")
        assert one.pool.calls[1].reply is None, "another host has asked"


async def test_what_can_not_be_read_is_left_to_another_executor(
    tmp_path: Path, key: SigningKey
) -> None:
    async with world(tmp_path, key) as one:
        await one.log.append(asked())
        await one.task(reply=1)
        failed = (await one.fact(JobFailed)).fact
        assert one.pool.calls == []
    assert isinstance(failed, JobFailed)
    assert (failed.kind, failed.called) == (FailureKind.CUT, False)
    assert "question 1" in failed.message


GUARDED = host(approve=("no*",), limits=Limits(max_concurrency=4))


async def approved(one: World, **fields: Any) -> None:
    known: dict[str, Any] = {"kind": QuestionKind.APPROVAL, "keys": ()}
    known["input_sha256"] = input_sha256(spec())
    await one.log.append(asked(**known | fields))


async def test_a_call_that_was_allowed_is_made(tmp_path: Path, key: SigningKey) -> None:
    async with world(tmp_path, key, hosts=(GUARDED,)) as one:
        await approved(one)
        await one.log.append(answered())
        await one.task(approved=1)
        await one.fact(JobDone)
        (call,) = one.pool.calls
        assert call.reply is None


@pytest.mark.parametrize(
    ("question", "action", "route", "why"),
    [
        ({}, "accept", 0, "the log has no such answer"),
        ({"tool": "other"}, "accept", 1, "allows something else"),
        ({"host": "other"}, "accept", 1, "allows something else"),
        ({"input_sha256": "x"}, "accept", 1, "allows something else"),
        ({"kind": QuestionKind.INPUT}, "accept", 1, "allows something else"),
        ({}, "decline", 1, "bob has not allowed it"),
    ],
)
async def test_a_call_that_nobody_has_allowed_is_not_made(
    tmp_path: Path, key: SigningKey, question: Any, action: str, route: int, why: str
) -> None:
    async with world(tmp_path, key, hosts=(GUARDED,)) as one:
        await approved(one, **question)
        await one.log.append(answered(action=AnswerAction(action)))
        await one.task(approved=route)
        failed = (await one.fact(JobFailed)).fact
        assert one.pool.calls == []
    assert isinstance(failed, JobFailed)
    assert (failed.kind, failed.called, failed.retryable) == (FailureKind.BAD_INPUT, False, False)
    assert why in failed.message


@pytest.mark.parametrize("allowed", [False, True])
async def test_a_task_that_wants_to_be_allowed_is_held_to_it(
    tmp_path: Path, key: SigningKey, allowed: bool
) -> None:
    """Whatever its host says: the router could have routed it unasked."""
    async with world(tmp_path, key, hosts=(host(),)) as one:
        wanted = spec(approve=True)
        await approved(one, input_sha256=input_sha256(wanted))
        await one.log.append(answered())
        await one.task(spec_=wanted, approved=int(allowed))
        if allowed:
            await one.fact(JobDone)
            return
        failed = (await one.fact(JobFailed)).fact
        assert one.pool.calls == []
    assert isinstance(failed, JobFailed)
    assert "the log has no such answer" in failed.message


class Holding:
    """A host that holds its calls open until it has an answer."""

    def __init__(self) -> None:
        self.heard: list[Any] = []

    async def __call__(self, call: Call) -> Answer:
        if call.plan.task != "t1":
            return Answer([])
        call.called = None
        try:
            self.heard.append(await call.ask(HELD))
            call.called = True
        except NobodyAsked as why:
            self.heard.append(str(why))
        return Answer([])


HELD = HostQuestion("noop", "Who are you?", FORM)


async def test_a_held_call_takes_no_slot_and_no_time(tmp_path: Path, key: SigningKey) -> None:
    holding = Holding()
    async with world(tmp_path, key, script=holding, slots=1) as one:
        await one.task(timeout_s=0.3)
        told = (await one.fact(TaskAsked)).fact
        assert isinstance(told, TaskAsked)
        assert (told.q, told.keys, told.attempt) == (1, (), 1)
        for task in ("t2", "t3"):
            await one.task(task)
            await one.fact(JobDone, task)
        (attempt,) = one.executor._attempts.values()
        while time.monotonic() < attempt.deadline + 0.1:
            await moment()
        assert one.facts() == ["created", "routed", "signed", "asked"]
        await one.log.append(answered(content={"name": "Ada"}))
        done = (await one.fact(JobDone)).fact
        assert isinstance(done, JobDone)
        assert done.outcome is Outcome.SUCCEEDED
        assert holding.heard == [(AnswerAction.ACCEPT, {"name": "Ada"})]
        await one.task("t4")
        await one.fact(JobDone, "t4")
        await one.idle()
        assert one.executor._owed == 0


async def test_nobody_answers_a_held_call(tmp_path: Path, key: SigningKey) -> None:
    async with world(tmp_path, key, script=Holding()) as one:
        await one.task(question_s=0.1)
        failed = (await one.fact(JobFailed)).fact
    assert isinstance(failed, JobFailed)
    assert (failed.kind, failed.called) == (FailureKind.TIMEOUT, None)
    assert "nobody has answered within 0.1 s" in failed.message


async def test_more_calls_are_not_held_than_may_be(tmp_path: Path, key: SigningKey) -> None:
    holding = Holding()
    async with world(tmp_path, key, script=holding, held_calls=0) as one:
        await one.task()
        await one.fact(JobDone)
        assert "asked" not in one.facts()
    assert "0 calls wait for answers here, the most there may be" in holding.heard[0]


async def test_a_held_call_is_cancelled(tmp_path: Path, key: SigningKey) -> None:
    async with world(tmp_path, key, script=Holding()) as one:
        await one.task()
        await one.fact(TaskAsked)
        await one.cancel()
        done = (await one.fact(JobDone)).fact
        await one.idle()
        assert one.executor._runner.held.count == 0
    assert isinstance(done, JobDone)
    assert done.outcome is Outcome.CANCELLED


async def test_an_executor_that_stops_ends_a_held_call(tmp_path: Path, key: SigningKey) -> None:
    async with world(tmp_path, key, script=Holding()) as one:
        await one.task()
        await one.fact(TaskAsked)
        await one.executor.drain()
        failed = (await one.fact(JobFailed)).fact
    assert isinstance(failed, JobFailed)
    assert (failed.kind, failed.called) == (FailureKind.CUT, None)
    assert "while the host waited for an answer" in failed.message


async def test_a_held_call_gives_its_place_at_the_host_back() -> None:
    free = FreePlaces(1)
    await free.acquire()
    place = HostPlace(free)
    place.give()
    assert not free.locked()
    place.take()
    assert free.locked()
    place.give()
    await free.acquire()
    place.take()
    place.give()
    assert free.locked(), "another has it, and nobody waited for it"
