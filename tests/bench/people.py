"""Many users at two gateways: what a gateway needs to know them all, and what sign-ins cost others.

Each person who signs in comes from an address of their own, as people do.
"""

from __future__ import annotations

import asyncio
import itertools
import statistics
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import aiohttp

from services.up import up
from tests.bench import measure as machine
from tests.bench.others import pause
from tests.bench.pipeline import orchestrator
from tests.bench.populace import PASSWORD, Gateway, address, another, bearer, knows, name, settle

TOKENS = 60
"""Users whose requests are timed: none of them comes near a limit of its own."""
PER_S = 40
ALONE_S = 10.0
RUSH_S = 5.0
"""The first tries of a crowd, all in one moment, keep whoever measures busy too."""
REFRESHES = 200
REQUESTS = 400
CHANGES = 20
PAGE = 500
GIVE_UP_S = 600.0
FIRST = "gateway-1"


class Load(NamedTuple):
    """How much of everything."""

    users: int = 100_000
    sign_ins: int = 1000
    turns: int = 3


async def measure(folder: Path, load: Load) -> dict[str, Any]:
    """All of it, on one orchestrator."""
    async with orchestrator(folder) as running:
        first = Gateway(running.url, running.pids[FIRST])
        async with another(running, folder / "empty") as gateway:
            empty, empty_kib = gateway, machine.rss_kib(gateway.pid)
        before_kib = machine.rss_kib(first.pid)
        began = time.perf_counter()
        await settle(running, load.users)
        await knows(first, name(load.users - 1), running.token)
        settled_s = time.perf_counter() - began
        async with another(running, folder / "full") as second:
            found = {
                "users": load.users,
                "settled_s": settled_s,
                "empty_s": empty.ready_s,
                "ready_s": second.ready_s,
                "ready_cpu_s": second.cpu_s - empty.cpu_s,
                "empty_mib": empty_kib / 1024,
                "fresh_mib": machine.rss_kib(second.pid) / 1024,
                "before_mib": before_kib / 1024,
                "after_mib": machine.rss_kib(first.pid) / 1024,
                "bytes_a_user": (machine.rss_kib(second.pid) - empty_kib) * 1024 / load.users,
            }
            async with aiohttp.ClientSession() as http:
                scene = Scene(running, http, (first, second))
                return found | await scene.measure(load)


class Scene:
    """Two gateways, and some users with tokens."""

    def __init__(
        self, running: up.Running, http: aiohttp.ClientSession, gateways: tuple[Gateway, Gateway]
    ) -> None:
        self._running = running
        self._http = http
        self._gateways = gateways
        self._admin = bearer(running.token)
        self._tokens: dict[str, str] = {}
        self._failed: Counter[str] = Counter()
        """Requests beside the sign-ins that were not answered, by what came in place of that."""

    async def measure(self, load: Load) -> dict[str, Any]:
        """What becomes of requests, alone and beside the sign-ins, and after them."""
        # The data folder's own token is good at its own gateway alone.
        self._admin = bearer(await self._issue("operator", roles=["admin"]))
        for number in range(TOKENS):
            self._tokens[name(number)] = await self._issue(name(number))
        await self._paced(pause(1.0))
        found: dict[str, Any] = {
            "request": figures(await self._in_turn(self._own_request, REQUESTS))
        }
        alone, beside = list[tuple[float, float]](), list[tuple[float, float]]()
        rushes = list[Rush]()
        for turn in range(load.turns):
            alone += await self._paced(pause(ALONE_S))
            rush = Rush(self._gateways, range(turn * load.sign_ins, (turn + 1) * load.sign_ins))
            beside += await self._paced(rush.run())
            rushes.append(rush)
        found["sign_ins"] = {
            "count": load.sign_ins,
            "per_s": machine.median([load.sign_ins / rush.seconds for rush in rushes]),
            "first_ms": machine.median([machine.percentile(r.waits_ms, 0) for r in rushes]),
            "p50_ms": machine.median([machine.percentile(r.waits_ms, 0.5) for r in rushes]),
            "p99_ms": machine.median([machine.percentile(r.waits_ms, 0.99) for r in rushes]),
            "refused": [
                (*how, count) for how, count in sum((r.refused for r in rushes), Counter()).items()
            ],
            "tries": max(rush.most_tries for rush in rushes),
        }
        found["alone"] = figures([ms for _, ms in alone])
        found["beside"] = figures([ms for _, ms in beside])
        found["later"] = figures([ms for due, ms in beside if due >= RUSH_S])
        found["failed"] = dict(self._failed)
        tokens = [pair for rush in rushes for pair in rush.refresh_tokens.items()][:REFRESHES]

        async def refreshed(number: int) -> None:
            person, token = tokens[number]
            url = f"{self._gateways[number % 2].url}/api/auth/refresh"
            own = aiohttp.TCPConnector(local_addr=address(person))
            async with (
                aiohttp.ClientSession(connector=own) as http,
                http.post(url, json={"refresh_token": token}) as answer,
            ):
                assert answer.status == 200, await answer.text()

        found["refresh"] = figures(await self._in_turn(refreshed, len(tokens)))
        found["change"] = figures([await self._change(n) for n in range(CHANGES)])
        found["pages"] = figures(await self._pages(load.users))
        return found

    async def _issue(self, user: str, **more: Any) -> str:
        url = f"{self._gateways[0].url}/api/tokens"
        async with self._http.post(url, json={"user": user, **more}, headers=self._admin) as answer:
            assert answer.status == 201, await answer.text()
            return str((await answer.json())["data"]["token"])

    async def _own_request(self, number: int) -> None:
        url = f"{self._gateways[number % 2].url}/api/me"
        token = self._tokens[name(number % TOKENS)]
        async with self._http.get(url, headers=bearer(token)) as answer:
            assert answer.status == 200, await answer.text()

    async def _in_turn(self, one: Callable[[int], Awaitable[None]], count: int) -> list[float]:
        """One after the other; how long each took, in ms."""
        taken = []
        for number in range(count):
            began = time.perf_counter()
            await one(number)
            taken.append((time.perf_counter() - began) * 1000)
        return taken

    async def _paced(self, beside: Awaitable[Any]) -> list[tuple[float, float]]:
        """Requests at a steady pace while something else goes on: the second in which each was due,
        and how long it took from then, in ms."""
        taken: list[tuple[float, float]] = []
        work = asyncio.ensure_future(beside)
        began = time.perf_counter()

        async def one(number: int, due: float) -> None:
            try:
                await self._own_request(number)
            except (aiohttp.ClientError, TimeoutError, AssertionError) as error:
                self._failed[f"{type(error).__name__} {error}"[:100]] += 1
            taken.append((due - began, (time.perf_counter() - due) * 1000))

        async with asyncio.TaskGroup() as group:
            for number in itertools.count():
                due = began + number / PER_S
                await asyncio.wait((work,), timeout=max(0.0, due - time.perf_counter()))
                if work.done():
                    break
                group.create_task(one(number, due))
        await work
        return taken

    async def _change(self, number: int) -> float:
        """Disable a user at one gateway: ms until the other one turns the user's token away."""
        user = name(number)
        headers = bearer(self._tokens[user])
        here, there = self._gateways[number % 2], self._gateways[(number + 1) % 2]
        url = f"{here.url}/api/users/{user}"
        async with self._http.patch(url, json={"disabled": True}, headers=self._admin) as answer:
            assert answer.status == 200, await answer.text()
        began = time.perf_counter()
        while True:
            async with self._http.get(f"{there.url}/api/me", headers=headers) as answer:
                if answer.status == 401:
                    return (time.perf_counter() - began) * 1000

    async def _pages(self, users: int) -> list[float]:
        """List all users, page by page: how long each page took, in ms."""
        taken, listed = list[float](), 0
        cursor: int | None = 0
        while cursor is not None:
            began = time.perf_counter()
            query = {"limit": PAGE, "cursor": cursor}
            url = f"{self._gateways[1].url}/api/users"
            async with self._http.get(url, params=query, headers=self._admin) as answer:
                page = await answer.json()
            taken.append((time.perf_counter() - began) * 1000)
            listed += len(page["data"])
            cursor = page.get("next_cursor")
        assert listed >= users, listed
        return taken


class Rush:
    """People who all sign in at once; whoever is sent away comes again when they were told to."""

    def __init__(self, gateways: Sequence[Gateway], people: Sequence[int]) -> None:
        self._gateways = gateways
        self._people = people
        self.seconds = 0.0
        self.waits_ms: list[float] = []
        """From the first try until somebody was in."""
        self.refused: Counter[tuple[int, int]] = Counter()
        """How often people were sent away, by status and the seconds until they were to come."""
        self.most_tries = 0
        self.refresh_tokens: dict[int, str] = {}

    async def run(self) -> None:
        """Return when all are in."""
        began = time.perf_counter()
        async with asyncio.timeout(GIVE_UP_S), asyncio.TaskGroup() as group:
            for number in self._people:
                group.create_task(self._one(number))
        self.seconds = time.perf_counter() - began

    async def _one(self, number: int) -> None:
        body = {"user": name(number), "password": PASSWORD}
        url = f"{self._gateways[number % 2].url}/api/auth/login"
        began = time.perf_counter()
        # Whoever waits for minutes between two tries has a new connection for each.
        own = aiohttp.TCPConnector(local_addr=address(number), force_close=True)
        async with aiohttp.ClientSession(connector=own) as http:
            tries, status = 0, 0
            while status != 200:
                async with http.post(url, json=body) as answer:
                    found, status = await answer.json(), answer.status
                tries += 1
                if status == 200:
                    break
                assert "Retry-After" in answer.headers, found
                wait = answer.headers["Retry-After"]
                self.refused[status, int(wait)] += 1
                await pause(float(wait))
        self.waits_ms.append((time.perf_counter() - began) * 1000)
        self.most_tries = max(self.most_tries, tries)
        self.refresh_tokens[number] = found["data"]["refresh_token"]


def figures(values: list[float]) -> dict[str, float]:
    """What is told of times in ms."""
    return {
        "count": len(values),
        "p50_ms": statistics.median(values),
        "p99_ms": machine.percentile(values, 0.99),
        "max_ms": max(values),
    }


def report(line: dict[str, Any]) -> None:
    """Print the figures for people."""
    users, rush = line["users"], line["sign_ins"]
    print(f"gateway ready      {line['ready_s']:10.2f} s with {users} users", end="")
    print(f", {line['empty_s']:.2f} s with none; {line['ready_cpu_s']:.2f} s more CPU")
    print(
        f"  MiB in RAM: {line['fresh_mib']:.0f} just started, {line['empty_mib']:.0f} with none",
        end="",
    )
    print(
        f"; {line['after_mib']:.0f} after hearing of them, {line['before_mib']:.0f} before", end=""
    )
    print(f"; {line['bytes_a_user']:.0f} bytes a user")
    print(f"sign-ins/s         {rush['per_s']:10.1f}   {rush['count']} people at once", end="")
    print(
        f"; in after p50 {rush['p50_ms'] / 1000:.1f} s, p99 {rush['p99_ms'] / 1000:.1f} s", end=""
    )
    print(f", the first {rush['first_ms']:.0f} ms; up to {rush['tries']} tries")
    sent = sum(count for _, _, count in rush["refused"])
    waits = [wait for _, wait, _ in rush["refused"]] or [0]
    print(f"  sent away {sent} times, for {min(waits)} to {max(waits)} s")
    ratio = line["beside"]["p99_ms"] / line["alone"]["p99_ms"]
    print(f"requests beside    {_pair(line['beside'])}; {_pair(line['alone'])} alone: p99", end="")
    print(f" {ratio:.1f} times; {PER_S} a second")
    print(f"  from second {RUSH_S:.0f} on {_pair(line['later'])}")
    for how, count in line["failed"].items():
        print(f"  {count} were not answered: {how}")
    print(f"request by token   {_pair(line['request'])}, one at a time")
    print(f"refresh            {_pair(line['refresh'])}, one at a time")
    print(f"a change elsewhere {_pair(line['change'])}, until the other gateway keeps to it")
    print(f"page of {PAGE} users  {_pair(line['pages'])}; {line['pages']['count']} pages")


def _pair(found: dict[str, float]) -> str:
    return f"{found['p50_ms']:10.1f} ms p50, {found['p99_ms']:.1f} ms p99"
