"""The console in Chromium: how soon a list of many tasks can be used, and how pages keep up.

One gateway on a server of its own; facts are put straight into the log, as routers and executors
would at that pace.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import os
import sys
import time
from collections.abc import AsyncIterator, Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import msgspec
from playwright.async_api import CDPSession, Page

from contracts import facts, subjects
from contracts.facts import AnyFact, Outcome
from contracts.result import inline
from contracts.task import TaskSpec
from services.bus.bus import Bus
from services.gateway.access.identity import ensure_local_token
from services.up import up
from tests.bench import history
from tests.bench import measure as machine
from tests.support import facts as make
from tests.support.browser import NONE_HERE, Looking, browser, program
from tests.support.system import until

USER = "viewer"
PASSWORD = "correct horse battery"
TYPES = ("scan", "parse", "mcp.call")
INPUT = msgspec.Raw(b'{"path":"src/module.py"}')
RESULT = inline(b'{"findings":3}')
TICK_S = 0.01
"""Facts that are due within this time are sent together."""
OPEN = 400
"""Tasks under way at a time."""
START_S = 600.0
OPENINGS = 5
SAMPLES = 8
"""Readings of memory in a stretch."""
FRAME_MS = 50
PAGES = {"tasks": "/tasks", "live": "/live"}
FIRST_ROW = """
addEventListener("DOMContentLoaded", () => {
  const seen = new MutationObserver(() => {
    if (!document.querySelector("main [data-row]")) return;
    seen.disconnect();
    requestAnimationFrame(() => { window.firstRow = performance.now(); });
  });
  seen.observe(document, { childList: true, subtree: true });
});
"""
FRAMES = """() => {
  const found = (window.frames_ = { ms: [], cuts: 0 });
  let last = performance.now();
  const tick = (now) => {
    found.ms.push(now - last);
    last = now;
    requestAnimationFrame(tick);
  };
  requestAnimationFrame(tick);
  new MutationObserver(() => {
    if (document.documentElement.classList.contains("cut")) found.cuts += 1;
  }).observe(document.documentElement, { attributeFilter: ["class"] });
}"""


class Load(NamedTuple):
    """How much of everything."""

    tasks: int = 100_000
    facts_per_s: int = 2000
    minutes: float = 2.0
    """Of facts, on each of the pages."""


async def measure(folder: Path, load: Load) -> dict[str, Any]:
    """Both measurements; empty where there is no browser."""
    if program() is None:
        print(NONE_HERE, file=sys.stderr)
        return {}
    async with history.served(folder / "store") as url:
        await history.keep(url, past(load.tasks))
        async with gateway(url, folder / "data") as site, browser("--js-flags=--expose-gc") as one:
            page = await one.new_page()
            await page.add_init_script(FIRST_ROW)
            looking = Looking(page, site, USER)
            await looking.sign_in(PASSWORD, "/console/account")
            bus = await Bus.connect(url, name="bench-console")
            pace = Pace(bus, load.facts_per_s)
            try:
                found = {"tasks": load.tasks, "first_row_s": await openings(looking)}
                found["kept_up"] = {
                    name: await kept_up(looking, path, pace, load) for name, path in PAGES.items()
                }
            finally:
                await bus.close()
            assert looking.wrong == [], looking.wrong
            return found


def past(tasks: int) -> Iterator[AnyFact]:
    """What has happened before: tasks of the user, all of them over."""
    for number in range(tasks):
        yield from _story(f"past-{number}", number)


def _story(task: str, number: int) -> Iterator[AnyFact]:
    """A task's whole life, in four facts."""
    outcome = Outcome.FAILED if number % 10 == 0 else Outcome.SUCCEEDED
    spec = TaskSpec(type=TYPES[number % len(TYPES)], input=INPUT)
    yield make.created(USER, task, spec=spec)
    yield make.routed(USER, task)
    yield make.signed(USER, task)
    yield make.done(USER, task, outcome, attempt=1, host="h1", result=RESULT)


class Pace:
    """Publishes facts of tasks that begin and end, so many a second."""

    def __init__(self, bus: Bus, facts_per_s: int) -> None:
        self._bus = bus
        self._facts_per_s = facts_per_s
        self._numbers = itertools.count()
        self._open = [self._begin() for _ in range(OPEN)]

    async def end(self) -> str:
        """Publish one fact more, of a task of its own; returns which."""
        task = f"last-{next(self._numbers)}"
        await self._publish([make.created(USER, task)])
        return task

    async def _publish(self, items: Iterable[AnyFact]) -> None:
        await self._bus.nc.publish_all(
            [(subjects.of(one), "", b"", facts.encode(one)) for one in items]
        )

    async def run(self, seconds: float) -> int:
        """Go on so long; returns how many facts there were."""
        began, sent, never = time.perf_counter(), 0, asyncio.Event()
        while (passed := time.perf_counter() - began) < seconds:
            due = int(passed * self._facts_per_s) - sent
            await self._publish(self._next(due))
            sent += due
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(never.wait(), TICK_S)
        return sent

    def _begin(self) -> Iterator[AnyFact]:
        number = next(self._numbers)
        return _story(f"live-{number}", number)

    def _next(self, count: int) -> Iterator[AnyFact]:
        for _ in range(count):
            # The oldest goes on; where it is over, another one begins in its place.
            story = self._open.pop(0)
            if (fact := next(story, None)) is None:
                story = self._begin()
                fact = next(story)
            self._open.append(story)
            yield fact


async def openings(looking: Looking) -> list[float]:
    """Seconds from the navigation until the first row of the list can be seen, each time anew."""
    found = []
    for _ in range(OPENINGS):
        await looking.go("/tasks")
        await looking.until("window.firstRow")
        found.append(await looking.page.evaluate("window.firstRow") / 1000)
    return found


async def kept_up(looking: Looking, path: str, pace: Pace, load: Load) -> dict[str, Any]:
    """Frames and memory of a page on which facts arrive, and how late the last of them is seen."""
    page, heap = looking.page, list[float]()
    await looking.go(path)
    await page.wait_for_selector(".dot.live")
    heap.append(await heap_mib(page))
    await page.evaluate(FRAMES)
    thread = await page.context.new_cdp_session(page)
    # In CPU time: what a frame costs, however busy the machine is.
    await thread.send("Performance.enable", {"timeDomain": "threadTicks"})
    used = await cpu_s(thread)
    sent, began = 0, time.perf_counter()
    for _ in range(SAMPLES):
        sent += await pace.run(load.minutes * 60 / SAMPLES)
        # Reading it collects what is garbage, all at once: no frame of the page's own making.
        frames = await page.evaluate("window.frames_.ms.length")
        heap.append(await heap_mib(page))
        await page.evaluate(f"window.frames_.ms.length = {frames}")
    seconds = time.perf_counter() - began
    used = await cpu_s(thread) - used
    written, last = time.perf_counter(), await pace.end()
    await looking.until(f"document.querySelector('main').textContent.includes({last!r})")
    behind = time.perf_counter() - written
    found = await page.evaluate("window.frames_")
    return {
        "facts_per_s": sent / seconds,
        "frames_p50_ms": machine.percentile(found["ms"], 0.5),
        "frames_p99_ms": machine.percentile(found["ms"], 0.99),
        "frames_most_ms": max(found["ms"]),
        "frames": len(found["ms"]),
        "cpu_ms_a_frame": used / len(found["ms"]) * 1000,
        "cpu_share": used / seconds,
        "long_frames": sum(ms > FRAME_MS for ms in found["ms"]),
        "cuts": found["cuts"],
        "behind_s": behind,
        "heap_mib": heap,
    }


async def cpu_s(session: CDPSession) -> float:
    """What the page's thread has used."""
    found = (await session.send("Performance.getMetrics"))["metrics"]
    return float(next(one["value"] for one in found if one["name"] == "TaskDuration"))


async def heap_mib(page: Page) -> float:
    """What the page's scripts hold, without garbage."""
    session = await page.context.new_cdp_session(page)
    try:
        await session.send("HeapProfiler.collectGarbage")
        return float((await session.send("Runtime.getHeapUsage"))["usedSize"]) / 2**20
    finally:
        await session.detach()


@contextlib.asynccontextmanager
async def gateway(url: str, data: Path) -> AsyncIterator[str]:
    """A gateway that has read the whole log, and the user's account; yields its address."""
    await up.provision(url, None)
    await asyncio.to_thread(data.mkdir)
    environ = os.environ | {
        "METAMCP_NATS_URL": url,
        "METAMCP_DATA": str(data),
        "METAMCP_INSTANCE": "gateway-1",
        "METAMCP_ENABLE_METRICS": "false",
        "METAMCP_GATEWAY_PORT": "0",
        "METAMCP_LOG_LEVEL": "warning",
    }
    child = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "services.gateway"), env=environ
    )
    try:
        async with httpx.AsyncClient(trust_env=False, timeout=30) as http:

            async def ready() -> bool:
                with contextlib.suppress(OSError, msgspec.DecodeError, httpx.TransportError):
                    where = f"{up.read_gateway_url(data)}/api/health/ready"
                    return (await http.get(where)).status_code == 200
                assert child.returncode is None
                return False

            await until(ready, seconds=START_S, every=0.2)
            site = up.read_gateway_url(data)
            body = {"name": USER, "password": PASSWORD}
            head = {"Authorization": f"Bearer {ensure_local_token(data)}"}
            answer = await http.post(f"{site}/api/users", json=body, headers=head)
            assert answer.status_code == 201, answer.text
        yield site
    finally:
        with contextlib.suppress(ProcessLookupError):
            child.terminate()
        await child.wait()


def report(found: dict[str, Any]) -> None:
    """Print the figures for people."""
    if not found:
        return
    first = found["first_row_s"]
    print(f"console, first row {machine.median(first):10.2f} s of {found['tasks']} tasks", end="")
    print(f", {max(first):.2f} s at most of {len(first)}")
    for name, one in found["kept_up"].items():
        most = f"{one['frames_p99_ms']:10.1f} ms a frame, p99"
        print(f"console, {name:9} {most}", end="")
        print(f", {one['frames_most_ms']:.0f} ms the longest; {one['facts_per_s']:.0f} facts/s")
        cpu = f"{one['cpu_ms_a_frame']:.1f} ms of CPU a frame, {one['cpu_share']:.2f} cores"
        print(f"  {cpu}", end="; ")
        print(f"{one['long_frames']} of {one['frames']} frames above {FRAME_MS} ms; ", end="")
        print(f"{one['cuts']} cuts; the last fact is seen {one['behind_s']:.2f} s later")
        print(f"  MiB of its scripts: {', '.join(f'{mib:.1f}' for mib in one['heap_mib'])}")
