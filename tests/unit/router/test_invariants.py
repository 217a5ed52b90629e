"""The checks of `tests.support.invariants` notice what they are for."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
import pytest
from msgspec.structs import replace

from contracts.facts import JobDone, JobSigned, LogRouter, Record, TaskRouted
from services.router.recompute import CannotRecompute
from tests.support import invariants
from tests.unit.router.test_again import answered, call
from tests.unit.router.world import host, one_end, ready, routes

Story = tuple[list[Record], list[dict[str, Any]]]


def story() -> Story:
    """Two tasks on two hosts in two terms, and what the hosts wrote down."""
    world = ready(host("a"), host("b"))
    calls = []
    for task in ("t1", "t2"):
        world.submit(task)
        (route,) = routes(world.run())
        world.sign(route)
        world.later(1)
        calls.append({"event": "start", "task": task, "attempt": 1, "at": world.moment.now})
        world.fail(route, "cut", called=True) if task == "t2" else world.succeed(route)
        world.run()
        world.lead()
    return [with_digest(record) for record in world.records], calls


def with_digest(record: Record) -> Record:
    """The success names the task's input, as an executor's does."""
    if isinstance(record.fact, JobDone) and not record.fact.input_sha256:
        digest = "44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a"
        return replace(record, fact=msgspec.structs.replace(record.fact, input_sha256=digest))
    return record


def holds(records: list[Record], calls: list[dict[str, Any]]) -> None:
    invariants.check(records, calls, ["t1", "t2"])
    invariants.recomputed(records)


def changed(records: list[Record], kind: type, **fields: Any) -> list[Record]:
    """Change the first fact of this kind."""
    index = next(n for n, record in enumerate(records) if isinstance(record.fact, kind))
    record = records[index]
    fact = msgspec.structs.replace(record.fact, **fields)
    return [*records[:index], replace(record, fact=fact), *records[index + 1 :]]


def without(records: list[Record], kind: type) -> list[Record]:
    """Leave the first fact of this kind out, and number the others anew."""
    index = next(n for n, record in enumerate(records) if isinstance(record.fact, kind))
    left = [*records[:index], *records[index + 1 :]]
    return [replace(record, seq=n) for n, record in enumerate(left, 1)]


def routed(records: list[Record], **fields: Any) -> list[Record]:
    """Change the first route's decision."""
    route = next(record.fact.route for record in records if isinstance(record.fact, TaskRouted))
    return changed(records, TaskRouted, route=msgspec.structs.replace(route, **fields))


def test_an_honest_story_passes() -> None:
    holds(*story())


LIES: dict[str, Callable[[list[Record], list], Story]] = {
    "a gap": lambda records, calls: (records[1:], calls),
    "no end": lambda records, calls: (without(records, JobDone), calls),
    "two ends": lambda records, calls: (
        [*records, replace(records[-2], seq=len(records) + 1)],
        calls,
    ),
    "no claim": lambda records, calls: (without(records, JobSigned), calls),
    "another host": lambda records, calls: (changed(records, JobSigned, host="b"), calls),
    "another input": lambda records, calls: (changed(records, JobSigned, input_sha256="0"), calls),
    "another choice": lambda records, calls: (routed(records, host="b"), calls),
    "another basis": lambda records, calls: (routed(records, basis=3), calls),
    "other slots": lambda records, calls: (routed(records, slots={"a": 1}), calls),
    "an old term": lambda records, calls: (routed(records, term=0), calls),
    "a term twice": lambda records, calls: (changed(records, LogRouter, term=2), calls),
    "an old router": lambda records, calls: (changed(records, TaskRouted, by="router-9"), calls),
    "a second call": lambda records, calls: (records, [*calls, calls[0]]),
    "an early call": lambda records, calls: (records, [calls[0] | {"at": 0.0}]),
    "a call of nobody": lambda records, calls: (records, [*calls, calls[0] | {"attempt": 2}]),
}


@pytest.mark.parametrize("lie", LIES)
def test_a_lie_is_noticed(lie: str) -> None:
    records, calls = LIES[lie](*story())
    with pytest.raises((AssertionError, KeyError, CannotRecompute)):
        holds(records, calls)


def test_what_was_given_again_needs_no_claim_but_work_before_it() -> None:
    world = answered()
    call(world, "t2")
    end = one_end(world)
    invariants.check(world.records, [], ["t1", "t2"])
    for wrong in ({"from_": ""}, {"attempt": 1}, {"result": None}, {"earlier": None}):
        fact = msgspec.structs.replace(end, **wrong)
        lie = [*world.records[:-1], replace(world.records[-1], fact=fact)]
        with pytest.raises((AssertionError, KeyError)):
            invariants.check(lie, [], ["t1", "t2"])


def test_what_was_accepted_has_to_be_there() -> None:
    records, calls = story()
    with pytest.raises(AssertionError, match="t3 was accepted"):
        invariants.check(records, calls, ["t1", "t3"])
