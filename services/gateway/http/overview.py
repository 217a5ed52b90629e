"""`GET /api/overview`: what works, what was done lately, what waits, and what fails most."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Annotated, Literal

import msgspec
from litestar import get
from litestar.di import NamedDependency
from litestar.params import QueryParameter

from contracts import scopes
from contracts.errors import Rejected
from contracts.host import HealthStatus
from contracts.queue import QueueAnswer, QueueRequest, WaitCount, WaitReason
from services.gateway.figures import WINDOWS, Figures, read_figures
from services.gateway.http import health
from services.gateway.http.health import Health, Instance
from services.gateway.http.parts import Asking, Envelope, Parts, Wired, hosts_of, ok
from services.gateway.http.queue import seen_user
from services.gateway.openapi.document import described
from services.gateway.rows import HostView

MOST_HOSTS = 50
"""Hosts shown: those with most to do, then those in trouble; all are counted."""
Within = Annotated[
    Literal["hour", "day"],
    QueryParameter(description="The last hour by minutes, or the last day by quarters of an hour."),
]


class OverviewBucket(msgspec.Struct, frozen=True):
    """A minute, or a quarter of an hour, in which anything was done."""

    start: float
    counts: dict[str, int]
    """`created`, and tasks that ended by their status."""


class OverviewCount(msgspec.Struct, frozen=True):
    """How often something failed."""

    name: str
    count: int


class HostLoad(msgspec.Struct, frozen=True):
    """What a host has to do."""

    id: str
    status: HealthStatus
    enabled: bool
    in_flight: int
    """Attempts on their way to it, or running there."""
    most: int
    """So many it takes at once."""
    reason: str = ""


class OverviewQueue(msgspec.Struct, frozen=True):
    """What waits, as the active router says."""

    waiting: int
    in_flight: int
    slots: int | None
    waits: tuple[WaitCount, ...]


class Overview(msgspec.Struct, frozen=True):
    """How it goes, of the tasks of one user or of all."""

    user: str | None
    """Whose tasks are counted; none: those of all users, for admins and auditors."""
    at: float
    """Log time of the answer."""
    since: float
    bucket_s: int
    buckets: tuple[OverviewBucket, ...]
    totals: dict[str, int]
    """The buckets together."""
    kinds: tuple[OverviewCount, ...]
    """What failed most, of attempts and of tasks that ended without one."""
    failing: tuple[OverviewCount, ...]
    """The hosts at which attempts failed most."""
    hosts: tuple[HostLoad, ...]
    hosts_in_all: int
    queue: OverviewQueue | None
    """None: no router tells."""
    executors_alive: int
    health: Health
    words: str
    """What is wrong, for people; empty: nothing."""


EXAMPLES = (
    Overview(
        user=None,
        at=1_796_000_000.0,
        since=1_795_996_440.0,
        bucket_s=60,
        buckets=(OverviewBucket(1_795_999_980.0, {"created": 3, "succeeded": 2, "failed": 1}),),
        totals={"created": 3, "succeeded": 2, "failed": 1},
        kinds=(OverviewCount("unreachable", 1),),
        failing=(OverviewCount("files", 1),),
        hosts=(HostLoad("files", HealthStatus.HEALTHY, True, 2, 4),),
        hosts_in_all=1,
        queue=OverviewQueue(1, 2, 8, (WaitCount(WaitReason.TURN, 1),)),
        executors_alive=1,
        health=Health(
            *(True, True, False, True, "6f1e", 47, 47, 0, 47, 1, 2),
            services=(Instance("router", "router-1", up=True, position=47, lag=0, active=True),),
        ),
        words="",
    ),
)


@get("/api/overview", opt=described(scope=scopes.TASKS_READ))
async def show_overview(
    parts: Wired,
    principal: Asking,
    streams_open: NamedDependency[int],
    window: Within = "hour",
) -> Envelope[Overview]:
    """Tell how it goes: what works, tasks by outcome, what waits and what fails most.

    Of one's own tasks; for admins and auditors of everybody's.
    """
    user, chosen, now = seen_user(principal, None), WINDOWS[window], parts.log.now()
    await parts.caught_up()
    (body, words), queue = await asyncio.gather(
        health.seen(parts, streams_open), _queue(parts, user)
    )
    counted = await read_figures(parts.projection, user, chosen, now)
    hosts = await hosts_of(parts, principal)
    loads = host_loads(hosts, queue.hosts if queue else {})
    waiting = None
    if queue is not None:
        waiting = OverviewQueue(queue.waiting, queue.in_flight, queue.slots, queue.waits)
    return ok(
        Overview(
            *(user, now, counted.since, chosen.size),
            *(_buckets(counted), _totals(counted)),
            tuple(OverviewCount(*one) for one in counted.kinds),
            tuple(OverviewCount(*one) for one in counted.hosts),
            *(tuple(loads[:MOST_HOSTS]), len(loads)),
            queue=waiting,
            executors_alive=parts.executors.count(),
            health=body,
            words=words,
        )
    )


async def _queue(parts: Parts, user: str | None) -> QueueAnswer | None:
    try:
        return await parts.queues.queue(QueueRequest(user, 0, 0))
    except Rejected:
        return None


def host_loads(hosts: Sequence[HostView], in_flight: Mapping[str, int]) -> list[HostLoad]:
    """What each host has to do, the busiest first, then those in trouble. Pure."""
    found = [
        HostLoad(
            *(one.id, one.health.status, one.enabled, in_flight.get(one.id, 0)),
            *(one.limits.max_concurrency, one.health.reason),
        )
        for one in hosts
    ]
    well = (HealthStatus.HEALTHY, HealthStatus.UNKNOWN)
    return sorted(found, key=lambda one: (-one.in_flight, one.status in well, one.id))


def _buckets(counted: Figures) -> tuple[OverviewBucket, ...]:
    return tuple(OverviewBucket(start, each) for start, each in sorted(counted.counts.items()))


def _totals(counted: Figures) -> dict[str, int]:
    names = sorted({name for each in counted.counts.values() for name in each})
    return {name: sum(each.get(name, 0) for each in counted.counts.values()) for name in names}


ROUTES = (show_overview,)
