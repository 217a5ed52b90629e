"""Who is next: priority with ageing, turns between users, age; what is put aside costs nothing."""

from __future__ import annotations

from collections import Counter

from hypothesis import given, settings
from hypothesis import strategies as st

from services.router.queue import Queue, Waiting
from services.router.select import Demand, Need

ANY = Demand(Need("work"), "")
OTHER = Demand(Need("other"), "")


class Line:
    """A queue with the fields a test does not care about filled in."""

    def __init__(self, age_s: float = 60.0) -> None:
        self.queue = Queue(age_s)
        self.now = 0.0
        self.seq = 0

    def enter(self, key: str, user: str = "a", rank: int = 1, demand: Demand = ANY) -> None:
        self.seq += 1
        self.queue.enter(Waiting(self.seq, self.now, key), user, rank, demand, self.now)

    def take(self) -> str | None:
        found = self.queue.best(self.now)
        if found is None:
            return None
        self.queue.served(found.user)
        self.queue.leave(found.key)
        return found.key

    def drain(self) -> list[str]:
        taken = []
        while (key := self.take()) is not None:
            taken.append(key)
        return taken


def test_high_comes_before_normal_before_low() -> None:
    line = Line()
    for rank, key in ((2, "low"), (1, "normal"), (0, "high")):
        line.enter(key, rank=rank)
    assert line.drain() == ["high", "normal", "low"]


def test_users_take_turns_whoever_came_first() -> None:
    line = Line()
    for n in range(3):
        line.enter(f"a{n}", "a")
    for n in range(2):
        line.enter(f"b{n}", "b")
    assert line.drain() == ["a0", "b0", "a1", "b1", "a2"]


def test_a_newcomer_is_next_however_long_the_line_is() -> None:
    line = Line()
    for n in range(1000):
        line.enter(f"a{n}", "a")
    assert [line.take() for _ in range(10)] == [f"a{n}" for n in range(10)]
    line.enter("b0", "b")
    line.enter("b1", "b")
    assert [line.take() for _ in range(6)] == ["b0", "a10", "a11", "b1", "a12", "a13"]


crowd = st.lists(
    st.one_of(
        st.tuples(st.sampled_from("abc"), st.sampled_from([0, 0, 1, 2]), st.integers(1, 4)),
        st.tuples(st.sampled_from("bcdef"), st.just(0), st.just(1)),
        st.tuples(st.just("take"), st.integers(1, 3)),
        st.tuples(st.just("wait"), st.sampled_from([1, 130])),
    ),
    min_size=10,
    max_size=60,
)


@settings(max_examples=300)
@given(crowd)
def test_nobody_gets_three_turns_while_another_who_is_as_urgent_waits(script) -> None:
    line = Line(age_s=60)
    waiting: dict[str, tuple[str, int, float]] = {}
    passed_over: dict[str, Counter[str]] = {}

    def take() -> None:
        urgent = {user for user, rank, at in waiting.values() if line.now - at >= 60 * rank}
        taken = waiting.pop(line.take())[0]
        assert not urgent or taken in urgent
        for user in set(passed_over) - urgent | {taken}:
            passed_over.pop(user, None)
        for user in urgent - {taken}:
            turns = passed_over.setdefault(user, Counter())
            turns[taken] += 1
            assert turns[taken] <= 2

    for step in script:
        match step:
            case "wait", seconds:
                line.now += seconds
            case "take", count:
                for _ in range(min(count, len(waiting))):
                    take()
            case user, rank, count:
                for _ in range(count):
                    waiting[f"t{line.seq}"] = (user, rank, line.now)
                    line.enter(f"t{line.seq}", user, rank)


def test_waiting_lifts_a_task_to_the_next_priority() -> None:
    line = Line(age_s=60)
    line.enter("low", rank=2)
    line.now = 119.0
    line.enter("high", "b", rank=0)
    assert line.queue.best(line.now).key == "high"
    line.now = 120.0
    line.enter("high2", "c", rank=0)
    assert line.take() == "low"


def test_a_lane_rises_though_its_first_task_was_another_when_it_was_placed() -> None:
    line = Line(age_s=60)
    line.enter("old", "a", rank=1)
    line.now = 30.0
    line.enter("young", "a", rank=1)
    assert line.take() == "old"
    line.now = 40.0
    assert line.queue.best(line.now).key == "young"
    line.now = 60.0
    line.enter("high", "a", rank=0)
    assert line.queue.best(line.now).key == "high", "the alarm was the old task's"
    line.now = 90.0
    assert [line.take(), line.take()] == ["young", "high"]


def test_a_rise_whose_time_is_rounded_down_is_not_tried_for_ever() -> None:
    line = Line(age_s=0.1)
    line.now = 1.8e9
    line.enter("old", rank=2)
    line.now += 0.1
    assert int((line.now - 1.8e9) / 0.1) == 0, "no whole step, by these clocks"
    assert line.take() == "old"


def test_a_lane_put_aside_while_it_rises_is_of_its_class_when_it_comes_back() -> None:
    line = Line(age_s=60)
    line.enter("low", "a", rank=2)
    line.queue.hold("a")
    assert line.queue.best(line.now) is None
    line.now = 130.0
    line.enter("high", "b", rank=0)
    line.queue.release("a", line.now)
    assert line.take() == "low"
    line.enter("low2", "a", rank=2)
    line.now = 200.0
    assert line.drain() == ["high", "low2"]


def test_low_work_is_served_in_the_end_under_a_flood_of_high_work() -> None:
    line = Line(age_s=10)
    line.enter("low", "b", rank=2)
    served = []
    for n in range(100):
        line.enter(f"high{n}", "a", rank=0)
        line.enter(f"more{n}", "a", rank=0)
        line.now += 1
        served.append(line.take())
    assert served.index("low") <= 22


def test_parked_demands_and_held_users_are_passed_over_until_released() -> None:
    line = Line()
    line.enter("a0", "a")
    line.enter("b0", "b")
    line.enter("c0", "c", demand=OTHER)
    line.queue.park(ANY, ("h",))
    assert line.queue.best(0).key == "c0"
    line.queue.hold("c")
    assert line.queue.best(0) is None
    line.queue.wake("h", line.now)
    line.queue.hold("a")
    assert line.queue.best(0).key == "b0"
    line.enter("a1", "a", rank=0)
    assert line.queue.best(0).key == "b0"
    line.queue.release("a", 0)
    line.queue.release("c", 0)
    assert sorted(line.drain()) == ["a0", "a1", "b0", "c0"]


def test_a_task_that_left_is_gone_and_leaves_nothing_behind() -> None:
    line = Line()
    line.enter("blocker", "a")
    for n in range(5000):
        line.enter(f"t{n}", "a", rank=n % 3)
        line.queue.leave(f"t{n}")
    line.queue.leave("never there")
    assert len(line.queue) == 1
    lanes = line.queue._groups[ANY].lanes.values()
    assert sum(len(lane.items) for lane in lanes) < 50
    assert len(line.queue._risers) < 200
    assert all(len(heap) < 200 for heap in line.queue._heaps)
    assert line.drain() == ["blocker"]
    assert line.queue._turns == {}
    line.enter("last", demand=OTHER)
    line.queue.park(OTHER, ("h1", "h2"))
    line.queue.leave("last")
    assert line.queue._parked == {}
    assert line.queue.demands() == []


steps = st.lists(
    st.one_of(
        st.tuples(st.just("enter"), st.sampled_from("abc"), st.integers(0, 2), st.booleans()),
        st.tuples(st.just("take")),
        st.tuples(st.just("leave"), st.integers(0, 40)),
        st.tuples(st.just("wait"), st.integers(1, 200)),
        st.tuples(st.sampled_from(["park", "unpark"]), st.booleans()),
        st.tuples(st.sampled_from(["hold", "release"]), st.sampled_from("abc")),
    ),
    max_size=60,
)


@given(steps)
def test_it_always_agrees_with_a_plain_list(script) -> None:
    """The model sorts everything each time; turns are kept by the same rule."""
    line = Line()
    model: dict[str, tuple] = {}
    parked, held, turns, round_ = set(), set(), {}, 0
    for step in script:
        match step:
            case "enter", user, rank, other:
                if not any(u == user for u, *_ in model.values()):
                    turns[user] = (round_ + 1, False)
                demand = OTHER if other else ANY
                line.enter(f"t{line.seq}", user, rank, demand)
                model[f"t{line.seq - 1}"] = (user, rank, demand, line.seq, line.now)
            case ("take",):
                open_ = {
                    key: (max(0, rank - int((line.now - at) / 60)), turns[user], seq)
                    for key, (user, rank, demand, seq, at) in model.items()
                    if demand not in parked and user not in held
                }
                expected = min(open_, key=open_.get, default=None)
                assert line.take() == expected
                if expected is not None:
                    user = model.pop(expected)[0]
                    round_ = max(round_, turns[user][0])
                    turns[user] = (round_ + 1, True)
            case "leave", n:
                line.queue.leave(f"t{n}")
                model.pop(f"t{n}", None)
            case "wait", seconds:
                line.now += seconds
            case "park", other:
                demand = OTHER if other else ANY
                line.queue.park(demand, (str(other),))
                if any(d == demand for _, _, d, *_ in model.values()):
                    parked.add(demand)
            case "unpark", other:
                line.queue.wake(str(other), line.now)
                parked.discard(OTHER if other else ANY)
            case "hold", user:
                line.queue.hold(user)
                held.add(user)
            case "release", user:
                line.queue.release(user, line.now)
                held.discard(user)
        # A demand nobody waits with is not parked any more.
        parked = {d for d in parked if any(d == e for _, _, e, *_ in model.values())}
    assert len(line.queue) == len(model)


def test_a_round_that_places_nothing_costs_each_demand_one_look() -> None:
    line, count = Line(), 1000
    demands = [Demand(Need(f"type-{n}"), "") for n in range(count)]
    for n, demand in enumerate(demands):
        line.enter(f"t{n}", f"user-{n}", demand=demand)
    looks = 0
    aside = line.queue._aside

    def counted(lane):
        nonlocal looks
        looks += 1
        return aside(lane)

    line.queue._aside = counted
    for _ in range(2):
        while (found := line.queue.best(line.now)) is not None:
            line.queue.park(found.demand, ("h",))
        line.queue.wake_all(line.now)
    assert looks < 6 * count, "not one look for each pair of demands"
    assert line.drain() == [f"t{n}" for n in range(count)]


class Counted(str):
    """A key that counts how often it is looked up."""

    lookups = 0

    def __hash__(self) -> int:
        Counted.lookups += 1
        return super().__hash__()


def test_tasks_that_leave_and_come_back_cost_the_same_however_long_the_line_is() -> None:
    line, count, rounds = Line(), 2000, 4
    waiting = [Waiting(n, 0.0, Counted(f"t{n}")) for n in range(count)]
    for item in waiting:
        line.queue.enter(item, "a", 1, ANY, 0.0)
    Counted.lookups = 0
    for _ in range(rounds):
        for item in waiting:
            line.queue.leave(item.key)
            line.queue.enter(item, "a", 1, ANY, 0.0)
    assert Counted.lookups < 20 * count * rounds
    assert line.drain() == [item.key for item in waiting]
