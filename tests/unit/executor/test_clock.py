"""Log time as an executor reckons it, also when the log's clock is corrected."""

from __future__ import annotations

import math
import time
from pathlib import Path

import pytest

from contracts.facts import McpRegistered, Record
from services.executor.projection import Hosts
from services.log.clock import JUMP_S, LogClock
from services.log.port import Batch
from services.process.ids import new_id
from tests.unit.executor.world import host

AHEAD = 7200.0


class Bench:
    """A clock, and a monotonic one that the test moves."""

    def __init__(self) -> None:
        self.mono = 50.0
        self.clock = LogClock()

    def observe(self, seq: int, at: float) -> None:
        self.clock.observe([(seq, at)], self.mono)

    def told(self, seq: int, now: float) -> None:
        self.clock.told(seq, now, self.mono)

    def now(self) -> float:
        return self.clock.moment(self.mono).now


@pytest.fixture
def bench() -> Bench:
    return Bench()


def test_a_fact_older_than_its_predecessor_sets_the_clock_back(bench: Bench) -> None:
    assert bench.now() == -math.inf
    bench.observe(1, 1000 + AHEAD)
    bench.mono += 5
    assert bench.now() == 1005 + AHEAD
    bench.observe(2, 1005)
    assert bench.now() == 1005


def test_a_late_fact_or_a_little_drift_sets_nothing_back(bench: Bench) -> None:
    bench.observe(7, 1000)
    bench.mono += 10
    for seq, at in ((6, 900.0), (7, 900.0), (8, 1000 - JUMP_S), (9, 1001.0)):
        bench.observe(seq, at)
        assert bench.now() == 1010


def test_a_route_only_sets_the_clock_forward_and_a_later_fact_corrects_it(bench: Bench) -> None:
    bench.observe(1, 1000)
    bench.told(5, 1000 + AHEAD)
    bench.told(6, 1000)
    bench.observe(4, 1000)
    assert bench.now() == 1000 + AHEAD
    bench.observe(7, 1001)
    assert bench.now() == 1001
    bench.told(5, 1000 + AHEAD)
    assert bench.now() == 1001, "that route is from before the correction"
    bench.told(8, 1002)
    assert bench.now() == 1002


def now(hosts: Hosts) -> float:
    return hosts.clock.moment(time.monotonic()).now


async def test_the_view_tells_its_clock_of_live_facts_only(tmp_path: Path) -> None:
    hosts = await Hosts.open(tmp_path / "executor.sqlite")
    hosts._take(Batch([_registered(1, 1000 + AHEAD)], 1, live=False))
    assert now(hosts) == -math.inf
    hosts._take(Batch([_registered(2, 1000 + AHEAD)], 2, live=True))
    assert now(hosts) >= 1000 + AHEAD
    hosts._take(Batch([_registered(3, 1000)], 3, live=True))
    assert 1000 <= now(hosts) < 1000 + AHEAD
    hosts._reset()
    assert now(hosts) == -math.inf, "another log has another clock"
    await hosts.close()


def _registered(seq: int, at: float) -> Record:
    fact = McpRegistered(id=new_id(), by="registry-1", host="h1", k=seq, spec=host())
    return Record(seq, at, f"mcp.registered.h1.{seq}", fact, b"", "")
