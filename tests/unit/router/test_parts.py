"""The small parts: heartbeats, log time, timers, the audit's recomputation."""

from __future__ import annotations

import msgspec
import pytest

from contracts.wire import Beat
from services.log.clock import JUMP_S, LogClock
from services.router.beats import LOOK_S, PAUSE_S, TAKEOVER_S, Beats, Claimant
from services.router.recompute import CannotRecompute, recompute
from services.router.settings import Settings
from services.router.timers import Timers
from tests.unit.router.world import host, one_route, ready

WHO = Claimant("executor-1", "i2")


def test_only_the_first_beat_of_a_run_is_news() -> None:
    beats = Beats(5)
    assert beats.hear(Beat("executor-1", "i2"), 0)
    assert not beats.hear(Beat("executor-1", "i2"), 1)
    assert not beats.hear(Beat("executor-1", "i1"), 2)
    assert beats.hear(Beat("executor-1", "i3"), 3)


def test_a_claim_is_not_lost_before_anyone_could_have_heard() -> None:
    beats = Beats(5)
    assert beats.lost(WHO, 0, 100) is None
    assert beats.lost_at(WHO, 0) is None
    beats.listen(100)
    assert beats.lost(WHO, 0, 104.9) is None
    assert beats.lost_at(WHO, 0) == 105
    assert beats.lost_at(WHO, 103) == 108
    assert "heartbeat" in beats.lost(WHO, 0, 105)


def test_a_pause_of_the_router_is_not_the_executors_silence() -> None:
    beats = Beats(5)
    beats.listen(0)
    beats.hear(Beat(*WHO), 0)
    beats.look(PAUSE_S + 10)
    assert beats.lost(WHO, 0, PAUSE_S + 11) is None


def heard(*runs: tuple[str, float]) -> Beats:
    """Beats of these runs, each from the given time until the next run begins; looked at always."""
    beats = Beats(5)
    beats.listen(0)
    for (run, begin), end in zip(runs, [at for _, at in runs[1:]] + [runs[-1][1]], strict=True):
        mono = begin
        while mono == begin or mono < end:
            beats.look(mono)
            beats.hear(Beat("executor-1", run), mono)
            mono += LOOK_S
    return beats


def test_a_run_whose_clock_stepped_back_is_adopted_after_the_silence_of_the_one_before() -> None:
    beats = heard(("i2", 0), ("i1", 3))
    new = Claimant("executor-1", "i1")
    assert beats.lost(WHO, 1, 3) is None, "the old run may still be there"
    for n in range(1, 20):
        mono = 3 + n * LOOK_S
        beats.look(mono)
        news = beats.hear(Beat("executor-1", "i1"), mono)
        assert news == (mono == 2.5 + TAKEOVER_S + LOOK_S)
        assert beats.lost(new, 3, mono) is None
    assert "restarted" in beats.lost(WHO, 1, mono)
    assert not beats.hear(Beat("executor-1", "i2"), mono), "a straggler of the old run"
    assert beats.lost(new, 3, mono) is None


def test_a_claim_of_a_run_that_is_not_heard_is_lost_in_time_whatever_its_order() -> None:
    beats = heard(("i1", 0), ("i1", 4.5))
    assert beats.lost(WHO, 0, 4.5) is None
    assert "heartbeat" in beats.lost(WHO, 0, 5)


def test_beats_that_were_missed_do_not_let_an_older_run_take_over() -> None:
    beats = heard(("i2", 0), ("i2", 3))
    assert not beats.hear(Beat("executor-1", "i1"), 3 + PAUSE_S + TAKEOVER_S)
    beats.deafen()
    assert not beats.hear(Beat("executor-1", "i1"), 60)


def test_log_time_runs_on_between_facts() -> None:
    clock = LogClock(1000.0, 50.0)
    assert clock.moment(53.0).now == 1003.0
    assert not clock.observe([(1, 1003.5)], 53.0)
    assert clock.moment(53.0).now == 1003.5, "a fact is never early"
    assert not clock.observe([(2, 1003.6)], 60.0)
    assert clock.moment(60.0).now == 1010.5, "but it may come late"


@pytest.mark.parametrize("jump", [3600.0, -3600.0])
def test_times_promised_before_a_jump_move_with_it(jump: float) -> None:
    clock = LogClock(5000.0, 0.0)
    assert not clock.observe([(1, 5001.0)], 1.0)
    assert clock.observe([(2, 5001.5), (3, 5002 + jump), (4, 5002.1 + jump)], 2.0)
    assert clock.moment(2.0).now == pytest.approx(5002 + jump)
    assert clock.moved(5001.0, 1) == pytest.approx(5001 + jump)
    assert clock.moved(5001.5, 2) == pytest.approx(5001.5 + jump)
    assert clock.moved(5002 + jump, 3) == 5002 + jump


def test_many_jumps_take_bounded_room() -> None:
    clock = LogClock(0.0, 0.0)
    for n in range(1, 100):
        assert clock.observe([(n, n * 2 * JUMP_S)], 0.0)
    assert len(clock._jumps) == 16
    assert clock.moved(0.0, 0) == pytest.approx(99 * 2 * JUMP_S)


def test_the_earliest_alarm_of_a_key_counts() -> None:
    timers = Timers()
    timers.set("a", 10)
    timers.set("a", 20)
    timers.set("b", 5)
    timers.set("b", 3)
    timers.set("c", 4)
    timers.clear("c")
    assert timers.first() == 3
    assert timers.due(9) == ["b"]
    assert timers.due(10) == ["a"]
    assert timers.first() is None


def test_alarms_that_were_cleared_take_no_room() -> None:
    timers = Timers()
    for n in range(10_000):
        timers.set(f"t{n}", n)
        timers.clear(f"t{n}")
    assert len(timers) == 0
    assert len(timers._heap) < 2000


def test_a_cleared_alarm_never_rings_though_it_may_stand_before_the_next_one() -> None:
    timers = Timers()
    timers.set("gone", 1)
    timers.set("a", 3)
    timers.clear("gone")
    assert timers.first() in (1, 3), "an early look is harmless"
    assert timers.due(2) == []
    assert timers.first() == 3
    timers.set("gone", 3)
    assert sorted(timers.due(3)) == ["a", "gone"]


def test_nothing_is_left_to_look_for_when_all_alarms_are_cleared() -> None:
    timers = Timers()
    for n in range(10):
        timers.set(f"t{n}", n)
    for n in range(10):
        timers.clear(f"t{n}")
    assert timers.first() is None


def test_a_route_is_recomputed_from_its_own_inputs() -> None:
    world = ready(host("a", 4), host("b", 4))
    world.submit("t1", host="b")
    world.submit("t2")
    world.submit("t3")
    for decision in world.decide():
        route = decision.fact.route
        again = recompute(world.records, decision.fact, world.rules)
        assert (again.host, again.candidates, again.slots) == (
            route.host,
            route.candidates,
            route.slots,
        )
        other = recompute(world.records, decision.fact, Settings(max_attempts=9))
        assert other.host == route.host
        assert other.policy != route.policy


def test_a_route_of_the_first_rules_is_recomputed() -> None:
    world = ready(host("a"))
    world.submit("t1")
    fact = one_route(world)
    first = msgspec.structs.replace(fact.route.policy, version=1)
    route = msgspec.structs.replace(fact.route, policy=first)
    again = recompute(world.records, msgspec.structs.replace(fact, route=route), world.rules)
    assert again.host == fact.route.host


def test_what_can_not_be_recomputed_says_why() -> None:
    world = ready(host("a"))
    world.submit("t1")
    fact = one_route(world)
    with pytest.raises(CannotRecompute, match="no such open task"):
        recompute([], fact, world.rules)
    full = msgspec.structs.replace(fact.route, slots={"a": 2})
    with pytest.raises(CannotRecompute, match="no host could"):
        recompute(world.records, msgspec.structs.replace(fact, route=full), world.rules)
    old = msgspec.structs.replace(fact.route.policy, version=0)
    old_route = msgspec.structs.replace(fact.route, policy=old)
    with pytest.raises(CannotRecompute, match="version 0"):
        recompute(world.records, msgspec.structs.replace(fact, route=old_route), world.rules)
