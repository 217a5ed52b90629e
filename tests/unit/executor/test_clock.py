"""Log time as an executor reckons it, also when the log's clock is corrected."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from contracts.facts import McpRegistered, Record
from services.executor.clock import JUMP_S, LogClock
from services.executor.projection import Hosts
from services.log.port import Batch
from services.process.ids import new_id
from tests.unit.executor.world import host

AHEAD = 7200.0


class Mono:
    """A monotonic clock that the test moves."""

    def __init__(self) -> None:
        self.now = 50.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def mono() -> Mono:
    return Mono()


def test_a_fact_older_than_its_predecessor_sets_the_clock_back(mono: Mono) -> None:
    clock = LogClock(mono)
    assert clock.now() == -math.inf
    clock.observe(1, 1000 + AHEAD)
    mono.now += 5
    assert clock.now() == 1005 + AHEAD
    clock.observe(2, 1005)
    assert clock.now() == 1005


def test_a_late_fact_or_a_little_drift_sets_nothing_back(mono: Mono) -> None:
    clock = LogClock(mono)
    clock.observe(7, 1000)
    mono.now += 10
    for seq, at in ((6, 900.0), (7, 900.0), (8, 1000 - JUMP_S), (9, 1001.0)):
        clock.observe(seq, at)
        assert clock.now() == 1010


def test_a_route_only_sets_the_clock_forward_and_a_later_fact_corrects_it(mono: Mono) -> None:
    clock = LogClock(mono)
    clock.observe(1, 1000)
    clock.told(5, 1000 + AHEAD)
    clock.told(6, 1000)
    clock.observe(4, 1000)
    assert clock.now() == 1000 + AHEAD
    clock.observe(7, 1001)
    assert clock.now() == 1001
    clock.told(5, 1000 + AHEAD)
    assert clock.now() == 1001, "that route is from before the correction"
    clock.told(8, 1002)
    assert clock.now() == 1002


async def test_the_view_tells_its_clock_of_live_facts_only(tmp_path: Path) -> None:
    hosts = await Hosts.open(tmp_path / "executor.sqlite")
    hosts._take(Batch([_registered(1, 1000 + AHEAD)], 1, live=False))
    assert hosts.clock.now() == -math.inf
    hosts._take(Batch([_registered(2, 1000 + AHEAD)], 2, live=True))
    assert hosts.clock.now() >= 1000 + AHEAD
    hosts._take(Batch([_registered(3, 1000)], 3, live=True))
    assert 1000 <= hosts.clock.now() < 1000 + AHEAD
    hosts._reset()
    assert hosts.clock.now() == -math.inf, "another log has another clock"
    await hosts.close()


def _registered(seq: int, at: float) -> Record:
    fact = McpRegistered(id=new_id(), by="registry-1", host="h1", k=seq, spec=host())
    return Record(seq, at, f"mcp.registered.h1.{seq}", fact, b"", "")
