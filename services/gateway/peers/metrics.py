"""The metrics of all services on one page, for Prometheus, on a port of its own.

Every sample says which service and instance it comes from. Whoever does not answer is `up 0`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator

import msgspec
from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.samples import Sample

from contracts import subjects
from contracts.wire import MetricsPage
from services.bus.all import AskAll
from services.bus.errors import BusError
from services.bus.metrics import VERB
from services.process import telemetry
from services.process.shared import Shared

SHARED = "several"
"""Stands for the service and instance where one process runs all of them."""

log = telemetry.get_logger()


class Collection:
    """Asks all processes for their pages and joins them."""

    def __init__(self, ask_all: AskAll) -> None:
        self._ask_all = ask_all
        self._page = Shared(self._make)

    async def page(self) -> bytes:
        """Return the page in Prometheus's exposition format, not older than a second."""
        return await self._page.answer()

    async def _make(self) -> bytes:
        answers = await asyncio.gather(*(self._ask(name) for name in subjects.SERVICES))
        return join(page for pages in answers for page in pages)

    async def _ask(self, service: str) -> list[MetricsPage]:
        try:
            answers = await self._ask_all(subjects.command(service, VERB), b"")
        except BusError as error:
            log.debug("metrics_not_answered", asked=service, error=str(error))
            return []
        return [msgspec.json.decode(answer, type=MetricsPage) for answer in answers]


def join(pages: Iterable[MetricsPage]) -> bytes:
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
    return generate_latest(_Fixed([_up(instances), *families.values()]))


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
    for service in subjects.SERVICES:
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
    """Serves `GET /metrics`."""

    def __init__(self, collection: Collection, host: str, port: int) -> None:
        self._collection = collection
        self._host = host
        self._port = port
        self._runner: web.AppRunner | None = None
        self.url = ""
        """Where the page is; empty: nowhere."""

    async def start(self) -> None:
        """Listen. A port that is taken is a line in the log: the rest works without metrics."""
        app = web.Application()
        app.router.add_get("/metrics", self._answer)
        self._runner = web.AppRunner(app, access_log=None)
        await self._runner.setup()
        try:
            await web.TCPSite(self._runner, self._host, self._port).start()
        except OSError as error:
            hint = "choose another with METAMCP_METRICS_PORT, or set METAMCP_ENABLE_METRICS=false"
            log.warning("metrics_not_served", port=self._port, error=error.strerror, hint=hint)
            return
        host = f"[{self._host}]" if ":" in self._host else self._host
        port = self._runner.addresses[0][1]
        self.url = f"http://{host}:{port}/metrics"
        log.info("metrics_served", url=self.url)

    async def stop(self) -> None:
        """Listen no more."""
        if self._runner is not None:
            await self._runner.cleanup()

    async def _answer(self, _: web.Request) -> web.Response:
        body = await self._collection.page()
        return web.Response(body=body, headers={"Content-Type": CONTENT_TYPE_LATEST})
