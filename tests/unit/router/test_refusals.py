"""What a tool has answered with an error is for its user: the router keeps the words of it only."""

from __future__ import annotations

from contracts.facts import FailureKind
from contracts.message import MESSAGE_BYTES
from contracts.result import inline
from tests.unit.router.world import host, one_end, one_route, ready


def test_a_task_ends_with_the_whole_message_of_its_failure() -> None:
    world = ready(host())
    world.submit("t1")
    message = "begins " + "x" * (MESSAGE_BYTES - 20) + " ends"
    route = one_route(world)
    world.sign(route)
    world.fail(route, FailureKind.TOOL, called=True, message=message, result=inline(b"{}"))
    (task,) = world.state.tasks.values()
    assert task.failure is not None
    assert task.failure.result is None
    end = one_end(world)
    assert end.error is not None
    assert (end.error.message, end.result) == (message, None)


def test_words_of_its_own_do_not_make_a_message_too_long() -> None:
    world = ready(host())
    world.submit("t1")
    route = one_route(world)
    world.sign(route)
    message = "x" * (MESSAGE_BYTES - 5) + " ends"
    world.fail(route, FailureKind.CUT, called=None, message=message)
    error = one_end(world).error
    assert error is not None
    assert error.code == "outcome_unknown"
    assert error.message.endswith(" ends")
    assert len(error.message) <= MESSAGE_BYTES
