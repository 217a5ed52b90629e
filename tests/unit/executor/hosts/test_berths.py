"""Places for sessions: never too many, and nobody waits for ever."""

from __future__ import annotations

import asyncio

from hypothesis import given, settings
from hypothesis import strategies as st

from services.executor.hosts.berths import Berths, Processes, board


class Visitor:
    """Takes places, works, rests, and leaves when it is asked to or done."""

    def __init__(self, places: tuple[Berths, ...], gone: list[Visitor]) -> None:
        self.places = places
        self.inside = False
        self._gone = gone

    def leave(self) -> None:
        assert self.inside
        for berths in self.places:
            berths.leave(self)
        self._gone.append(self)

    def rest(self) -> None:
        for berths in self.places:
            berths.rest(self)

    def give(self) -> None:
        self.inside = False
        for berths in self.places:
            berths.give(self)


async def turns() -> None:
    """Let everybody do what they can do now."""
    loop = asyncio.get_running_loop()
    for _ in range(8):
        done = loop.create_future()
        loop.call_soon(done.set_result, None)
        await done


STEPS = st.lists(
    st.tuples(st.sampled_from(["come", "rest", "end", "close", "cancel"]), st.integers(0, 30)),
    max_size=80,
)


@settings(deadline=None)
@given(st.integers(1, 5), st.integers(1, 6), STEPS)
def test_places_are_bounded_and_everybody_gets_one(
    most: int, processes: int, steps: list[tuple[str, int]]
) -> None:
    asyncio.run(_story(most, processes, steps))


async def _story(most: int, processes: int, steps: list[tuple[str, int]]) -> None:
    hosts = [Berths(most), Berths(most)]
    all_ = Processes(processes)
    working: list[Visitor] = []
    resting: list[Visitor] = []
    closing: list[Visitor] = []
    waiting: list[asyncio.Task[Visitor]] = []

    async def come(number: int) -> Visitor:
        user = ("alice", "bob", "")[number % 3]
        visitor = Visitor((hosts[number % 2], *all_.of(user)), closing)
        await board(visitor.places, visitor)
        visitor.inside = True
        working.append(visitor)
        return visitor

    def check() -> None:
        resting[:] = [visitor for visitor in resting if visitor not in closing]
        inside = [*working, *resting, *closing]
        assert len(inside) <= processes
        for host in hosts:
            assert sum(host in visitor.places for visitor in inside) <= most

    async def settle() -> None:
        await turns()
        check()

    for step, number in steps:
        match step:
            case "come":
                waiting.append(asyncio.create_task(come(number)))
            case "rest" if working:
                visitor = working.pop(number % len(working))
                resting.append(visitor)
                visitor.rest()
            case "end" if working:
                working.pop(number % len(working)).leave()
            case "close" if closing:
                closing.pop(number % len(closing)).give()
            case "cancel" if waiting:
                waiting.pop(number % len(waiting)).cancel()
            case _:
                pass
        await settle()
    for _ in range(10 * len(steps) + 10):
        _do_work(working, resting, closing)
        await settle()
    assert all(task.done() for task in waiting), "nobody waits while places can be had"


def _do_work(working: list[Visitor], resting: list[Visitor], closing: list[Visitor]) -> None:
    """Whoever waits gets a place when those before have done their work."""
    if working:
        visitor = working.pop(0)
        resting.append(visitor)
        visitor.rest()
    elif closing:
        closing.pop(0).give()


async def test_no_user_gets_all_processes() -> None:
    all_ = Processes(8)
    gone: list[Visitor] = []
    waiting = []
    for _ in range(10):
        visitor = Visitor(all_.of("mallory"), gone)
        waiting.append(asyncio.create_task(board(visitor.places, visitor)))
    await turns()
    assert sum(task.done() for task in waiting) == 7
    other = Visitor(all_.of("alice"), gone)
    async with asyncio.timeout(30):
        await board(other.places, other)
    for task in waiting:
        task.cancel()
