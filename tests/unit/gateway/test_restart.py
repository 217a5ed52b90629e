"""A gateway that starts again with its view."""

from __future__ import annotations

from pathlib import Path

import pytest

from services.bus.bus import Bus
from services.log.memory import MemoryLog
from tests.support import facts
from tests.unit.gateway.world import world


@pytest.mark.parametrize("meanwhile", [0, 1])
async def test_a_gateway_that_starts_again_gives_the_whole_history(
    tmp_path: Path, bus: Bus, meanwhile: int
) -> None:
    log = MemoryLog()
    async with world(tmp_path, bus, log=log) as first:
        await first.append(facts.created("alice", "a1"), facts.done("alice", "a1"))
        await first.settled()
        assert await first.site.projection.reached(2, 10)
    for _ in range(meanwhile):
        await log.append(facts.created("alice", "a2"))
    async with world(tmp_path, bus, log=log) as again, again.stream() as one:
        ack = await one.follow(after="start")
        assert (ack["recovered"], one.seqs()) == (True, list(range(1, 3 + meanwhile)))
