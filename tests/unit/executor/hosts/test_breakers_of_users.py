"""Whose calls break a host loses it first."""

from __future__ import annotations

from contracts.facts import FailureKind
from contracts.host import Stdio
from services.executor.attempt.call import Call
from services.executor.hosts.breakers import Breakers
from tests.unit.executor.hosts.test_breakers import TWO, Clock, Door, Told, quick, telling
from tests.unit.executor.sessions import Bench

__all__ = ["quick"]


def of(user: str, call: Call) -> Call:
    call.plan = call.plan._replace(user=user)
    return call


async def test_who_breaks_a_host_loses_it_for_himself_before_all_do(quick: Bench) -> None:
    clock, breakers, told = Clock(), Breakers(TWO), Told()
    breakers._clock = clock
    guard = breakers.of("h1", 7)
    broken = Door(guard, quick.open(endpoint=Stdio("no-such-command-anywhere")))
    good = Door(guard, quick.open())
    async with telling(breakers, told):
        for _ in range(TWO.failures):
            await broken.fails(of("ann", quick.call("noop")))
        refusal = await good.fails(of("ann", quick.call("noop")))
        assert (refusal.kind, good.calls) == (FailureKind.UNREACHABLE, 0)
        assert "of host h1 for your calls opened" in refusal.message
        await good.call(of("bob", quick.call("noop")))
        clock.now += 1.2
        await good.call(of("ann", quick.call("noop")))
        assert not guard.troubled("ann")
        assert told.nothing()
        for user in ("ann", "bob"):
            await broken.fails(of(user, quick.call("noop")))
        assert (await told.next()).open
    refusal = await good.fails(of("eve", quick.call("noop")))
    assert refusal.message.startswith("the breaker of host h1 opened 0.0 s ago: 2 calls in a row")
