"""The other users: no-op tasks at a steady pace, each timed from when it was due to its `job.done`.

They take turns, each on a websocket of its own, so that none comes near a limit of its own. What
was due while nothing answered is late by all that time: a stall is seen in every task it hit.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import time
from collections.abc import AsyncIterator, Sequence
from typing import Any, NamedTuple

import httpx
import websockets

from tests.bench.measure import percentile
from tests.support.apart import Guest, User, World, at, call
from tests.support.system import until

LATE_S = 5.0
"""A task that is not over so long after the last one was due is not waited for."""
FRAME = '{"op":"submit","ref":%d,"task":{"id":"%s","type":"noop","input":{"n":1}}}'
SUBSCRIBE = '{"op":"subscribe","ref":0,"sub":"d","to":"tasks","types":["job.done"]}'
AGAIN_S = 0.2
DOOR_S = 15.0
WARM_S = 90.0
INITIALIZE = {
    "jsonrpc": "2.0",
    "id": 1,
    "method": "initialize",
    "params": {
        "protocolVersion": "2025-06-18",
        "capabilities": {},
        "clientInfo": {"name": "other", "version": "1"},
    },
}
_numbers = itertools.count()
MCP = {"Accept": "application/json, text/event-stream"}


class Sample(NamedTuple):
    """One stretch of the others' work."""

    latencies_ms: list[float]
    """Of what succeeded; what never ended counts with the time it was waited for."""
    late: int
    """Tasks without an end."""
    refused: list[str]
    """Tasks with another end, refusals and cut connections, in words."""

    @property
    def p50_ms(self) -> float:
        return percentile(self.latencies_ms, 0.5)

    @property
    def p99_ms(self) -> float:
        return percentile(self.latencies_ms, 0.99)


class Other:
    """One of them."""

    def __init__(self, world: World, user: User) -> None:
        self._world = world
        self.user = user
        self._socket: Any = None
        self._sent: dict[str, float] = {}
        self._count = 0
        self.latencies_ms: list[float] = []
        self.refused: list[str] = []
        self.ready = asyncio.Event()

    async def run(self) -> None:
        """Be connected, again if need be, until cancelled."""
        while True:
            try:
                async with websockets.connect(
                    self._world.url.replace("http", "ws", 1) + "/api/stream",
                    subprotocols=[websockets.Subprotocol("metamcp.v1")],
                    additional_headers={"Authorization": f"Bearer {self.user.token}"},
                    compression=None,
                ) as socket:
                    await socket.send(SUBSCRIBE)
                    self._socket = socket
                    await self._listen(socket)
            except (OSError, websockets.WebSocketException, TimeoutError) as error:
                self.refused.append(f"{type(error).__name__} {error}"[:120])
            finally:
                self._socket = None
                self.ready.clear()
            await pause(AGAIN_S)

    async def submit(self, due: float) -> None:
        """Send one task, which was due at this time."""
        self._count += 1
        task = f"{self.user.name}-{self._count}"
        self._sent[task] = due
        if self._socket is not None:
            with contextlib.suppress(websockets.WebSocketException, OSError):
                await self._socket.send(FRAME % (self._count, task))

    def open(self) -> int:
        """How many have no end yet."""
        return len(self._sent)

    def give_up(self) -> int:
        """Count what has no end with the time it was waited for; answers how many those are."""
        now, late = time.perf_counter(), len(self._sent)
        self.latencies_ms += [(now - due) * 1000 for due in self._sent.values()]
        self._sent.clear()
        return late

    async def _listen(self, socket: Any) -> None:
        async for text in socket:
            frame = json.loads(text)
            if frame["op"] == "events":
                now = time.perf_counter()
                for entry in frame["events"]:
                    self._over(entry["event"], now)
            elif frame["op"] == "error":
                self.refused.append(frame["message"][:120])
            elif frame["op"] == "caught_up" or (frame["op"] == "ack" and frame["ref"] == 0):
                self.ready.set()

    def _over(self, fact: dict[str, Any], now: float) -> None:
        due = self._sent.pop(fact["task"], None)
        if due is None:
            return
        self.latencies_ms.append((now - due) * 1000)
        if fact["outcome"] != "succeeded":
            self.refused.append(f"a task {fact['outcome']}: {fact.get('error')}"[:120])


class Others:
    """All of them."""

    def __init__(self, every: Sequence[Other]) -> None:
        self._every = every
        self._next = 0

    async def measure(self, seconds: float, per_s: float) -> Sample:
        """Send `per_s` tasks a second for so long, and wait for their ends."""
        for one in self._every:
            one.latencies_ms.clear()
            one.refused.clear()
        began = time.perf_counter()
        for number in range(int(seconds * per_s)):
            due = began + number / per_s
            if (early := due - time.perf_counter()) > 0:
                await pause(early)
            one = self._every[self._next % len(self._every)]
            self._next += 1
            await one.submit(due)
        until = time.perf_counter() + LATE_S
        while any(one.open() for one in self._every) and time.perf_counter() < until:
            await pause(0.02)
        late = sum(one.give_up() for one in self._every)
        latencies = [ms for one in self._every for ms in one.latencies_ms]
        return Sample(latencies, late, [text for one in self._every for text in one.refused])


@contextlib.asynccontextmanager
async def others(world: World, count: int) -> AsyncIterator[Others]:
    """So many other users, connected."""
    users = await asyncio.gather(*(world.user(f"other-{k}") for k in range(count)))
    every = [Other(world, user) for user in users]
    running = [asyncio.create_task(one.run()) for one in every]
    try:
        async with asyncio.timeout(30):
            for one in every:
                await one.ready.wait()
        yield Others(every)
    finally:
        for task in running:
            task.cancel()
        await asyncio.wait(running)


async def doors(world: World, guest: Guest) -> list[str]:
    """Try every door at once as another user who comes anew; the answer is what did not open."""
    tried = await asyncio.gather(
        _websocket(world, guest),
        _events(guest),
        _request(guest, "upload", "PUT", "/api/blobs", content=b"a few bytes"),
        _request(guest, "list of hosts", "GET", "/api/mcps"),
        _request(guest, "mcp session", "POST", "/mcp", json=INITIALIZE, headers=MCP),
        own_host(world, guest),
    )
    return [problem for problems in tried for problem in problems]


async def _websocket(world: World, guest: Guest) -> list[str]:
    try:
        async with (
            asyncio.timeout(DOOR_S),
            websockets.connect(
                world.url.replace("http", "ws", 1) + "/api/stream",
                subprotocols=[websockets.Subprotocol("metamcp.v1")],
                additional_headers={"Authorization": f"Bearer {guest.user.token}"},
            ) as socket,
        ):
            await socket.recv()
    except (OSError, websockets.WebSocketException, TimeoutError) as error:
        return [f"websocket: {type(error).__name__} {error}"]
    return []


async def _events(guest: Guest) -> list[str]:
    try:
        async with asyncio.timeout(DOOR_S), guest.http.stream("GET", "/api/events") as stream:
            return [] if stream.status_code == 200 else [f"events: {stream.status_code}"]
    except (httpx.HTTPError, OSError, TimeoutError) as error:
        return [f"events: {type(error).__name__}"]


async def _request(guest: Guest, name: str, method: str, path: str, **more: Any) -> list[str]:
    try:
        async with asyncio.timeout(DOOR_S):
            answer = await guest.http.request(method, path, **more)
    except (httpx.HTTPError, OSError, TimeoutError) as error:
        return [f"{name}: {type(error).__name__}"]
    return [] if answer.status_code < 300 else [f"{name}: {answer.status_code} {answer.text[:120]}"]


async def own_host(world: World, guest: Guest) -> list[str]:
    """Register a host as this user, wait until it is well, call it, take it away; what failed."""
    guest.refusals.clear()
    host = await guest.host(f"mine-{next(_numbers)}", at(world.hosts.mcp("quiet", "mine")))
    if host is None:
        return [f"new host: {guest.refusals[-1][:160]}"]
    if not await guest.healthy(host, DOOR_S):
        return [f"new host: is not known to be well after {DOOR_S:g} s"]
    answer = await guest.ask("POST", f"/api/tasks?wait={DOOR_S:g}", json=call(host))
    status = answer.json()["data"]["status"] if answer and answer.status_code == 201 else "refused"
    await guest.ask("DELETE", f"/api/mcps/{host}")
    return [] if status == "succeeded" else [f"new host: its task is {status}"]


async def warm(world: World, guest: Guest) -> None:
    """Have everything that serves users' hosts started: a first one takes longer than others."""

    async def served() -> bool:
        return not await own_host(world, guest)

    await until(served, seconds=WARM_S)


async def pause(seconds: float) -> None:
    """Wait so long."""
    future = asyncio.get_running_loop().create_future()
    handle = asyncio.get_running_loop().call_later(seconds, _over, future)
    try:
        await future
    finally:
        handle.cancel()


def _over(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)
