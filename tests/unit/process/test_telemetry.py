"""Log lines: shape, secrets, routing of libraries, files; and trace ids."""

from __future__ import annotations

import io
import json
import logging
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from services.process import telemetry


@pytest.fixture
def out() -> Iterator[io.StringIO]:
    root = logging.getLogger()
    before, level = root.handlers, root.level
    stream = io.StringIO()
    telemetry.setup(form="json", stream=stream)
    yield stream
    telemetry.setup(form="json", stream=stream)  # closes the files of the test
    root.handlers = before
    root.setLevel(level)


def lines(out: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in out.getvalue().splitlines()]


def actions(path: Path) -> list[str]:
    return [json.loads(line)["action"] for line in path.read_text().splitlines()]


def test_a_line_has_its_action_service_instance_and_trace(out: io.StringIO) -> None:
    header = telemetry.new_traceparent()
    token = telemetry.trace.set(header)
    with telemetry.in_service("router", "router-2"):
        telemetry.get_logger().info("task_routed", task="t1")
    telemetry.trace.reset(token)
    (line,) = lines(out)
    assert line.pop("timestamp").endswith("Z")
    assert line == {
        "action": "task_routed",
        "level": "info",
        "service": "router",
        "instance": "router-2",
        "task": "t1",
        "trace_id": header.split("-")[1],
    }


def test_values_of_secret_names_are_never_written(out: io.StringIO) -> None:
    telemetry.get_logger().info(
        "called",
        token="s3cret",
        hf_token="s3cret",
        clientSecret="s3cret",
        headers={"Authorization": "s3cret", "Accept": "shown"},
        attempts=[{"permit": "s3cret"}],
        tokens_left=3,
    )
    text = out.getvalue()
    assert "s3cret" not in text
    assert text.count("[redacted]") == 5
    assert "shown" in text
    assert lines(out)[0]["tokens_left"] == 3


def test_redaction_leaves_the_callers_values_alone(out: io.StringIO) -> None:
    headers = {"authorization": "kept"}
    telemetry.get_logger().info("called", headers=headers)
    assert headers == {"authorization": "kept"}


def test_lines_of_libraries_come_in_the_same_shape(out: io.StringIO) -> None:
    with telemetry.in_service("gateway", "gateway-1"):
        logging.getLogger("uvicorn.error").warning("port %s is taken", 80)
    (line,) = lines(out)
    assert (line["action"], line["message"]) == ("library_log", "port 80 is taken")
    assert (line["logger"], line["service"]) == ("uvicorn.error", "gateway")


def test_the_level_can_change_after_the_first_line(out: io.StringIO) -> None:
    log = telemetry.get_logger()
    log.debug("unseen")
    telemetry.setup(level="debug", form="json", stream=out)
    log.debug("seen")
    telemetry.setup(level="error", form="json", stream=out)
    log.warning("unseen")
    assert [line["action"] for line in lines(out)] == ["seen"]


def test_an_exception_is_written_without_local_variables(out: io.StringIO) -> None:
    def fail() -> None:
        password = "s3" + "cret"
        raise ValueError(len(password))

    for form in ("json", "console"):
        telemetry.setup(form=form, stream=out)
        try:
            fail()
        except ValueError:
            telemetry.get_logger().exception("failed")
    assert out.getvalue().count("ValueError: 6") == 2
    assert "s3cret" not in out.getvalue()


def test_away_from_a_terminal_auto_means_json(out: io.StringIO) -> None:
    telemetry.setup(form="auto", stream=out)
    telemetry.get_logger().info("started")
    assert lines(out)[0]["action"] == "started"


def test_console_lines_are_for_people(out: io.StringIO) -> None:
    telemetry.setup(form="console", stream=out)
    telemetry.get_logger().info("task_routed", task="t1")
    assert "task_routed" in out.getvalue()
    assert "task=t1" in out.getvalue()


def test_files_keep_everything_and_errors_apart_for_the_owner_only(
    out: io.StringIO, tmp_path: Path
) -> None:
    folder = tmp_path / "logs"
    telemetry.setup(form="json", stream=out, log_dir=folder, file_name="router-1")
    telemetry.get_logger().info("fine")
    telemetry.get_logger().error("broken")
    every, errors = folder / "router-1.log", folder / "router-1.error.log"
    assert actions(every) == ["fine", "broken"]
    assert actions(errors) == ["broken"]
    assert {stat.S_IMODE(path.stat().st_mode) for path in (every, errors)} == {0o600}


def test_files_rotate(out: io.StringIO, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(telemetry, "FILE_BYTES", 1000)
    telemetry.setup(form="json", stream=out, log_dir=tmp_path)
    for _ in range(100):
        telemetry.get_logger().info("filled", text="x" * 100)
    names = {path.name for path in tmp_path.glob("metamcp.log*")}
    assert names == {"metamcp.log", *(f"metamcp.log.{k}" for k in range(1, 6))}
    assert all(path.stat().st_size <= 1000 for path in tmp_path.iterdir())


def test_a_child_span_stays_in_its_parents_trace() -> None:
    parent = telemetry.new_traceparent()
    child = telemetry.parse_traceparent(telemetry.new_traceparent(parent))
    above = telemetry.parse_traceparent(parent)
    assert child
    assert above
    assert child.trace_id == above.trace_id
    assert child.span_id != above.span_id


@pytest.mark.parametrize(
    "value",
    [
        None,
        "",
        "00-" + "0" * 32 + "-" + "1" * 16 + "-01",
        "00-" + "1" * 32 + "-" + "0" * 16 + "-01",
        "ff-" + "1" * 32 + "-" + "1" * 16 + "-01",
        "00-" + "A" * 32 + "-" + "1" * 16 + "-01",
        "00-" + "1" * 32 + "-" + "1" * 16 + "-01\n",
    ],
)
def test_a_header_that_is_not_a_traceparent_is_ignored(value: str | None) -> None:
    assert telemetry.parse_traceparent(value) is None
    assert telemetry.parse_traceparent(telemetry.new_traceparent(value))
