"""Websocket streams: how late facts reach clients that each follow their own tasks, also beside one
that reads nothing, and what a connection costs that has nothing to hear."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import secrets
import socket
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import httpx
import msgspec
import websockets

from contracts.task import TaskSpec
from services.gateway.access import identity
from services.log.jetstream import NatsLog
from services.log.port import Append
from services.up import up
from tests.bench import measure as machine
from tests.bench.crowd import Arrival, Clients, crowd
from tests.bench.pipeline import orchestrator
from tests.support import facts
from tests.support.system import until

GATEWAY = "gateway-1"
TICK_S = 0.002
"""Facts that are due within this time are handed to the log together."""
LATER = TaskSpec(type="noop", delay_s=86400, input=msgspec.Raw(b'{"text":"%b"}' % (b"x" * 100)))
"""A task that stays where it is while the fact about it is delivered."""
WARM_UP = 50
"""Connections opened and closed before memory is counted."""
SMALL_BUFFER = 4096
"""Of a client that shall be found out soon."""


class Load(NamedTuple):
    """How much of everything."""

    clients: int = 1000
    facts_per_s: int = 2000
    seconds: float = 9.0
    """Of the load alone; beside the stalled client it goes on until that one is closed. In less
    time the gateway is not yet full of recent facts, and their memory counts as that client's."""
    idle: int = 2000
    idle_s: float = 26.0
    """More than the time between two pings, so that each connection has had one."""


async def measure(folder: Path, load: Load) -> dict[str, Any]:
    """Both measurements, each on a gateway that has done nothing before."""
    found: dict[str, Any] = {}
    if load.clients:
        (folder / "load").mkdir()
        async with orchestrator(folder / "load") as running:
            found["load"] = await under_load(running, load)
    if load.idle:
        (folder / "idle").mkdir()
        async with orchestrator(folder / "idle") as running:
            found["idle"] = await idle(running, load)
    return found


async def under_load(running: up.Running, load: Load) -> dict[str, Any]:
    """Each fact is for one of the clients: first they are alone, then beside a stalled one."""
    users = [facts.name("u") for _ in range(load.clients)]
    async with crowd(running.url) as clients, log_of(running) as log:
        await clients.open(issue(running, users))
        pace = Pace(log, users, load.facts_per_s)
        used = Used(running.pids | {"clients": clients.pid})
        await pace.run(load.seconds)
        seconds, cores = used.cores()
        return {
            "clients": load.clients,
            "facts_per_s": pace.appended / seconds,
            "cores": cores,
            "alone": delays(await clients.until(pace.appended), pace.acked),
            "stalled": await beside_a_stalled(running, clients, pace, load),
        }


async def beside_a_stalled(
    running: up.Running, clients: Clients, pace: Pace, load: Load
) -> dict[str, Any]:
    """The same load while an auditor follows everything and reads nothing, until it is closed."""
    gateway = running.pids[GATEWAY]
    before = machine.rss_kib(gateway)
    machine.forget_peak(gateway)
    async with stalled(running) as stuck, asyncio.TaskGroup() as group:
        began = time.time()
        group.create_task(pace.run(machine.PATIENCE_S))
        await until_connected(running, load.clients)
        ended, peak = time.time(), machine.peak_kib(gateway)
        pace.stop.set()
        code = await close_code(stuck)
    arrivals = await clients.until(pace.appended)
    return {
        **delays([one for one in arrivals if one.at < ended], pace.acked),
        "close_code": code,
        "after_s": ended - began,
        "memory_kib": peak - before,
    }


async def idle(running: up.Running, load: Load) -> dict[str, Any]:
    """Memory and CPU of the gateway for connections whose tasks have no news."""
    gateway = running.pids[GATEWAY]
    async with crowd(running.url) as clients:
        await clients.open([running.token] * WARM_UP)
        await clients.close()
        await until_connected(running, 0)
        before = machine.rss_kib(gateway)
        await clients.open([running.token] * load.idle)
        memory = machine.rss_kib(gateway) - before
        used = Used({"gateway": gateway})
        await until_over(load.idle_s)
        _, cores = used.cores()
        return {
            "connections": load.idle,
            "kib_each": memory / load.idle,
            "cores": cores["gateway"],
        }


class Pace:
    """Appends facts about the users' tasks, in turn, when they are due, however the log answers."""

    def __init__(self, log: NatsLog, users: Sequence[str], facts_per_s: int) -> None:
        self._log = log
        self._users = itertools.cycle(users)
        self._facts_per_s = facts_per_s
        self.appended = 0
        self.acked: dict[int, float] = {}
        """When the log's answer came, in seconds since the epoch, by sequence."""
        self.stop = asyncio.Event()

    async def run(self, seconds: float) -> None:
        """Go on so long, or until stopped; returns when the log has everything."""
        began, sent = time.perf_counter(), 0
        async with asyncio.TaskGroup() as group:
            while not self.stop.is_set() and (passed := time.perf_counter() - began) < seconds:
                due = int(passed * self._facts_per_s) - sent
                group.create_task(self._append(due))
                sent += due
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(TICK_S):
                        await self.stop.wait()
        self.appended += sent

    async def _append(self, count: int) -> None:
        users = itertools.islice(self._users, count)
        items = [Append(facts.created(user, spec=LATER)) for user in users]
        appended = await self._log.append_all(items)
        now = time.time()
        self.acked.update((seq, now) for seq in appended if isinstance(seq, int))


class Used:
    """How much of a core each process takes from now on."""

    def __init__(self, pids: Mapping[str, int]) -> None:
        self._pids = pids
        self._began, self._before = self._now()

    def cores(self) -> tuple[float, dict[str, float]]:
        """The seconds since then, and the share of each; `others`: all that is none of ours."""
        now, after = self._now()
        seconds = now - self._began
        used = {name: (after[name] - self._before[name]) / seconds / 1e6 for name in after}
        everything = used.pop("everything")
        return seconds, used | {"others": everything - sum(used.values())}

    def _now(self) -> tuple[float, dict[str, float]]:
        used = machine.cpu_by_name(self._pids) | {"everything": machine.busy_us()}
        return time.perf_counter(), used


def delays(arrivals: list[Arrival], acked: dict[int, float]) -> dict[str, float]:
    """From a fact's log time until its client has it; until its writer has heard that it is stored,
    which the client can't be told before; and what of the first is the clients' own wait."""
    waits = {
        "": [one.read - one.at for one in arrivals],
        "log_": [acked[one.seq] - one.at for one in arrivals],
        "own_": [one.read - one.arrived for one in arrivals],
    }
    found: dict[str, float] = {"facts": len(arrivals), "max_ms": max(waits[""]) * 1000}
    for name, values in waits.items():
        found[f"{name}p50_ms"] = machine.percentile(values, 0.5) * 1000
        found[f"{name}p99_ms"] = machine.percentile(values, 0.99) * 1000
    return found


def issue(running: up.Running, users: Sequence[str]) -> list[str]:
    """A token for each user, put into the data folder's own file: sooner there than by the API."""
    path = identity.tokens_file(running.data)
    entries = msgspec.json.decode(path.read_bytes(), type=dict[str, identity.TokenEntry])
    tokens = [secrets.token_urlsafe(32) for _ in users]
    for token, user in zip(tokens, users, strict=True):
        entries[identity.digest(token)] = identity.TokenEntry(user)
    fresh = path.with_suffix(".new")
    fresh.write_bytes(msgspec.json.encode(entries))
    fresh.replace(path)
    return tokens


@contextlib.asynccontextmanager
async def log_of(running: up.Running) -> AsyncIterator[NatsLog]:
    """The log as the gateway writes it."""
    bus = await up.connect(running.nats_url, "gateway", running.credentials, name="bench-streams")
    try:
        async with await NatsLog.open(bus) as log:
            yield log
    finally:
        await bus.close()


@contextlib.asynccontextmanager
async def stalled(running: up.Running) -> AsyncIterator[websockets.ClientConnection]:
    """An auditor's connection that follows everything and of which nobody reads more than that."""
    where = urlsplit(running.url)
    own = socket.socket()
    own.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, SMALL_BUFFER)
    own.connect((where.hostname, where.port))
    async with websockets.connect(
        running.url.replace("http", "ws", 1) + "/api/stream",
        sock=own,
        subprotocols=[websockets.Subprotocol("metamcp.v1")],
        additional_headers={"Authorization": f"Bearer {running.token}"},
        max_size=None,
        max_queue=1,
        ping_interval=None,
        compression=None,
    ) as one:
        await one.send('{"op":"subscribe","ref":1,"sub":"a","to":"all"}', text=True)
        while '"op":"caught_up"' not in str(await one.recv()):
            continue
        yield one


async def close_code(socket_: websockets.ClientConnection) -> int | None:
    """Read to the end after all, and tell how the gateway has closed."""
    with contextlib.suppress(websockets.ConnectionClosed):
        while True:
            await socket_.recv()
    return socket_.close_code


async def until_connected(running: up.Running, count: int) -> None:
    """Wait until the gateway has just so many connections."""
    async with httpx.AsyncClient(base_url=running.url, trust_env=False) as http:

        async def so() -> bool:
            health = (await http.get("/api/health")).json()
            return bool(health["data"]["connections"] == count)

        await until(so, seconds=machine.PATIENCE_S, every=0.2)


async def until_over(seconds: float) -> None:
    """Let time pass: what is measured is that nothing happens."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await asyncio.Event().wait()
