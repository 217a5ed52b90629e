"""OpenTelemetry spans of a task's way through the services, sent by OTLP when that is configured.

Across NATS a trace travels as the W3C `traceparent` of facts and requests: a span is begun from
that text and gives the text for what comes after. Unconfigured, the text is passed on as it came.
"""

from __future__ import annotations

import contextlib
import os
import threading
import time
from collections.abc import Iterator, Mapping
from types import TracebackType
from typing import TYPE_CHECKING, TypeAlias

from opentelemetry import context, propagate, trace
from opentelemetry.trace import SpanKind, Status, StatusCode

from services.process import telemetry

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import TracerProvider

Attribute: TypeAlias = str | int | float | None

CLIENT, CONSUMER, INTERNAL = SpanKind.CLIENT, SpanKind.CONSUMER, SpanKind.INTERNAL
PRODUCER, SERVER = SpanKind.PRODUCER, SpanKind.SERVER
ENDPOINT = "OTEL_EXPORTER_OTLP_ENDPOINT"
TRACES_ENDPOINT = "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"
PATH = "/v1/traces"
CLOSE_S = 2.0
"""A collector that does not answer holds the end of a process up for so long at most."""


class _State:
    """Where the spans of this process go."""

    tracer: trace.Tracer | None = None
    provider: TracerProvider | None = None


_state = _State()


class Span:
    """One piece of work. As a block it is the current one there; else call `end`."""

    __slots__ = ("_span", "_token", "traceparent")

    def __init__(self, span: trace.Span | None, traceparent: str) -> None:
        """Use `begin`."""
        self._span = span
        self._token: object | None = None
        self.traceparent = traceparent
        """For the fact or request that carries the work on."""

    def note(self, **attributes: Attribute) -> None:
        """Add what became known on the way; None is left out."""
        if self._span is not None:
            self._span.set_attributes(_named(attributes))

    def rename(self, name: str) -> None:
        """Give it the name that is known only now."""
        if self._span is not None:
            self._span.update_name(name)

    def fail(self, why: str) -> None:
        """Mark the work as failed."""
        if self._span is not None:
            self._span.set_status(Status(StatusCode.ERROR, why[:200]))

    def end(self) -> None:
        """The work is over."""
        if self._span is not None:
            self._span.end()

    def __enter__(self) -> Span:
        if self._span is not None:
            self._token = context.attach(trace.set_span_in_context(self._span))
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        where: TracebackType | None,
    ) -> None:
        if self._span is None:
            return
        if kind is not None:
            self.fail(kind.__name__)
        self._span.end()
        context.detach(self._token)  # type: ignore[arg-type]


def setup(service: str, instance: str, endpoint: str | None) -> None:
    """Send this process's spans to a collector; without an endpoint there are none.

    `endpoint` (OTLP over HTTP, such as `http://127.0.0.1:4318`) goes before the standard variables;
    samplers, headers and batches are set by those alone. Raises ValueError for what can't be used.
    """
    given = endpoint or os.environ.get(TRACES_ENDPOINT) or os.environ.get(ENDPOINT)
    if not given or os.environ.get("OTEL_SDK_DISABLED", "").strip().lower() == "true":
        return
    if not given.startswith(("http://", "https://")):
        raise ValueError(f"traces can't be sent to {given!r}: it is no http or https URL")
    protocol = os.environ.get("OTEL_EXPORTER_OTLP_PROTOCOL", "http/protobuf")
    if protocol != "http/protobuf":
        raise ValueError(f"OTEL_EXPORTER_OTLP_PROTOCOL is {protocol}: only http/protobuf is here")
    # What most run without takes time to import.
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    name = service if service == "metamcp" else f"metamcp-{service}"
    resource = Resource.create({"service.name": name, "service.instance.id": instance})
    provider = TracerProvider(resource=resource, shutdown_on_exit=False)
    exporter = OTLPSpanExporter(endpoint.rstrip("/") + PATH if endpoint else None)
    provider.add_span_processor(BatchSpanProcessor(exporter))
    trace.set_tracer_provider(provider)
    use(provider)


def use(provider: TracerProvider | None) -> None:
    """Begin spans at this provider from now on; None: begin none."""
    _state.provider = provider
    _state.tracer = provider.get_tracer("metamcp") if provider is not None else None


def close() -> None:
    """Send what has not been sent; blocks for two seconds at most."""
    provider = _state.provider
    if provider is None:
        return
    use(None)
    closing = threading.Thread(target=provider.shutdown, name="tracing-close", daemon=True)
    closing.start()
    closing.join(CLOSE_S)


def begin(
    name: str,
    parent: str = "",
    kind: SpanKind = INTERNAL,
    *,
    since: float | None = None,
    **attributes: Attribute,
) -> Span:
    """Begin a span under `parent`, a `traceparent`; without one under the current span, if any.

    `since` is a time in the past, in seconds since the epoch. Attributes are named `metamcp.*`.
    """
    tracer = _state.tracer
    if tracer is None:
        return Span(None, parent)
    span = tracer.start_span(
        name,
        _context(parent),
        kind,
        _named(attributes),
        start_time=None if since is None else int(min(since, time.time()) * 1e9),
    )
    return Span(span, _text(span))


def passed(name: str, parent: str, *, since: float | None = None, **attributes: Attribute) -> str:
    """A span that ends now; return the `traceparent` of what comes after it."""
    if _state.tracer is None:
        return parent
    span = begin(name, parent, INTERNAL, since=since, **attributes)
    span.end()
    return span.traceparent


def received(
    name: str, given: str | None, kind: SpanKind = SERVER, **attributes: Attribute
) -> Span:
    """Begin the work on a request from outside, under its `traceparent` or in a new trace.

    Untraced work gets a trace id all the same: log lines carry it.
    """
    span = begin(name, given or "", kind, since=None, **attributes)
    if _state.tracer is None:
        span.traceparent = telemetry.new_traceparent(given, telemetry.UNSAMPLED)
    telemetry.trace.set(span.traceparent)
    return span


def current() -> str:
    """The `traceparent` of the work at hand; empty if there is none."""
    span = trace.get_current_span()
    if span.get_span_context().is_valid:
        # Also without a collector: the MCP SDK takes over what its caller says.
        return _text(span)
    return telemetry.trace.get() or ""


def carried(headers: dict[str, str]) -> dict[str, str]:
    """The headers of a request to somebody else, with the current span if there is one."""
    propagate.inject(headers)
    return headers


@contextlib.contextmanager
def under(parent: str) -> Iterator[None]:
    """Have the requests of this block carry on a span of another process; empty: none."""
    above = _context(parent)
    if above is None:
        yield
        return
    token = context.attach(above)
    try:
        yield
    finally:
        context.detach(token)


def _context(parent: str) -> context.Context | None:
    """None, which means the current one, for what is no `traceparent`."""
    above = telemetry.parse_traceparent(parent)
    if above is None:
        return None
    ids = int(above.trace_id, 16), int(above.span_id, 16)
    flags = trace.TraceFlags(int(above.flags, 16))
    remote = trace.SpanContext(*ids, is_remote=True, trace_flags=flags)
    return trace.set_span_in_context(trace.NonRecordingSpan(remote), context.Context())


def _text(span: trace.Span) -> str:
    found = span.get_span_context()
    return f"00-{found.trace_id:032x}-{found.span_id:016x}-{found.trace_flags:02x}"


def _named(attributes: Mapping[str, Attribute]) -> dict[str, str | int | float]:
    return {f"metamcp.{name}": value for name, value in attributes.items() if value is not None}
