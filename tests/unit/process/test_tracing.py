"""Spans: begun from a `traceparent` and giving one on, with and without a collector."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF

from services.process import telemetry, tracing
from tests.support.spans import kept_spans

ROOT = Path(__file__).parents[3]
PARENT = f"00-{'ab' * 16}-{'cd' * 8}-01"


@pytest.fixture
def kept() -> Iterator[InMemorySpanExporter]:
    with kept_spans() as exporter:
        yield exporter


def test_without_a_collector_the_text_is_passed_on() -> None:
    with tracing.begin("work", PARENT, host="one") as span:
        span.note(end="done")
        span.fail("no")
        assert span.traceparent == PARENT
        assert tracing.current() == ""
        assert tracing.carried({"a": "b"}) == {"a": "b"}
    assert tracing.passed("work", PARENT) == PARENT
    assert tracing.passed("work", "") == ""


def test_untraced_requests_have_a_trace_id_for_the_log_lines() -> None:
    with tracing.received("GET", PARENT) as span:
        assert telemetry.trace.get() == span.traceparent == tracing.current()
        assert span.traceparent.split("-")[1] == PARENT.split("-")[1]
        assert span.traceparent != PARENT
        assert span.traceparent.endswith("-01"), "whoever asked records it"
    with tracing.received("GET", "nonsense") as span:
        assert telemetry.parse_traceparent(span.traceparent)
        assert span.traceparent.endswith("-00"), "nobody records it"
    telemetry.trace.set(None)


def test_a_span_goes_on_from_its_parent_and_is_gone_on_from(kept: InMemorySpanExporter) -> None:
    with tracing.begin("outer", PARENT, tracing.CONSUMER, task="t", host=None) as outer:
        assert tracing.current() == outer.traceparent
        assert tracing.carried({})["traceparent"] == outer.traceparent
        inner = tracing.passed("inner", "", since=time.time() - 5, end="done")
    second, first = kept.get_finished_spans()
    assert [second.name, first.name] == ["inner", "outer"]
    assert first.parent is not None
    assert f"{first.parent.span_id:016x}" == "cd" * 8
    assert second.parent is not None
    assert f"{second.parent.span_id:016x}" == outer.traceparent.split("-")[2]
    assert inner.split("-")[1] == outer.traceparent.split("-")[1] == "ab" * 16
    assert dict(first.attributes or {}) == {"metamcp.task": "t"}
    assert second.start_time is not None
    assert second.end_time is not None
    assert second.end_time - second.start_time >= 5e9
    assert tracing.current() == ""


def test_an_error_marks_the_span(kept: InMemorySpanExporter) -> None:
    def work() -> None:
        with tracing.begin("work"):
            raise LookupError("secret of a user")

    with pytest.raises(LookupError):
        work()
    (span,) = kept.get_finished_spans()
    assert (span.status.is_ok, span.status.description) == (False, "LookupError")


def test_what_is_not_sampled_is_not_sent_and_says_so_to_all_that_follow() -> None:
    with kept_spans(ALWAYS_OFF) as exporter:
        given = tracing.passed("work", PARENT)
    assert exporter.get_finished_spans() == ()
    assert given.split("-")[1::2] == ["ab" * 16, "00"]


def test_a_time_in_the_future_is_now(kept: InMemorySpanExporter) -> None:
    tracing.passed("work", "", since=time.time() + 3600)
    (span,) = kept.get_finished_spans()
    assert span.start_time is not None
    assert span.end_time is not None
    assert span.end_time - span.start_time >= 0


@pytest.mark.parametrize(
    ("variables", "words"),
    [
        ({"METAMCP_OTLP_ENDPOINT": "collector:4318"}, "METAMCP_OTLP_ENDPOINT"),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "collector:4318"}, "no http or https URL"),
        (
            {
                "OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1",
                "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc",
            },
            "only http/protobuf",
        ),
    ],
)
def test_a_service_says_what_is_wrong_with_its_collector(
    variables: dict[str, str], words: str, tmp_path: Path
) -> None:
    ended = subprocess.run(
        [sys.executable, "-m", "services.router"],
        env={"PYTHONPATH": str(ROOT), "METAMCP_DATA": str(tmp_path), **variables},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=30,
    )
    assert ended.returncode == 1
    assert words in ended.stderr


def test_a_collector_that_is_away_ends_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OTEL_SDK_DISABLED", raising=False)
    script = (
        "from services.process import tracing\n"
        "tracing.setup('router', 'router-1', 'http://127.0.0.1:1')\n"
        "print(tracing.passed('work', ''))\n"
        "tracing.close()\n"
        "print('closed', tracing.passed('work', 'x'))\n"
    )
    ended = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, timeout=30
    )
    assert ended.returncode == 0, ended.stderr
    first, last = ended.stdout.splitlines()
    assert telemetry.parse_traceparent(first)
    assert last == "closed x"
