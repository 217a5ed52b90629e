"""Health: `live` for whoever restarts the gateway, `ready` for load balancers, and all of it."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from typing import Any

import msgspec
from litestar import Request, Response, get
from litestar.di import NamedDependency

from contracts.errors import Reason, Rejected
from contracts.health import Trouble
from contracts.wire import HttpError
from services.gateway import errors
from services.gateway.http.parts import Envelope, Parts, Wired, ok
from services.gateway.openapi.document import described
from services.gateway.peers.checks import ServiceAnswer

UNAVAILABLE = 503


class Live(msgspec.Struct, frozen=True):
    """The gateway runs."""

    live: bool


class Ready(msgspec.Struct, frozen=True, omit_defaults=True):
    """Requests may be sent here."""

    ready: bool
    full: str = ""
    """There while new tasks and uploads are refused, for this reason; all else works."""


class Instance(msgspec.Struct, frozen=True):
    """One process of a service, or a service of which none answers."""

    service: str
    instance: str | None
    """None: no process of this service answers."""
    up: bool
    position: int | None = None
    """Last sequence of the log it has applied; none: it is still starting, or not up."""
    lag: int | None = None
    """Facts it has not applied yet; none where the service reads only some kinds of facts."""
    active: bool | None = None
    """Of routers: whether it decides; the others stand by."""
    troubles: tuple[Trouble, ...] = ()
    """What is wrong with it, although it goes on."""


class Health(msgspec.Struct, frozen=True):
    """What works; `ready` is what a load balancer asks for."""

    live: bool
    ready: bool
    degraded: bool
    """A service is missing or in trouble, or the disk nearly full: some work may wait."""
    nats: bool
    """Connected to NATS."""
    epoch: str
    head: int | None
    """Last sequence of the log; none: it does not answer."""
    position: int
    """Last sequence this gateway has handed to its streams."""
    lag: int | None
    projection: int
    """Last sequence in the tables behind lists."""
    executors: int | None
    """Executors heard of in the last seconds; none: not known."""
    connections: int
    services: tuple[Instance, ...]
    """All processes that answer, and an entry for each service of which none does."""
    full: str = ""
    """Not empty: new tasks and uploads are refused, for this reason."""


class HealthReport(msgspec.Struct, frozen=True):
    """The answer about health, which says everything also when it is an error."""

    success: bool
    data: Health
    message: str
    error: HttpError | msgspec.UnsetType = msgspec.UNSET
    """Only with 503."""


_HEALTH = Health(
    live=True,
    ready=True,
    degraded=True,
    nats=True,
    epoch="6f1e",
    head=47,
    position=47,
    lag=0,
    projection=47,
    executors=1,
    connections=2,
    services=(
        Instance("router", None, up=False),
        Instance("registry", "registry-1", up=True, position=12),
        Instance("executor", "executor-1", up=True, position=12),
        Instance("results", "results-1", up=True, position=46),
        Instance("gateway", "gateway-1", up=True, position=47, lag=0),
    ),
)
EXAMPLES = (
    Live(True),
    Ready(True),
    Instance("router", "router-1", up=True, position=47, lag=0, active=True),
    Trouble("clock", "its clock is 3600 s behind the log's", "Set the clock of its machine."),
    _HEALTH,
    HealthReport(True, _HEALTH, "ready, but the router does not answer"),
)


@get("/api/health/live", sync_to_thread=False)
def live() -> Envelope[Live]:
    """Say that the gateway runs. Nobody is asked for that."""
    return ok(Live(True))


@get("/api/health/ready", opt=described(errors=(UNAVAILABLE,)))
async def ready(parts: Wired) -> Envelope[Ready]:
    """Tell whether requests may be sent here: the log answers and takes facts, and is read.

    While the store is nearly full it is ready still, so that operators get through to make room.
    """
    if missing := _unready(parts, await _head(parts)):
        raise Rejected(Reason.UNAVAILABLE, "; ".join(missing))
    full = parts.desk.admission.reserve.full
    return ok(Ready(True, full), f"ready, but {full}" if full else "ready")


@get(
    "/api/health",
    opt=described(also={UNAVAILABLE: "Not ready: the same with `error`, which says why."}),
)
async def health(
    request: Request[Any, Any, Any], parts: Wired, streams_open: NamedDependency[int]
) -> Response[HealthReport]:
    """Tell what works, of all services. 200 when ready, also when a service is missing."""
    body, words = await seen(parts, streams_open)
    if body.ready:
        text = f"ready, but {words}" if words else "ready"
        return Response(HealthReport(True, body, text))
    error = HttpError(
        UNAVAILABLE,
        Reason.UNAVAILABLE.value,
        words,
        request.url.path,
        request_id=errors.request_id(request),
    )
    return Response(
        HealthReport(False, body, words, error),
        status_code=UNAVAILABLE,
        headers={"Retry-After": str(errors.RETRY_AFTER_S)},
    )


async def seen(parts: Parts, streams_open: int) -> tuple[Health, str]:
    """What works now, and in words what does not."""
    head, found = await asyncio.gather(_head(parts), parts.checks.services.answer())
    feed = parts.feed
    unready, absent = _unready(parts, head), [*_absent(found), *_troubled(found)]
    full = parts.desk.admission.reserve.full
    body = Health(
        live=True,
        ready=not unready,
        degraded=bool(absent or full),
        nats=parts.checks.connected,
        epoch=parts.log.epoch,
        head=head,
        position=feed.position,
        lag=_lag(head, feed.position),
        projection=parts.projection.position,
        executors=parts.executors.count(),
        connections=streams_open,
        services=tuple(_instances(found, head)),
        full=full,
    )
    return body, "; ".join([*unready, *absent, *([full] if full else [])])


async def _head(parts: Parts) -> int | None:
    """The log's end, which is not before what has been read already."""
    head = await parts.checks.head.answer() if parts.checks.connected else None
    return None if head is None else max(head, parts.feed.position)


def _unready(parts: Parts, head: int | None) -> list[str]:
    """Why no requests should come here."""
    missing = [] if head is not None else ["the log does not answer"]
    if failing := parts.desk.admission.reserve.failing:
        missing.append(failing)
    if not parts.feed.live:
        missing.append("the gateway is still reading the log")
        if wrong := parts.projection.wrong:
            missing.append(wrong.message)
    return missing


def _absent(found: Sequence[ServiceAnswer]) -> list[str]:
    """Which services are missing. Pure."""
    if not any(one.there for one in found):
        return ["no service answers"]
    absent = [one.trouble for one in found if not one.there]
    idle = (one for one in found if one.there and all(each.active is False for each in one.there))
    return [*absent, *(f"no {one.noun} is active" for one in idle)]


def _troubled(found: Sequence[ServiceAnswer]) -> list[str]:
    """What is wrong with services that are there. Pure."""
    there = (one for answer in found for one in answer.there)
    return [f"{one.instance}: {trouble.text}" for one in there for trouble in one.troubles]


def _instances(found: Sequence[ServiceAnswer], head: int | None) -> Iterator[Instance]:
    for service, there, _ in found:
        if not there:
            yield Instance(service, None, up=False)
        for one in there:
            lag = _lag(head, one.position) if one.whole else None
            yield Instance(service, one.instance, True, one.position, lag, one.active, one.troubles)


def _lag(head: int | None, position: int | None) -> int | None:
    return None if head is None or position is None else max(0, head - position)


ROUTES = (live, ready, health)
