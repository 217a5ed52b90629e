"""Runs and their store: what is called how often, and what is known after a crash."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import runs
import store
import wire
from hypothesis import given
from hypothesis import strategies as st
from runs import Verdict
from store import Ask, Known, Work
from wire import Answer

DONE = wire.success([{"type": "text", "text": "done"}], None, False)
FAILED = wire.success([], None, True)
NOW = 1_000_000.0


class Clock:
    now = NOW

    def __call__(self) -> float:
        return self.now


def ask(task: str = "t1", attempt: int = 1, *, user: str = "ann", end: float = 100.0) -> Ask:
    work = Work(user, task, "work", f"digest-of-{task}")
    return Ask(work, f"{task}.{attempt}", NOW + end)


class Bench:
    """A store in a folder, runs on it, and work that ends when it is told to."""

    def __init__(self, folder: Path, *, slots: int = 4, limits: store.Limits | None = None) -> None:
        self.folder = folder
        self.clock = Clock()
        self.limits = limits or store.Limits(3600, 100, 10_000_000)
        self.slots = slots
        self.began = self.cancelled = 0
        self.start = asyncio.Event()
        self.end: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        self.open()

    def open(self) -> None:
        self.store = store.Store(self.folder, self.limits, self.clock)
        self.runs = runs.Runs(self.store, self.slots, clock=self.clock)

    def crash(self) -> None:
        """Open the folder anew, as after a kill: what ran is not told of it."""
        self.store.close()
        self.open()

    async def work(self) -> Answer:
        self.began += 1
        self.start.set()
        try:
            return await asyncio.shield(self.end)
        except asyncio.CancelledError:
            self.cancelled += 1
            raise

    def enter(self, asked: Ask, timeout_s: float = 50.0) -> Answer | runs.Seat:
        return self.runs.enter(asked, timeout_s, lambda: self.work)

    async def answer(self, asked: Ask, timeout_s: float = 50.0) -> Answer:
        """Wait for the answer like a client that stays."""
        place = self.enter(asked, timeout_s)
        if isinstance(place, Answer):
            return place
        await asyncio.wait([place.answer])
        place.leave()
        return place.answer.result()

    async def finish(self, asked: Ask, answer: Answer = DONE) -> Answer:
        """Run it to its end."""
        self.end = asyncio.get_running_loop().create_future()
        self.end.set_result(answer)
        return await self.answer(asked)


@pytest.fixture
async def bench(tmp_path: Path) -> AsyncIterator[Bench]:
    made = Bench(tmp_path / "state")
    yield made
    await made.runs.close()
    made.store.close()


async def until(condition: asyncio.Event) -> None:
    async with asyncio.timeout(30):
        await condition.wait()


def seat(place: Answer | runs.Seat) -> runs.Seat:
    assert isinstance(place, runs.Seat)
    return place


@given(
    known=st.none()
    | st.builds(Known, st.sampled_from([ask().work, ask("t2").work]), st.none())
    | st.builds(Known, st.sampled_from([ask().work, ask("t2").work]), st.just(DONE)),
    running=st.booleans(),
    at_run=st.booleans(),
)
def test_a_used_permit_never_starts_anything(
    known: Known | None, running: bool, at_run: bool
) -> None:
    verdict = runs.judge(ask(), known, running, running and at_run)
    if known is not None:
        assert verdict is not Verdict.START
        assert (verdict is Verdict.FOREIGN) == (known.work != ask().work)
    if running:
        assert verdict is not Verdict.START, "the same work never runs twice at once"


async def test_a_repeated_permit_gets_the_first_answer(bench: Bench) -> None:
    first = await bench.finish(ask())
    assert first == DONE
    assert await bench.finish(ask(), FAILED) == first
    bench.crash()
    assert await bench.finish(ask(), FAILED) == first
    assert bench.began == 1


async def test_who_asks_meanwhile_joins(bench: Bench) -> None:
    waiting = [asyncio.create_task(bench.answer(ask())) for _ in range(3)]
    waiting += [asyncio.create_task(bench.answer(ask(attempt=2))) for _ in range(3)]
    await until(bench.start)
    bench.end.set_result(DONE)
    assert await asyncio.gather(*waiting) == [DONE] * 6
    assert bench.began == 1
    bench.crash()
    assert bench.enter(ask(attempt=2)) == DONE, "each permit has the answer as its own"


async def test_another_attempt_gets_a_success_and_runs_a_failure_anew(bench: Bench) -> None:
    await bench.finish(ask(), FAILED)
    assert await bench.finish(ask(attempt=2), DONE) == DONE
    assert await bench.finish(ask(attempt=3), FAILED) == DONE
    assert await bench.finish(ask(), DONE) == FAILED, "its first answer"
    assert bench.began == 2


async def test_users_with_the_same_task_id_share_nothing(bench: Bench) -> None:
    other = wire.success([], {"of": "bob"}, False)
    assert await bench.finish(ask()) == DONE
    assert await bench.finish(ask(user="bob"), other) == other
    assert await bench.finish(ask(user="bob", attempt=2)) == other
    assert bench.began == 2


async def test_a_permit_is_good_for_one_input(bench: Bench) -> None:
    await bench.finish(ask())
    changed = ask()._replace(work=ask().work._replace(digest="another"))
    with pytest.raises(wire.Refused, match="another input"):
        bench.enter(changed)


async def test_a_run_that_a_crash_has_cut_is_never_run_again(bench: Bench) -> None:
    seat(bench.enter(ask()))
    seat(bench.enter(ask(attempt=2)))
    await until(bench.start)
    bench.crash()
    assert bench.enter(ask()) == wire.OUTCOME_UNKNOWN
    assert bench.enter(ask(attempt=2)) == wire.OUTCOME_UNKNOWN, "it had joined"
    assert await bench.finish(ask(attempt=3)) == DONE
    assert bench.enter(ask()) == wire.OUTCOME_UNKNOWN


async def test_what_began_is_on_disk_before_the_work_begins(bench: Bench) -> None:
    seat(bench.enter(ask()))
    assert bench.began == 0
    known = bench.store.find("ann", "t1.1")
    assert known is not None
    assert known.answer is None


async def test_a_run_is_cancelled_when_the_last_has_left(bench: Bench) -> None:
    one, two = seat(bench.enter(ask())), seat(bench.enter(ask(attempt=2)))
    await until(bench.start)
    one.leave()
    assert not two.answer.done()
    two.leave()
    async with asyncio.timeout(1):
        await asyncio.wait([one.answer, two.answer])
    assert one.answer.result() == wire.CANCELLED
    assert bench.enter(ask()) == wire.CANCELLED
    bench.crash()
    assert bench.enter(ask(attempt=2)) == wire.CANCELLED
    assert await bench.finish(ask(attempt=3)) == DONE, "another attempt runs anew"
    assert (bench.began, bench.cancelled) == (2, 1)


async def test_who_was_cut_off_may_come_back(bench: Bench) -> None:
    left = seat(bench.enter(ask()))
    await until(bench.start)
    left.leave()
    again = asyncio.create_task(bench.answer(ask()))
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(asyncio.shield(again), runs.LINGER_S * 2)
    bench.end.set_result(DONE)
    assert await again == DONE
    assert (bench.began, bench.cancelled) == (1, 0)


async def test_each_permit_has_its_own_time(bench: Bench) -> None:
    short = asyncio.create_task(bench.answer(ask(), 0.1))
    long = asyncio.create_task(bench.answer(ask(attempt=2)))
    over = await short
    assert over.status == 504
    assert not long.done()
    assert bench.enter(ask()) == over
    bench.end.set_result(DONE)
    assert await long == DONE
    assert bench.enter(ask()) == over, "its first answer"
    assert (bench.began, bench.cancelled) == (1, 0)


async def test_the_last_timeout_cancels_the_work(bench: Bench) -> None:
    answers = await asyncio.gather(bench.answer(ask(), 0.1), bench.answer(ask(attempt=2), 0.1))
    assert [answer.status for answer in answers] == [504, 504]
    await bench.runs.close()
    assert bench.cancelled == 1


async def test_a_permit_ends_the_run_at_its_own_end(bench: Bench) -> None:
    assert (await bench.answer(ask(end=0.1))).status == 504
    with pytest.raises(wire.Refused, match="no time left"):
        bench.enter(ask("t2", end=0))
    assert bench.store.find("ann", "t2.1") is None


async def test_a_refusal_is_not_remembered(bench: Bench) -> None:
    bench.slots = 1
    bench.crash()
    first = seat(bench.enter(ask()))
    await until(bench.start)
    with pytest.raises(wire.Refused) as caught:
        bench.enter(ask("t2"))
    assert (caught.value.status, caught.value.retry_after_s) == (429, 1)
    bench.end.set_result(DONE)
    await asyncio.wait([first.answer])
    await bench.runs.close()
    bench.crash()
    assert await bench.finish(ask("t2")) == DONE


async def test_a_fault_is_an_answer(bench: Bench) -> None:
    async def broken() -> Answer:
        raise ZeroDivisionError

    place = seat(bench.runs.enter(ask(), 10, lambda: broken))
    await asyncio.wait([place.answer])
    assert place.answer.result().status == 500
    assert bench.enter(ask()) == place.answer.result()


async def test_closing_leaves_the_outcome_unknown(bench: Bench) -> None:
    place = seat(bench.enter(ask()))
    never = seat(bench.enter(ask("t2")))
    await until(bench.start)
    late = bench.runs.enter(ask("t3"), 10, lambda: bench.work)
    await bench.runs.close()
    assert {one.answer.result() for one in (place, never, seat(late))} == {wire.OUTCOME_UNKNOWN}
    assert bench.runs.count == 0
    with pytest.raises(wire.Refused, match="restarted"):
        bench.enter(ask("t4"))
    bench.crash()
    assert bench.enter(ask()) == wire.OUTCOME_UNKNOWN


async def test_an_answer_that_can_not_be_stored_is_not_given(bench: Bench) -> None:
    place = seat(bench.enter(ask()))
    await until(bench.start)
    bench.store.close()
    bench.end.set_result(DONE)
    await asyncio.wait([place.answer])
    assert place.answer.result() == wire.OUTCOME_UNKNOWN
    bench.open()
    assert bench.enter(ask()) == wire.OUTCOME_UNKNOWN


async def test_without_a_disk_nothing_begins(bench: Bench) -> None:
    bench.store.close()
    with pytest.raises(wire.Refused) as caught:
        bench.enter(ask())
    assert caught.value.status == 503
    bench.open()
    assert await bench.finish(ask()) == DONE
    assert bench.began == 1


def files(folder: Path) -> list[Path]:
    return list((folder / "answers").iterdir())


async def test_a_big_answer_lies_in_a_file(bench: Bench) -> None:
    text = "x" * (store.INLINE + 1)
    big = wire.success([], text, False)
    found = await bench.finish(ask(), big)
    assert isinstance(found.body, Path)
    assert json.loads(found.body.read_bytes())["structured"] == text
    (bench.folder / "answers" / "torn.json").write_text("{")
    bench.crash()
    assert bench.enter(ask()) == found
    assert files(bench.folder) == [found.body], "what a crash has left behind is swept away"


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def kept(tmp_path: Path, clock: Clock) -> Iterator[store.Store]:
    made = store.Store(tmp_path, store.Limits(3600, 3, 1_000_000), clock)
    yield made
    made.close()


def test_answers_are_kept_beyond_the_permit_and_then_dropped(
    kept: store.Store, clock: Clock
) -> None:
    kept.begin(ask(end=100))
    kept.finish("ann", ["t1.1"], DONE)
    clock.now = NOW + 100 + 3599
    assert kept.reuse(ask(attempt=2, end=100 + 3700)) == DONE
    clock.now = NOW + 100 + 3601
    assert kept.reuse(ask(attempt=3, end=100 + 3700)) == DONE, "kept for the second one by now"
    clock.now = NOW + 100 + 3700 + 3601
    kept.begin(ask("t2", end=100_000))
    assert kept.find("ann", "t1.1") is None
    assert kept.reuse(ask(attempt=4)) is None


def test_a_permit_is_never_forgotten_before_its_end(kept: store.Store, clock: Clock) -> None:
    for n in range(5):
        kept.begin(ask(f"t{n}", end=100 + n))
        kept.finish("ann", [f"t{n}.1"], DONE)
    known = [kept.find("ann", f"t{n}.1") for n in range(5)]
    assert [one is not None and one.answer is not None for one in known] == [False] * 2 + [True] * 3
    assert None not in known
    clock.now = NOW + 100 + store.FORGET_S + 0.5
    kept.begin(ask("t9", end=1000))
    assert kept.find("ann", "t0.1") is None
    assert kept.find("ann", "t1.1") is not None


def test_the_room_on_disk_is_bounded(kept: store.Store, tmp_path: Path) -> None:
    for n in range(3):
        kept.begin(ask(f"t{n}"))
        body = kept.spool(b"x" * 400_000)
        kept.finish("ann", [f"t{n}.1"], DONE._replace(body=body))
    assert sum(path.stat().st_size for path in files(tmp_path)) == 800_000
    known = kept.find("ann", "t2.1")
    assert known is not None
    assert known.answer is not None


def test_a_second_process_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    limits = store.Limits(1, 1, 1)
    monkeypatch.setattr(store, "WAIT_S", 0.1)
    first = store.Store(tmp_path, limits)
    with pytest.raises(store.StoreError, match="another process"):
        store.Store(tmp_path, limits)
    first.close()
    store.Store(tmp_path, limits).close()


def test_a_folder_that_can_not_be_used_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(store.StoreError, match="METAMCP_STATE"):
        store.Store(tmp_path / "file", store.Limits(1, 1, 1))
    (tmp_path / "permits.sqlite").write_bytes(b"no database at all" * 100)
    with pytest.raises(store.StoreError, match="not a database"):
        store.Store(tmp_path, store.Limits(1, 1, 1))
