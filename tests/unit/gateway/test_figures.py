"""Counts by minutes: those of a user and of all, for an hour and for a day, and no older ones."""

from __future__ import annotations

from pathlib import Path

from contracts.facts import AnyFact, Failure, FailureKind, Outcome, Record, encode
from contracts.subjects import of
from services.gateway import figures
from services.gateway.figures import KEPT, WINDOWS, Figures, read_figures
from services.log.projection import Projection
from tests.support import facts

NOW = 1_800_000_000.0
HOUR, DAY = WINDOWS["hour"], WINDOWS["day"]


async def told(
    tmp_path: Path, story: list[tuple[float, AnyFact]], user: str | None, window: figures.Window
) -> Figures:
    projection = await Projection.open(tmp_path / "view.sqlite", figures.SCHEMA, 1)
    for seq, (ago, fact) in enumerate(story, 1):
        made = [Record(seq, NOW - ago, of(fact), fact, encode(fact))]
        await projection.commit(figures.changes(made), projection.checkpoint)
    try:
        return await read_figures(projection, user, window, NOW)
    finally:
        await projection.close()


def failing(user: str, task: str, kind: FailureKind, host: str) -> AnyFact:
    return facts.failed(user, task, kind=kind, host=host)


STORY: list[tuple[float, AnyFact]] = [
    (30 * 3600.0, facts.created("a", "old")),
    (7200.0, facts.created("a", "t0")),
    (7190.0, facts.done("a", "t0", Outcome.TIMED_OUT, error=Failure("queue_timeout", "late"))),
    (70.0, facts.created("a", "t1")),
    (65.0, facts.created("b", "t2")),
    (63.0, failing("a", "t1", FailureKind.CUT, "h1")),
    (62.0, failing("a", "t1", FailureKind.INPUT_REQUIRED, "h1")),
    (5.0, failing("a", "t1", FailureKind.TOOL, "h2")),
    (4.0, failing("b", "t2", FailureKind.TOOL, "h2")),
    (3.0, facts.done("a", "t1", Outcome.FAILED, error=Failure("tool", "broke"))),
    (2.0, facts.done("b", "t2", host="h2")),
]


async def test_what_happened_is_counted_by_minutes_and_by_whose_it_is(tmp_path: Path) -> None:
    every = await told(tmp_path, STORY, None, HOUR)
    assert every.since == NOW - 59 * 60
    assert every.counts == {
        NOW - 120: {"created": 2},
        NOW - 60: {"failed": 1, "succeeded": 1},
    }
    assert every.kinds == [("tool", 2), ("cut", 1)]
    assert every.hosts == [("h2", 2), ("h1", 1)]


async def test_a_day_holds_more_and_others_see_their_own(tmp_path: Path) -> None:
    own = await told(tmp_path, STORY, "a", DAY)
    assert [sorted(one.items()) for one in own.counts.values()] == [
        [("created", 1), ("timed_out", 1)],
        [("created", 1), ("failed", 1)],
    ]
    # An end that is an attempt's is counted with the attempt.
    assert own.kinds == [("cut", 1), ("queue_timeout", 1), ("tool", 1)]
    nobody = await told(tmp_path / "other", [], "c", DAY)
    assert (nobody.counts, nobody.kinds, nobody.hosts) == ({}, [], [])


async def test_what_is_older_than_a_day_is_forgotten(tmp_path: Path) -> None:
    many = [(at * 60.0, facts.created("a", f"t{at}")) for at in reversed(range(0, 40 * 60, 7))]
    await told(tmp_path, many, "a", DAY)
    projection = await Projection.open(tmp_path / "view.sqlite", figures.SCHEMA, 1)
    kept = dict(await projection.query("SELECT size, count(*) FROM figures GROUP BY size"))
    await projection.close()
    for size, buckets in KEPT.items():
        assert 0 < kept[size] <= 2 * (buckets + 1)
