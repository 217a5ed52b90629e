"""How an attempt ended: from what stopped it and from what was noted on the way."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.errors import Reason, Rejected
from contracts.facts import FailureKind
from services.executor.attempt.call import HostError
from services.executor.attempt.course import Course
from services.executor.attempt.ending import Broken, CalledOff, Stopped, ending
from services.executor.attempt.plan import BadInput
from services.packed.names import BadFiles, ForbiddenPath
from services.store.blobs import BlobCorrupt, BlobMissing, StoreError, StoreRefused

CALLED = st.sampled_from([True, False, None])
KINDS = st.sampled_from(list(FailureKind))
STOPS = st.sampled_from([Stopped(), asyncio.CancelledError()])


def course(called: bool | None = False, *, cancelled: str | None = None, lacks: str = "") -> Course:
    made = Course()
    made.called, made.cancelled, made.lacks = called, cancelled, lacks
    return made


def broken(one: Course, error: BaseException, *, late: bool = False) -> Broken:
    end = ending(one, error, 5, late=late)
    assert isinstance(end, Broken)
    return end


@given(KINDS, CALLED, CALLED)
def test_what_an_earlier_step_has_reached_is_not_forgotten(
    kind: FailureKind, noted: bool | None, said: bool | None
) -> None:
    end = broken(course(noted), HostError(kind, "no", called=said))
    assert (end.kind, end.called) == (kind, noted if said is False else said)


@given(STOPS, CALLED)
def test_a_stop_says_whether_the_host_was_called(error: BaseException, noted: bool | None) -> None:
    end = broken(course(noted), error)
    assert (end.kind, end.called) == (FailureKind.CUT, noted)


@given(STOPS, CALLED)
def test_a_user_s_wish_ends_the_task_also_while_the_executor_stops(
    error: BaseException, noted: bool | None
) -> None:
    one = course(noted, cancelled="enough")
    one.cut = True
    assert ending(one, error, 5, late=False) == CalledOff("enough")


@given(CALLED, st.text(min_size=1))
def test_who_is_waited_for_at_the_deadline_is_to_blame(noted: bool | None, lacks: str) -> None:
    host = broken(course(noted), TimeoutError(), late=True)
    assert (host.kind, host.called) == (FailureKind.TIMEOUT, noted)
    assert host.message == "not done within 5 s"
    other = broken(course(noted, lacks=lacks), TimeoutError(), late=True)
    assert (other.kind, other.called) == (FailureKind.LOST, noted)
    assert lacks in other.message


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (BadInput("why"), FailureKind.BAD_INPUT),
        (BadFiles("why"), FailureKind.BAD_INPUT),
        (BlobMissing("why"), FailureKind.BAD_INPUT),
        (BlobCorrupt("why"), FailureKind.BAD_INPUT),
        (ForbiddenPath("why"), FailureKind.FORBIDDEN_PATH),
        (Rejected(Reason.TOO_LARGE, "why"), FailureKind.TOO_LARGE),
    ],
)
def test_what_is_not_the_host_s_says_why_and_who_was_called(
    error: Exception, kind: FailureKind
) -> None:
    for called in (True, False, None):
        assert broken(course(called), error) == Broken(kind, "why", called)


def test_what_a_store_says_stays_with_the_operator() -> None:
    for error in (StoreRefused("nats://inner:4222"), StoreError("nats://inner:4222")):
        end = broken(course(True), error)
        assert end == Broken(FailureKind.LOST, "the store does not answer", True)


def test_a_mistake_of_the_executor_is_told_apart_and_its_words_stay_with_the_operator() -> None:
    for error in (ValueError("/srv/inner/data"), TimeoutError("/srv/inner/data")):
        end = broken(course(False), error)
        assert (end.kind, end.called, end.mistake) == (FailureKind.CUT, None, True)
        assert type(error).__name__ in end.message
        assert str(error) not in end.message
