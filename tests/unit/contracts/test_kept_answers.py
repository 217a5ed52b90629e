"""What a task's view says of answers that are errors."""

from __future__ import annotations

from contracts import status
from contracts.facts import AnyFact, JobFailed, Outcome, Record, decode, encode
from contracts.result import Pointer, Result, inline
from contracts.status import TaskView
from tests.support import facts as make

SMALL = inline(b'{"content":[],"structured":null,"is_error":true}')
BIG = Pointer("nats://blobs/u/x", "0" * 64, 5_000_000)


def after(*facts: AnyFact) -> TaskView:
    every = (make.created("u", "t"), *facts)
    records = [Record(n, float(n), "", fact, b"") for n, fact in enumerate(every, start=1)]
    view = status.fold(records)
    assert view is not None
    return view


def failed(attempt: int, result: Result | None) -> list[AnyFact]:
    return [make.routed("u", "t", attempt), make.failed("u", "t", attempt, result=result)]


def test_the_answer_of_the_last_attempt_is_what_a_failed_task_leaves() -> None:
    for kept in (SMALL, BIG):
        view = after(*failed(1, kept), make.done("u", "t", Outcome.FAILED, attempt=1))
        assert (view.status, view.result) == ("failed", kept)


def test_a_later_attempt_makes_an_answer_forgotten() -> None:
    assert after(*failed(1, SMALL)).result == SMALL
    assert after(*failed(1, SMALL), make.routed("u", "t", 2)).result is None
    assert after(*failed(1, SMALL), *failed(2, None)).result is None
    assert after(*failed(1, SMALL), *failed(2, BIG)).result == BIG
    succeeded = make.done("u", "t", attempt=2, result=SMALL)
    assert after(*failed(1, BIG), make.routed("u", "t", 2), succeeded).result == SMALL


def test_a_failure_of_an_earlier_release_has_no_answer() -> None:
    old = encode(make.failed("u", "t", message="no such file"))
    assert b"result" not in old
    fact = decode(old)
    assert isinstance(fact, JobFailed)
    assert fact.result is None
