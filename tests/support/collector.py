"""A collector of OpenTelemetry traces: takes OTLP over HTTP, as any other does, and keeps it."""

from __future__ import annotations

import contextlib
import gzip
from collections.abc import AsyncIterator
from typing import Any, NamedTuple

from aiohttp import web
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest


class Seen(NamedTuple):
    """One span; ids in hex, an empty `parent` for the first of its trace."""

    service: str
    name: str
    trace: str
    id: str
    parent: str
    attributes: dict[str, str]
    seconds: float
    failed: bool


class Collector:
    """Keeps every span it is sent."""

    def __init__(self) -> None:
        self.spans: list[Seen] = []
        self.url = ""

    def named(self, name: str, trace: str) -> Seen | None:
        """The span of this name in a trace, if it has come."""
        return next((s for s in self.spans if (s.name, s.trace) == (name, trace)), None)

    async def take(self, request: web.Request) -> web.Response:
        body = await request.read()
        if body[:2] == b"\x1f\x8b":
            body = gzip.decompress(body)
        for resource in ExportTraceServiceRequest.FromString(body).resource_spans:
            about = {pair.key: pair.value.string_value for pair in resource.resource.attributes}
            for scope in resource.scope_spans:
                self.spans += [_seen(about["service.name"], span) for span in scope.spans]
        return web.Response(content_type="application/x-protobuf")


def _seen(service: str, span: Any) -> Seen:
    def plain(value: Any) -> str:
        return str(getattr(value, value.WhichOneof("value")))

    return Seen(
        service,
        span.name,
        span.trace_id.hex(),
        span.span_id.hex(),
        span.parent_span_id.hex(),
        {pair.key: plain(pair.value) for pair in span.attributes},
        (span.end_time_unix_nano - span.start_time_unix_nano) / 1e9,
        span.status.code == 2,
    )


@contextlib.asynccontextmanager
async def collecting() -> AsyncIterator[Collector]:
    """A collector on a free port of loopback."""
    one = Collector()
    app = web.Application(client_max_size=16 * 1024 * 1024)
    app.router.add_post("/v1/traces", one.take)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    port = runner.addresses[0][1]
    one.url = f"http://127.0.0.1:{port}"
    try:
        yield one
    finally:
        await runner.cleanup()
