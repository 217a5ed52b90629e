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
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import msgspec
from playwright.async_api import CDPSession

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
MOST_MS = 5000
"""Longer frames are counted as this long."""
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
FRAMES = """(most) => {
  // So many were so many milliseconds long: a list of an hour's frames would be the page's memory.
  const found = (window.frames_ = { ms: new Uint32Array(most + 1), cuts: 0, paused: false });
  let last = performance.now();
  const tick = (now) => {
    if (!found.paused) found.ms[Math.min(most, Math.ceil(now - last))] += 1;
    last = now;
    requestAnimationFrame(tick);
  };
  requestAnimationFrame(tick);
  new MutationObserver(() => {
    if (document.documentElement.classList.contains("cut")) found.cuts += 1;
  }).observe(document.documentElement, { attributeFilter: ["class"] });
}"""
PAUSE = """(paused) => new Promise((then) => {
  window.frames_.paused = true;
  requestAnimationFrame(() => { window.frames_.paused = paused; then(); });
})"""


class Load(NamedTuple):
    """How much of everything."""

    tasks: int = 100_000
    facts_per_s: int = 2000
    minutes: float = 2.0
    """Of facts, on each page."""
    together: bool = False
    """All pages at once, for a long time in less of it: then they are each other's load."""


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
                # Nothing else draws what comes.
                await page.goto("about:blank")
                alone = [{name: path} for name, path in PAGES.items()]
                found["kept_up"] = {}
                for pages in [PAGES] if load.together else alone:
                    found["kept_up"] |= await kept_up(looking, pace, load, pages)
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


async def kept_up(
    looking: Looking, pace: Pace, load: Load, paths: Mapping[str, str]
) -> dict[str, Any]:
    """Frames and memory of pages on which facts arrive, and how late the last of them is seen."""
    pages = {name: await Watched.opened(looking, path) for name, path in paths.items()}
    sent = seconds = 0.0
    for _ in range(SAMPLES):
        began = time.perf_counter()
        sent += await pace.run(load.minutes * 60 / SAMPLES)
        seconds += time.perf_counter() - began
        for one in pages.values():
            await one.weigh()
    used = {name: await one.used_s() for name, one in pages.items()}
    written, last = time.perf_counter(), await pace.end()
    found = {}
    for name, one in pages.items():
        await one.looking.until(f"document.querySelector('main').textContent.includes({last!r})")
        behind = time.perf_counter() - written
        figures = {"facts_per_s": sent / seconds, "behind_s": behind, "heap_mib": one.heap}
        figures["cpu_share"] = used[name] / seconds
        found[name] = figures | await one.frames()
        looking.wrong += one.looking.wrong
        await one.looking.page.context.close()
    return found


class Watched:
    """A page whose frames are counted."""

    def __init__(self, looking: Looking, thread: CDPSession) -> None:
        self.looking = looking
        self.heap: list[float] = []
        """What the page's scripts hold, in MiB, without garbage; the first before any fact."""
        self._thread = thread
        self._used_s = 0.0

    @classmethod
    async def opened(cls, looking: Looking, path: str) -> Watched:
        """A page in a window of its own, of the one who has signed in: one that is behind others
        in a window draws nothing."""
        context = looking.page.context
        assert context.browser is not None
        other_window = await context.browser.new_context(
            storage_state=await context.storage_state()
        )
        page = await other_window.new_page()
        other = Looking(page, looking.url, looking.user)
        await other.go(path)
        await page.wait_for_selector(".dot.live")
        thread = await page.context.new_cdp_session(page)
        # In CPU time: what a frame costs, however busy the machine is.
        await thread.send("Performance.enable", {"timeDomain": "threadTicks"})
        one = cls(other, thread)
        await page.evaluate(FRAMES, MOST_MS)
        await one.weigh()
        one._used_s = await cpu_s(thread)
        return one

    async def weigh(self) -> None:
        """Read the memory. That collects what is garbage, all at once: no frame of the page's own
        making, so it is not counted."""
        await self.looking.page.evaluate(PAUSE, True)
        await self._thread.send("HeapProfiler.collectGarbage")
        found = await self._thread.send("Runtime.getHeapUsage")
        self.heap.append(float(found["usedSize"]) / 2**20)
        await self.looking.page.evaluate(PAUSE, False)

    async def used_s(self) -> float:
        """CPU time of the page's thread since it was opened."""
        return await cpu_s(self._thread) - self._used_s

    async def frames(self) -> dict[str, Any]:
        """How long they were."""
        found = await self.looking.page.evaluate(
            "({ ms: [...window.frames_.ms], cuts: window.frames_.cuts })"
        )
        each = [ms for ms, many in enumerate(found["ms"]) for _ in range(many)]
        return {
            "frames_p50_ms": machine.percentile(each, 0.5),
            "frames_p99_ms": machine.percentile(each, 0.99),
            "frames_most_ms": each[-1],
            "frames": len(each),
            "long_frames": sum(found["ms"][FRAME_MS + 1 :]),
            "cuts": found["cuts"],
        }


async def cpu_s(session: CDPSession) -> float:
    """What the page's thread has used."""
    found = (await session.send("Performance.getMetrics"))["metrics"]
    return float(next(one["value"] for one in found if one["name"] == "TaskDuration"))


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
        most = f"{one['frames_p99_ms']:10.0f} ms a frame, p99"
        print(f"console, {name:9} {most}", end="")
        print(f", {one['frames_most_ms']:.0f} ms the longest; {one['facts_per_s']:.0f} facts/s")
        print(f"  {one['cpu_share']:.2f} cores for its scripts", end="; ")
        print(f"{one['long_frames']} of {one['frames']} frames above {FRAME_MS} ms; ", end="")
        print(f"{one['cuts']} cuts; the last fact is seen {one['behind_s']:.2f} s later")
        print(f"  MiB of its scripts: {', '.join(f'{mib:.1f}' for mib in one['heap_mib'])}")
