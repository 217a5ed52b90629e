"""What a task is owed: retries, failover, giving up, cancelling, deadlines, lost attempts."""

from __future__ import annotations

import pytest

from contracts.facts import FailureKind, JobDone, Outcome
from contracts.host import HealthStatus
from services.router.domain import backoff_s
from tests.unit.router.world import flags, host, one_end, one_route, ready, space


def test_a_task_gets_a_route_that_says_why() -> None:
    world = ready(host("a"), host("b", 1, "other"))
    created = world.submit("t1", timeout_s=7, deadline_s=60)
    fact = one_route(world)
    route = fact.route
    assert (fact.task, fact.attempt, route.host) == ("t1", 1, "a")
    assert route.basis == created.seq
    assert route.host_seq == 1
    assert route.removed == {"task_type": ("b",)}
    assert (route.timeout_s, route.expires) == (7, created.at + 60)
    assert (route.job_head, route.term) == (0, 1)
    assert [c.host for c in route.candidates] == ["a"]


def test_an_invalid_task_is_rejected_with_its_reason() -> None:
    world = ready(host())
    world.submit("t1", invalid="input is not an object")
    end = one_end(world)
    assert (end.outcome, end.error.code) == (Outcome.REJECTED, "invalid")
    assert end.error.message == "input is not an object"
    assert world.state.tasks == {}


def test_a_task_no_host_can_serve_is_rejected_at_once() -> None:
    world = ready(host("a", 1, "other"), host("b", 1, "else", enabled=False))
    world.submit("t1")
    end = one_end(world)
    assert (end.outcome, end.error.code) == (Outcome.REJECTED, "no_host")
    assert end.error.message == "no host can serve task type 'work' (a: task_type, b: task_type)"


def test_a_task_older_than_the_first_host_waits_a_little_for_its_own() -> None:
    world = ready()
    world.submit("t1")
    world.submit("t2", type="never")
    assert world.run() == []
    world.later(5)
    world.register(host("a", 1, "other"))
    assert world.run() == []
    world.register(host("b"))
    assert one_route(world).task == "t1"
    world.later(4.9)
    assert world.run() == []
    world.later(0.2)
    assert one_end(world).task == "t2"
    world.submit("t3", type="never")
    assert one_end(world).error.code == "no_host"


def test_queued_tasks_are_rejected_when_their_last_host_goes() -> None:
    world = ready(host("a", 1))
    world.submit("t1")
    world.submit("t2")
    first = one_route(world)
    world.remove("a")
    assert one_end(world).task == "t2"
    world.fail(first, FailureKind.HOST_GONE)
    end = one_end(world)
    assert (end.task, end.outcome, end.error.code) == ("t1", Outcome.FAILED, "no_host")


def test_a_task_waits_for_a_slot_and_for_health() -> None:
    world = ready(host("a", 1))
    world.submit("t1")
    world.submit("t2")
    first = one_route(world)
    assert world.run() == []
    world.sign(first)
    world.health("a", HealthStatus.UNHEALTHY)
    world.succeed(first)
    assert world.run() == []
    world.health("a", HealthStatus.WARNING)
    assert one_route(world).task == "t2"


def test_a_task_that_finds_no_slot_in_time_is_timed_out() -> None:
    world = ready(host("a", 1))
    world.submit("t1")
    world.submit("t2", deadline_s=30)
    one_route(world)
    world.later(29)
    assert world.run() == []
    world.later(1)
    end = one_end(world)
    assert (end.task, end.outcome, end.error.code) == ("t2", Outcome.TIMED_OUT, "queue_timeout")


def test_a_delayed_task_starts_when_it_is_time() -> None:
    world = ready(host())
    world.submit("t1", delay_s=20)
    assert world.run() == []
    world.later(19)
    assert world.run() == []
    assert world.plan.sleep_s(world.moment, world.beats) == pytest.approx(1)
    world.later(1)
    assert one_route(world).task == "t1"


def test_a_cancelled_task_that_nobody_claimed_ends_at_once() -> None:
    world = ready(host("a", 1))
    world.submit("t1")
    world.submit("t2")
    one_route(world)
    world.cancel("t1")
    world.cancel("t2")
    stored = world.run()
    assert {(end.task, end.outcome) for end in stored} == {("t1", "cancelled"), ("t2", "cancelled")}
    assert world.state.flights.total == 0


def test_cancelling_a_claimed_attempt_is_its_executors_work() -> None:
    world = ready(host())
    world.submit("t1")
    route = one_route(world)
    world.cancel("t1")
    decided = world.decide()
    world.sign(route)
    assert world.commit(decided) == []
    assert world.run() == []
    assert world.state.tasks["alice.t1"].cancelled


@pytest.mark.parametrize("kind", [FailureKind.UNREACHABLE, FailureKind.HOST_GONE])
def test_another_host_is_tried_at_once_when_this_one_looks_sick(kind: FailureKind) -> None:
    world = ready(host("a"), host("b"))
    world.submit("t1")
    first = one_route(world)
    world.fail(first, kind)
    second = one_route(world)
    assert (second.attempt, second.route.host) == (2, "b")
    assert second.route.removed == {"excluded": ("a",)}
    assert second.route.job_head == len(world.records) - 1


def test_the_same_host_is_tried_again_after_a_pause_when_there_is_no_other() -> None:
    world = ready(host("a"))
    world.submit("t1")
    world.fail(one_route(world), FailureKind.UNREACHABLE)
    assert world.run() == []
    world.later(backoff_s("t1", 1) - 0.1)
    assert world.run() == []
    world.later(0.2)
    assert one_route(world).attempt == 2


def test_a_healthy_host_is_tried_again_after_a_pause() -> None:
    world = ready(host("a"), host("b"))
    world.submit("t1", retry_tool_errors=True)
    world.fail(one_route(world), FailureKind.TOOL, called=True)
    assert world.run() == []
    world.later(backoff_s("t1", 1))
    assert one_route(world).attempt == 2


def test_pauses_double_up_to_a_minute_and_differ_between_tasks() -> None:
    for n in range(1, 12):
        ceiling = min(2**n, 60)
        assert ceiling / 2 <= backoff_s("t", n) <= ceiling
    assert len({backoff_s(f"t{n}", 3) for n in range(50)}) == 50


def test_it_gives_up_after_the_last_attempt() -> None:
    world = ready(host("a"))
    world.submit("t1", max_attempts=2)
    world.fail(one_route(world), FailureKind.UNREACHABLE)
    world.later(2)
    world.fail(one_route(world), FailureKind.UNREACHABLE)
    end = one_end(world)
    assert (end.outcome, end.error.code, end.attempt) == (Outcome.FAILED, "unreachable", 2)
    assert end.host == "a"


# DESIGN section 5, row by row: for what the failure says of the call (`called`), how the task goes
# on when neither task nor host allows a repetition, when the host does, and when the task does.
OTHER, LATER, UNKNOWN = "another host at once", "any host after a pause", "outcome_unknown"
NEVER = ("ends with its kind",) * 3
SICK = (OTHER,) * 3
IF_HARMLESS = (UNKNOWN, OTHER, OTHER)
TABLE = [
    *[(FailureKind.HOST_GONE, called, *SICK) for called in (False, None)],
    (FailureKind.UNREACHABLE, False, *SICK),
    # It was the plan's second step that found nobody: the first has been carried out.
    *[(FailureKind.UNREACHABLE, called, *IF_HARMLESS) for called in (None, True)],
    (FailureKind.TOOL, True, "ends with its kind", LATER, LATER),
    (FailureKind.PROTOCOL, True, "ends with its kind", LATER, LATER),
    *[
        row
        for kind in (FailureKind.TIMEOUT, FailureKind.CUT, FailureKind.LOST)
        for row in (
            (kind, False, *SICK),
            (kind, None, *IF_HARMLESS),
            (kind, True, *IF_HARMLESS),
        )
    ],
    *[
        (kind, called, *NEVER)
        for kind in (FailureKind.TOO_LARGE, FailureKind.FORBIDDEN_PATH, FailureKind.BAD_INPUT)
        for called in (False, None, True)
    ],
]


@pytest.mark.parametrize(("kind", "called", "alone", "host_may", "task_may"), TABLE)
def test_a_failure_is_followed_by_what_the_table_says(
    kind: FailureKind, called: bool | None, alone: str, host_may: str, task_may: str
) -> None:
    wishes: dict = {"on_unknown": "retry", "retry_tool_errors": True}
    assert after(kind, called) == alone
    assert after(kind, called, retryable=True) == host_may
    assert after(kind, called, **wishes) == task_may


def after(kind: FailureKind, called: bool | None, *, retryable: bool = False, **task) -> str:
    """Fail the first of three attempts with this, and say in the table's words what follows."""
    world = ready(host("a"), host("b"))
    world.submit("t1", **task)
    first = one_route(world)
    world.fail(first, kind, called=called, retryable=retryable)
    at_once = world.run()
    world.later(2)
    (next_,) = at_once or world.run()
    if isinstance(next_, JobDone):
        assert at_once
        assert next_.outcome == Outcome.FAILED
        return "ends with its kind" if next_.error.code == kind else next_.error.code
    assert not at_once or next_.route.host != first.route.host
    return OTHER if at_once else LATER


def test_the_table_has_every_kind_of_failure() -> None:
    # What follows a question is in test_asks.
    assert {row[0] for row in TABLE} | {FailureKind.INPUT_REQUIRED} == set(FailureKind)


def test_a_failed_space_hands_heavy_work_to_the_orchestrator_if_it_allows_that() -> None:
    for allowed in (True, False):
        spec = space("s", "alice", flags=flags(fallback_to_oracle=allowed))
        world = ready(spec, host("plain"))
        world.submit("t1", is_heavy=True)
        world.fail(one_route(world), FailureKind.UNREACHABLE)
        world.later(0 if allowed else 2)
        assert one_route(world).route.host == ("plain" if allowed else "s")


def test_an_expired_permit_ends_the_attempt() -> None:
    world = ready(host("a"))
    world.submit("t1")
    world.sign(one_route(world), permit_s=10)
    world.later(14.9)
    assert world.run() == []
    world.later(0.2)
    lost, end = world.run()
    assert (lost.kind, end.error.code) == (FailureKind.LOST, "outcome_unknown")


def test_the_total_deadline_ends_a_running_attempt_after_a_grace() -> None:
    world = ready(host("a"))
    world.submit("t1", deadline_s=20)
    world.sign(one_route(world))
    world.later(24.9)
    assert world.run() == []
    world.later(0.2)
    end = one_end(world)
    assert (end.outcome, end.attempt, end.host) == (Outcome.TIMED_OUT, 1, "a")


def test_an_attempt_cut_short_by_the_deadline_is_timed_out_not_unknown() -> None:
    world = ready(host("a"))
    world.submit("t1", deadline_s=20)
    route = one_route(world)
    world.sign(route)
    world.later(19.8)
    world.fail(route, FailureKind.TIMEOUT, called=True)
    assert one_end(world).outcome == Outcome.TIMED_OUT


def test_a_cancelled_task_whose_executor_died_is_cancelled() -> None:
    world = ready(host("a"))
    world.submit("t1")
    world.sign(one_route(world))
    world.cancel("t1")
    world.later(6, beating="")
    lost, end = world.run()
    assert (lost.kind, end.outcome) == (FailureKind.LOST, Outcome.CANCELLED)
