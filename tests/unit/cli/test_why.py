"""`metamcp task --why` on real routes: who was there, and what removed the others."""

from __future__ import annotations

import io

from rich.console import Console

from contracts.host import HealthStatus
from services.cli.show import why as reasons
from tests.unit.router.world import World, capability, host, one_route, ready


def why(world: World, task: str) -> str:
    console = Console(file=io.StringIO(), width=160, color_system=None)
    console.print(reasons.why([r for r in world.records if getattr(r.fact, "task", "") == task]))
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def test_a_route_shows_candidates_scores_removals_and_its_basis() -> None:
    world = ready(
        host("chosen", 4, capabilities=(capability("parse"),)),
        host("full", 1),
        host("other", 4),
        host("sick"),
        host("wrong", 1, "scan"),
    )
    world.health("sick", HealthStatus.UNHEALTHY)
    world.prefer("alice", "chosen", 0.25)
    world.submit("first", host="full")
    one_route(world)
    world.submit("t1", preferred_capabilities=(capability("parse"), capability("walk")))
    route = one_route(world).route
    rows = [line.split() for line in why(world, "t1").splitlines()]
    assert ["chosen", "0.725", "0.500", "1.000", "1.000", "0.250", "0"] in rows
    assert ["other", "0.600", "0.000", "1.000", "1.000", "1.000", "0"] in rows
    for filter_, id_ in (("health", "sick"), ("slots", "full"), ("task_type", "wrong")):
        assert ["removed", "by", f"{filter_}:", id_] in rows
    assert f"basis {route.basis}, place 0 in its round, term 1" in why(world, "t1")


def test_a_task_without_a_route_says_whether_it_waits() -> None:
    world = ready(host("a", 1))
    world.submit("running")
    world.submit("waiting")
    world.submit("impossible", type="never")
    world.run()
    assert "healthy host with a free slot" in why(world, "waiting")
    assert "no host ever got it" in why(world, "impossible")
