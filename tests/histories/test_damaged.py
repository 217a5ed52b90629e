"""Each service over a view that is damaged: it builds it anew, and knows what it knew."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Coroutine
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from contracts import subjects
from contracts.errors import Rejected
from contracts.facts import JobDone, McpRemoved, ResultDeleted, encode
from services.executor import projection as executor
from services.executor.projection import Hosts
from services.gateway import lists
from services.gateway import projection as gateway
from services.log.memory import MemoryLog
from services.log.projection import Projection, project
from services.process.troubles import ProcessTroubles
from services.registry import projection as registry
from services.registry.actor import Registry
from services.registry.settings import Settings as RegistrySettings
from services.results import projection as results
from services.results.actor import Keeper
from services.results.settings import Settings as ResultsSettings
from services.router import projection as router
from services.router.actor import Router, Writer
from services.router.restored import OpenAgain
from tests.histories.views import dump
from tests.support.spoiled import SPOILS
from tests.unit.contracts.test_facts import all_kinds
from tests.unit.router.bench import SETTINGS, MemoryLeases

Follow = Callable[[MemoryLog, Projection], Coroutine[Any, Any, None]]


class Service(NamedTuple):
    """How a service follows the log into its view."""

    schema: tuple[str, ...]
    version: int
    follow: Follow
    look: Callable[[Projection], Awaitable[object]]
    """As a request does."""


def shown(view: Projection) -> Awaitable[object]:
    return results.get(view, "u1", "t1")


def nothing(view: Projection) -> Awaitable[object]:
    return view.query("SELECT 1")


def route(log: MemoryLog, view: Projection) -> Coroutine[Any, Any, None]:
    standing = OpenAgain(view.path.with_name("restored.json"), ProcessTroubles())
    known = (log, view, MemoryLeases(), SETTINGS, Writer("router-1", "i1"), standing)
    return Router(*known)._follow()


def execute(log: MemoryLog, view: Projection) -> Coroutine[Any, Any, None]:
    return Hosts(view).run(log)


def watch(log: MemoryLog, view: Projection) -> Coroutine[Any, Any, None]:
    return Registry(log, view, "registry-1", RegistrySettings()).follow()


def keep(log: MemoryLog, view: Projection) -> Coroutine[Any, Any, None]:
    none: Any = None
    return Keeper(log, view, none, none, none, ResultsSettings()).follow()


async def show(log: MemoryLog, view: Projection) -> None:
    async def load() -> None:
        await gateway.owners(view)
        await gateway.list_hosts(view, "", every=True)
        await gateway.open_tasks(view)
        await gateway.spent(view)
        await lists.open_in_projects(view)
        await lists.today_in_projects(view)

    await project(log, view, (">",), gateway.apply, load=load)


SERVICES = {
    "router": Service(router.SCHEMA, router.VERSION, route, nothing),
    "executor": Service(executor.SCHEMA, executor.VERSION, execute, nothing),
    "registry": Service(registry.SCHEMA, registry.VERSION, watch, nothing),
    "results": Service(results.SCHEMA, results.VERSION, keep, shown),
    "gateway": Service(gateway.SCHEMA, gateway.VERSION, show, nothing),
}


async def built(
    service: Service, log: MemoryLog, path: Path, *, anew: bool = False
) -> dict[str, Any]:
    """Follow to the end; `anew`: from the beginning on, whatever the file says."""
    view = Projection(path, service.schema, service.version)
    following = asyncio.create_task(service.follow(log, view))
    try:
        kept, never = path.with_name(f"{path.name}.damaged"), asyncio.Event()
        async with asyncio.timeout(20):
            while anew and not kept.exists():
                with contextlib.suppress(Rejected):
                    await service.look(view)
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(never.wait(), 0.01)
        assert await view.reached(await log.head(), 20)
        assert not following.done()
    finally:
        following.cancel()
        await asyncio.wait([following])
        await view.close()
    return dump(path)


def history() -> MemoryLog:
    """Half of its tasks are open and half of its hosts are there."""
    log = MemoryLog()
    for n in range(40):
        for fact in all_kinds(f"u{n}", f"t{n}", f"h{n}", 1):
            if n % 2 or not isinstance(fact, JobDone | McpRemoved | ResultDeleted):
                log.foreign(subjects.of(fact), encode(fact), 1.0)
    return log


@pytest.mark.parametrize("spoil", SPOILS, ids=lambda spoil: spoil.__name__)
@pytest.mark.parametrize("name", SERVICES)
async def test_a_service_with_a_damaged_view_goes_on(
    tmp_path: Path, name: str, spoil: Callable[[Path], None]
) -> None:
    log, path = history(), tmp_path / f"{name}.sqlite"
    before = await built(SERVICES[name], log, path)
    spoil(path)
    assert await built(SERVICES[name], log, path, anew=True) == before
