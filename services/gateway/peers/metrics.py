"""The metrics of all services on one page, for Prometheus, on a port of its own.

Every sample says which service and instance it comes from. Whoever does not answer is `up 0`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Iterator
from typing import Any

import msgspec
from prometheus_client import CollectorRegistry, make_asgi_app
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.samples import Sample

from contracts import roles, subjects
from contracts.wire import MetricsPage
from services.bus.all import AskAll
from services.bus.errors import BusError
from services.bus.metrics import VERB
from services.gateway.connections import Connections, Most
from services.gateway.server import HttpServer, address, bound
from services.process import telemetry
from services.process.shared import Shared

PATH = "/metrics"
MOST_CONNECTIONS = 64
SHARED = "several"
"""Stands for the service and instance where one process runs all of them."""

log = telemetry.get_logger()

Asgi = Callable[[Any, Any, Any], Awaitable[None]]


class Collection:
    """Asks all processes for their pages and joins them."""

    def __init__(self, ask_all: AskAll) -> None:
        self._ask_all = ask_all
        self._registry = Shared(self._make)

    async def registry(self) -> CollectorRegistry:
        """Return what there is to show, not older than a second."""
        return await self._registry.answer()

    async def _make(self) -> CollectorRegistry:
        answers = await asyncio.gather(*(self._ask(name) for name in roles.SERVICES))
        return join(page for pages in answers for page in pages)

    async def _ask(self, service: str) -> list[MetricsPage]:
        try:
            answers = await self._ask_all(subjects.command(service, VERB), b"")
        except BusError as error:
            log.debug("metrics_not_answered", asked=service, error=str(error))
            return []
        return [msgspec.json.decode(answer, type=MetricsPage) for answer in answers]


def join(pages: Iterable[MetricsPage]) -> CollectorRegistry:
    """Join the pages of processes: one family for each name, each process once.

    Pages may be of different versions of a service; samples keep what they are.
    """
    families: dict[str, Metric] = {}
    instances: dict[str, str] = {}
    runs: set[str] = set()
    for page in pages:
        instances |= page.instances
        if page.run in runs:
            continue
        runs.add(page.run)
        for family in text_string_to_metric_families(page.text):
            known = families.setdefault(family.name, family)
            labelled = list(_labelled(family.samples, page.instances))
            known.samples = labelled if known is family else [*known.samples, *labelled]
    return _Fixed([_up(instances), *families.values()])


def _labelled(samples: Iterable[Sample], instances: dict[str, str]) -> Iterator[Sample]:
    """Add who measured it, unless the sample says so."""
    only = next(iter(instances)) if len(instances) == 1 else ""
    for sample in samples:
        instance = sample.labels.get("instance", only)
        service = instances.get(instance, SHARED)
        labels = {"service": service, "instance": instance or SHARED} | sample.labels
        yield sample._replace(labels=labels)


def _up(instances: dict[str, str]) -> Metric:
    """Whether each service answers; one that does not has no instance."""
    family = GaugeMetricFamily(
        "metamcp_up", "Whether the service answers.", labels=["service", "instance"]
    )
    for instance, service in sorted(instances.items()):
        family.add_metric([service, instance], 1)
    for service in roles.SERVICES:
        if service not in instances.values():
            family.add_metric([service, ""], 0)
    return family


class _Fixed(CollectorRegistry):
    """Families that are there already."""

    def __init__(self, families: Iterable[Metric]) -> None:
        super().__init__()
        self._families = tuple(families)

    def collect(self) -> Iterator[Metric]:
        """Return them."""
        yield from self._families


class MetricsListener:
    """Serves `GET /metrics`, while it does."""

    def __init__(self, server: HttpServer, url: str) -> None:
        """Use `MetricsListener.start`."""
        self.url = url
        self._server = server

    @classmethod
    async def start(cls, collection: Collection, host: str, port: int) -> MetricsListener | None:
        """Listen. A port that is taken is a line in the log: the rest works without metrics."""
        try:
            listening = bound(host, port)
        except OSError as error:
            hint = "choose another with METAMCP_METRICS_PORT, or set METAMCP_ENABLE_METRICS=false"
            log.warning("metrics_not_served", port=port, error=error.strerror, hint=hint)
            return None
        url = f"http://{address(host, listening)}{PATH}"
        server = await HttpServer.start(
            serving(collection),
            listening,
            Connections(Most(MOST_CONNECTIONS, MOST_CONNECTIONS)),
            ws="none",
            timeout_graceful_shutdown=1,
        )
        log.info("metrics_served", url=url)
        return cls(server, url)

    async def stop(self) -> None:
        """Listen no more."""
        await self._server.stop()


def serving(collection: Collection) -> Asgi:
    """The ASGI application of that one page."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        if scope["path"] != PATH:
            await _refuse(send, 404)
        elif scope["method"] not in ("GET", "HEAD"):
            await _refuse(send, 405, (b"allow", b"GET, HEAD"))
        else:
            # Whatever the client would rather have: what is joined here was read from that form.
            plain = {**scope, "headers": [], "query_string": b""}
            await make_asgi_app(await collection.registry())(plain, receive, send)

    return app


async def _refuse(send: Any, status: int, *headers: tuple[bytes, bytes]) -> None:
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": b""})
