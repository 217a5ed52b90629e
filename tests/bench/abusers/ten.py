"""The ten, each a block: while it lasts, the abuser is at work."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import httpx

from services.process.files import free_port
from tests.bench.abusers import floods
from tests.bench.others import pause
from tests.support import aside
from tests.support.apart import Guest, World, at, call
from tests.support.hostile import DOUBLING, PATTERN, POISON

MIB = 1024 * 1024
WEEK_S = 604_800
AT_WORK_S = 15.0
"""So long an abuser may take until it has what it wants; after that it counts as at work."""
CONCURRENCY = (1024, 256, 64, 32, 16, 8, 4)
GREEDY: tuple[Mapping[str, Any], ...] = (
    {"limits": {"start_s": 1e9}, "probe": {"interval_s": 1e-6}},
    {"limits": {"start_s": 86_400}, "probe": {"interval_s": 0.1}},
    {"limits": {"start_s": 3_600}, "probe": {"interval_s": 1}},
    {"limits": {"start_s": 600}, "probe": {"interval_s": 5}},
    {"limits": {"start_s": 300}, "probe": {"interval_s": 10}},
    {"limits": {"start_s": 120}, "probe": {"interval_s": 30}},
    {},
)
"""From the most that a host may ask for itself to nothing: what is taken depends on the limits."""


class Abuse:
    """What an abuser has done so far."""

    def __init__(self) -> None:
        self.hosts: list[str] = []
        """Ids of the hosts that it works with, if it does."""
        self.programs: list[aside.Aside] = []
        self.blobs: Callable[[], Sequence[str]] = tuple

    def said(self) -> dict[str, Any]:
        """What it got, in its own words."""
        return {
            name: value
            for program in self.programs
            for name, value in program.said.items()
            if name != "blobs"
        }


class Scene(NamedTuple):
    """Where an abuser works."""

    world: World
    guest: Guest
    scale: float = 1.0
    """1: all of it; less: a part, but at least one of each."""
    turn: int = 0
    """Which time it is at work on this orchestrator."""

    def some(self, most: int) -> int:
        """So many, by scale."""
        return max(1, int(most * self.scale))


Attack = Callable[[Scene], AbstractAsyncContextManager[Abuse]]


class Abuser(NamedTuple):
    """One of the ten."""

    name: str
    attack: Attack
    summary: str
    lasting: bool = False
    """What it leaves behind can't be taken back: it is at work once for each orchestrator."""
    variables: Mapping[str, str] = {}
    files: int | None = None
    """Open files that the orchestrator's processes begin with."""


@contextlib.asynccontextmanager
async def begun(scene: Scene) -> AsyncIterator[tuple[Abuse, contextlib.AsyncExitStack]]:
    """An abuse; in the end its programs are gone, and its hosts too."""
    abuse = Abuse()
    async with contextlib.AsyncExitStack() as stack:
        stack.push_async_callback(_removed, scene.world, abuse)
        yield abuse, stack


async def quiet(guest: Guest) -> list[str]:
    """Two hosts of this user that do no harm: whatever it does, it has some to be taken away."""
    found = [await guest.host(f"quiet{k}", at(guest.world.hosts.mcp("quiet"))) for k in range(2)]
    return [host for host in found if host is not None]


@contextlib.asynccontextmanager
async def patterns(scene: Scene) -> AsyncIterator[Abuse]:
    """Schemas that never end, in task types, in answers and in a probe."""
    guest, hosts = scene.guest, scene.world.hosts
    async with begun(scene) as (abuse, stack):
        for kind, schema in (("pattern", PATTERN), ("doubling", DOUBLING)):
            where = at(hosts.mcp(kind))
            typed = {"steps": [{"tool": "work"}], "summary": "x"}
            types = {f"{kind}{scene.turn}": {**typed, "input_schema": schema}}
            host = await guest.host(f"{kind}{scene.turn}", {**where, "task_types": types}, where)
            if host is not None:
                abuse.hosts.append(host)
                await guest.healthy(host, 3)
        bodies = [
            body
            for host in abuse.hosts
            for body in (
                call(host, **STUBBORN),
                {"type": host.rpartition("/")[2], "host": host, "input": {"a": POISON}, **STUBBORN},
            )
        ]
        for body in bodies:
            await guest.task(body)
        poisoned = at(hosts.mcp("pattern", "probe"), probe={"tool": "work", "interval_s": 1})
        probed = await guest.host(f"probed{scene.turn}", poisoned, at(hosts.mcp("pattern", "x")))
        if probed is not None:
            abuse.hosts.append(probed)
        stack.push_async_callback(_ended, asyncio.create_task(_again(guest, bodies)))
        yield abuse


STUBBORN = {"on_unknown": "retry", "max_attempts": 100}


@contextlib.asynccontextmanager
async def streams(scene: Scene) -> AsyncIterator[Abuse]:
    """Answers of calls and of lists that never end: 6 streams the first time, then 32."""
    guest, hosts = scene.guest, scene.world.hosts
    count = scene.some(32) if scene.turn else scene.some(6)
    async with begun(scene) as (abuse, stack):
        for kind in ("comments", "notes"):
            entries = [at(hosts.mcp(kind), limits={"max_concurrency": n}) for n in CONCURRENCY]
            host = await guest.host(f"{kind}{scene.turn}", *entries)
            if host is not None:
                abuse.hosts.append(host)
                await guest.healthy(host, 3)
        bodies = [call(host, timeout_s=600, **STUBBORN) for host in abuse.hosts]
        for number in range(min(count, 8) // 2):
            where = hosts.mcp("list-comments", number)
            entries = [at(where, **greedy) for greedy in GREEDY]
            host = await guest.host(f"list{scene.turn}-{number}", *entries)
            abuse.hosts += [host] if host is not None else []
        for body in itertools.islice(itertools.cycle(bodies), count):
            await guest.task(body)
        stack.push_async_callback(_ended, asyncio.create_task(_again(guest, bodies)))
        yield abuse


@contextlib.asynccontextmanager
async def slots(scene: Scene) -> AsyncIterator[Abuse]:
    """A host that never answers, and 140 tasks for it with the longest limit that is taken."""
    guest, hosts = scene.guest, scene.world.hosts
    async with begun(scene) as (abuse, stack):
        entries = [at(hosts.mcp("silent"), limits={"max_concurrency": n}) for n in CONCURRENCY]
        host = await guest.host(f"silent{scene.turn}", *entries)
        if host is not None:
            abuse.hosts.append(host)
            await guest.healthy(host, 5)
        for limit in (WEEK_S, 86_400, 3_600, 600, 300):
            task = call(host or "none", timeout_s=limit, deadline_s=max(limit, 3_600))
            if await guest.task(task) is not None:
                break
        await _flood(scene, abuse, stack, "frames", {"task": task, "count": 140}, "over")
        yield abuse


@contextlib.asynccontextmanager
async def store(scene: Scene) -> AsyncIterator[Abuse]:
    """Uploads until no more is taken."""
    async with begun(scene) as (abuse, stack):
        sizes = {"size": 4 * MIB, "most": scene.some(400 * MIB)}
        program = await _flood(scene, abuse, stack, "uploads", sizes, "full")
        abuse.blobs = lambda: program.said["blobs"][:1]
        yield abuse


@contextlib.asynccontextmanager
async def publishes(scene: Scene) -> AsyncIterator[Abuse]:
    """An outside publisher whose tasks have 1 MB each."""
    running = scene.world.running
    file = running.credentials_file("publisher")
    assert file is not None
    async with begun(scene) as (abuse, stack):
        arguments = {
            "url": running.nats_url,
            "credentials": json.loads(file.read_text()),
            "size": 1_000_000,
            "per_s": 60,
            "most": scene.some(400),
        }
        await _flood(scene, abuse, stack, "publish", arguments, "published")
        yield abuse


@contextlib.asynccontextmanager
async def dead(scene: Scene) -> AsyncIterator[Abuse]:
    """34 hosts that say 503, say nothing, or are not there."""
    closed = f"http://127.0.0.1:{free_port('127.0.0.1')}/mcp"
    hosts = scene.world.hosts
    urls = [hosts.mcp("dead"), hosts.mcp("hole"), closed]
    async with begun(scene) as (abuse, stack):
        await _many(scene, abuse, 34, lambda k: at(urls[k % 3]))
        bodies = [call(host, **STUBBORN) for host in abuse.hosts]
        for body in bodies[:20]:
            await scene.guest.task(body)
        stack.push_async_callback(_ended, asyncio.create_task(_again(scene.guest, bodies)))
        yield abuse


@contextlib.asynccontextmanager
async def churning(scene: Scene) -> AsyncIterator[Abuse]:
    """40 hosts whose tools, or whose health's words, are others at every probe."""
    hosts = scene.world.hosts

    def entry(number: int) -> dict[str, Any]:
        if number % 2:
            return at(hosts.mcp("churn", number))
        return at(hosts.execute("churn", number), "execute", task_types={"x": {"summary": "x"}})

    async with begun(scene) as (abuse, _):
        await _many(scene, abuse, 40, entry)
        yield abuse


@contextlib.asynccontextmanager
async def idle(scene: Scene) -> AsyncIterator[Abuse]:
    """1,500 connections that say nothing, or half of something."""
    where = urlsplit(scene.world.url)
    async with begun(scene) as (abuse, stack):
        arguments = {"host": where.hostname, "port": where.port, "count": scene.some(1_500)}
        await _flood(scene, abuse, stack, "idle", arguments, "opened", scene.some(1_400))
        yield abuse


@contextlib.asynccontextmanager
async def held(scene: Scene) -> AsyncIterator[Abuse]:
    """`/mcp` sessions, event streams and websockets until each is refused."""
    async with begun(scene) as (abuse, stack):
        await _flood(scene, abuse, stack, "sessions", {"most": scene.some(2_500)}, "shut", 3)
        yield abuse


@contextlib.asynccontextmanager
async def waiting(scene: Scene) -> AsyncIterator[Abuse]:
    """100,000 tasks that are not to begin yet, or as many as are taken."""
    async with begun(scene) as (abuse, stack):
        task = {"type": "noop", "delay_s": 86_400, "deadline_s": WEEK_S, "input": {}}
        arguments = {"task": task, "count": scene.some(100_000), "sockets": 2}
        await _flood(scene, abuse, stack, "frames", arguments, "over")
        yield abuse


async def _flood(
    scene: Scene,
    abuse: Abuse,
    stack: contextlib.AsyncExitStack,
    program: str,
    arguments: Mapping[str, Any],
    told: str,
    enough: int = 1,
) -> aside.Aside:
    """Run one of the floods until the block ends; go on when it has told of enough."""
    all_ = {"url": scene.world.url, "token": scene.guest.user.token, **arguments}
    one = await stack.enter_async_context(aside.running(floods.__name__, program, all_))
    abuse.programs.append(one)

    def at_work(said: Mapping[str, Any]) -> bool:
        value = said.get(told)
        return (len(value) if isinstance(value, list) else value or 0) >= enough

    await one.until(at_work, AT_WORK_S)
    return one


async def _many(
    scene: Scene, abuse: Abuse, count: int, entry: Callable[[int], Mapping[str, Any]]
) -> None:
    """Register so many hosts, as greedy as the first of them may be."""
    variants = list(GREEDY)
    for number in range(scene.some(count)):
        while variants:
            name = f"h{scene.turn}-{number}"
            host = await scene.guest.host(name, {**entry(number), **variants[0]})
            if host is not None:
                abuse.hosts.append(host)
                break
            if len(variants) == 1 or number:
                return
            variants.pop(0)


async def _again(guest: Guest, bodies: Sequence[Mapping[str, Any]]) -> None:
    """Submit these again and again, one a second."""
    for body in itertools.cycle(bodies):
        await pause(1.0)
        await guest.task(body)


async def _ended(task: asyncio.Task[None]) -> None:
    task.cancel()
    await asyncio.wait([task])


async def _removed(world: World, abuse: Abuse) -> None:
    """Take the hosts away, whoever may still do so."""

    async def one(host: str) -> None:
        with contextlib.suppress(httpx.HTTPError, OSError, TimeoutError):
            async with asyncio.timeout(2):
                await world.admin.delete(f"/api/mcps/{host}")

    await asyncio.gather(*(one(host) for host in abuse.hosts))


TEN: tuple[Abuser, ...] = (
    Abuser("patterns", patterns, "schemas that never end", lasting=True),
    Abuser("streams", streams, "answers that never end"),
    Abuser("slots", slots, "140 tasks for a host that never answers", lasting=True),
    Abuser(
        "store",
        store,
        "uploads until no more is taken",
        lasting=True,
        variables={"METAMCP_BUDGET_STORED_BYTES": str(128 * MIB)},
    ),
    Abuser("publishes", publishes, "tasks of 1 MB over NATS"),
    Abuser("dead", dead, "34 hosts that are not there"),
    Abuser("churning", churning, "40 hosts that change at every probe"),
    Abuser(
        "idle",
        idle,
        "1,500 connections that say nothing",
        variables={"METAMCP_GATEWAY_MAX_CONNECTIONS": "1000"},
        files=1024,
    ),
    Abuser(
        "held",
        held,
        "sessions, streams and websockets until refused",
        variables={
            "METAMCP_GATEWAY_RATE_LIMIT_REQUESTS": "0",
            "METAMCP_GATEWAY_MAX_CONNECTIONS": "600",
            "METAMCP_GATEWAY_MAX_USER_CONNECTIONS": "300",
        },
    ),
    Abuser("waiting", waiting, "100,000 waiting tasks, or as many as are taken", lasting=True),
)
