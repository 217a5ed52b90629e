"""What a process measures. The gateway asks every process over NATS and shows one page of it all.

Counters and histograms are prometheus_client's own, named `metamcp_…`; what a process only knows
when it is asked (a position, a queue's length) is a gauge with a function.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection

import msgspec
import prometheus_client
from prometheus_client import REGISTRY, Gauge, Histogram
from prometheus_client.registry import CollectorRegistry

from contracts import subjects
from contracts.wire import MetricsPage
from services.bus.all import answer_all
from services.bus.bus import Bus
from services.process.ids import new_id
from services.process.run import Process

VERB = "metrics"
SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
"""Buckets of every histogram of durations."""
_RUN = new_id()
"""This operating system's process: several services may share it, and its numbers."""
_instances: dict[str, str] = {}

FACTS = prometheus_client.Counter(
    "metamcp_facts_appended", "Facts that this process has appended to the log.", ["type"]
)
COMMITS = Histogram(
    "metamcp_commit_seconds", "From sending facts to the log's answer.", buckets=SECONDS
)
COMMITTED = Histogram(
    "metamcp_commit_facts", "Facts in one commit.", buckets=(1, 4, 16, 32, 64, 128, 256, 500)
)

UNKNOWN = prometheus_client.Counter(
    "metamcp_facts_unknown",
    "Facts that this process could not read and has passed over: a newer release wrote them, or"
    " they are damaged.",
    ["type"],
)


def appended(names: Collection[str], seconds: float) -> None:
    """Count one commit: the subjects of its facts, and how long the log took."""
    for kind, count in Counter(map(_tag, names)).items():
        FACTS.labels(kind).inc(count)
    COMMITS.observe(seconds)
    COMMITTED.observe(len(names))


def _tag(subject: str) -> str:
    return subject[: subject.index(".", subject.index(".") + 1)]


def gauge(name: str, text: str, process: Process, function: Callable[[], float]) -> None:
    """Show what `function` returns when it is asked, until the process drains.

    The function must not raise; several services in one process show one line each.
    """
    known = _gauges.get(name)
    if known is None:
        known = _gauges[name] = Gauge(name, text, ["instance"])
    known.labels(process.instance).set_function(function)

    async def forget() -> None:
        known.remove(process.instance)

    process.on_drain(forget)


_gauges: dict[str, Gauge] = {}


async def answer(bus: Bus, process: Process, registry: CollectorRegistry = REGISTRY) -> None:
    """Answer `cmd.<service>.metrics` with this process's page, for as long as it runs."""
    _instances[process.instance] = process.service

    async def forget() -> None:
        _instances.pop(process.instance, None)

    process.on_drain(forget)

    async def page(_: bytes) -> bytes:
        text = prometheus_client.generate_latest(registry).decode()
        return msgspec.json.encode(MetricsPage(_RUN, dict(_instances), text))

    await answer_all(bus, subjects.command(process.service, VERB), page)
