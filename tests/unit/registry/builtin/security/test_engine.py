"""How semgrep's process is run, with programs in its place that misbehave in real ways."""

from __future__ import annotations

import asyncio
import json
import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from mcp.server.mcpserver.exceptions import ToolError

from services.registry.builtin.security import engine as semgrep_engine
from services.registry.builtin.security import report as semgrep_report
from services.registry.builtin.security.engine import Engine, ScanFailed
from services.registry.builtin.security.server import MOST_RULE, Scanner, files_in
from tests.unit.executor.world import moment

CLEAN = {"results": [], "errors": [], "paths": {"scanned": ["./a.py"]}}


def engine(folder: Path, script: str) -> Engine:
    """An engine whose semgrep is this shell script."""
    (folder / "bin").mkdir()
    program = folder / "bin" / "semgrep"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)
    return Engine(folder / "bin")


async def scan(engine: Engine, folder: Path) -> dict[str, Any]:
    await asyncio.to_thread((folder / "a.py").write_text, "x = 1\n")
    return await engine.scan(folder, ["a.py"], folder / "rules")


async def test_files_are_named_and_nothing_is_sent_anywhere(tmp_path: Path) -> None:
    script = f"echo \"$PWD $* $SEMGREP_SEND_METRICS\" > {tmp_path}/said; echo '{json.dumps(CLEAN)}'"
    assert await scan(engine(tmp_path, script), tmp_path) == CLEAN
    said = await asyncio.to_thread((tmp_path / "said").read_text)
    assert said.startswith(f"{tmp_path} scan --experimental ")
    assert said.endswith(f"--config {tmp_path}/rules -- ./a.py off\n")


async def test_a_cancelled_scan_is_ended(tmp_path: Path) -> None:
    begun = tmp_path / "pid"
    running = asyncio.create_task(
        scan(
            engine(tmp_path, f"echo $$ > {begun}.new; mv {begun}.new {begun}; exec sleep 600"),
            tmp_path,
        )
    )
    async with asyncio.timeout(30):
        while not begun.exists():
            assert not running.done()
            await moment()
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    with pytest.raises(ProcessLookupError):
        os.kill(int(begun.read_text()), 0)


async def test_a_scan_that_never_ends_is_ended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(semgrep_engine, "SCAN_S", 0.2)
    with pytest.raises(ScanFailed, match=r"longer than 0\.2 s"):
        await scan(engine(tmp_path, "exec sleep 600"), tmp_path)


async def test_findings_beyond_all_bounds_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(semgrep_engine, "MOST_OUTPUT", 1 << 20)
    with pytest.raises(ScanFailed, match="narrow the rule down"):
        await scan(engine(tmp_path, "exec yes"), tmp_path)


@pytest.mark.parametrize(
    ("script", "says"),
    [
        ("echo out of memory >&2; exit 2", "semgrep ended with 2: out of memory"),
        ("exit 3", "semgrep ended with 3: it said nothing"),
        ("echo hello", "something else than JSON"),
        ("kill -9 $$", "semgrep ended with -9"),
        ('echo \'{"errors": [{"level": "error", "message": "bad  rule"}]}\'; exit 2', "bad rule"),
    ],
)
async def test_a_scan_without_a_result_says_why(script: str, says: str, tmp_path: Path) -> None:
    with pytest.raises(ScanFailed) as failed:
        await scan(engine(tmp_path, script), tmp_path)
    assert says in str(failed.value)


async def test_much_noise_on_the_side_holds_nothing_up(tmp_path: Path) -> None:
    script = f"yes noise | head -c 1000000 >&2; echo '{json.dumps(CLEAN)}'"
    assert await scan(engine(tmp_path, script), tmp_path) == CLEAN


async def test_an_engine_that_finds_nothing_is_no_healthy_one(tmp_path: Path) -> None:
    blind = Scanner(engine(tmp_path, f"echo '{json.dumps(CLEAN)}'"), tmp_path)
    with pytest.raises(ToolError, match="did not find"):
        await blind.check()


async def test_a_rule_of_any_size_is_not_taken(tmp_path: Path) -> None:
    scanner = Scanner(engine(tmp_path, "exit 1"), tmp_path)
    with pytest.raises(ToolError, match="are allowed"):
        await scanner.scan(str(tmp_path), "x" * (MOST_RULE + 1))


def test_links_are_not_followed(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "a.py").touch()
    (tmp_path / "b.py").symlink_to("/etc/hostname")
    (tmp_path / "out").symlink_to("/etc")
    assert files_in(tmp_path) == ["sub/a.py"]


def test_too_many_files_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("services.registry.builtin.security.server.MOST_FILES", 2)
    for name in "abc":
        (tmp_path / name).touch()
    with pytest.raises(ToolError, match="more than 2 files"):
        files_in(tmp_path)


MATCHES = st.builds(
    lambda path, line, severity, cwe: {
        "path": f"./{path}",
        "check_id": "r",
        "start": {"line": line, "col": 1},
        "end": {"line": line, "col": 2},
        "extra": {"severity": severity, "message": "m", "metadata": cwe},
    },
    st.sampled_from("abc"),
    st.integers(1, 9),
    st.sampled_from(["ERROR", "HIGH", "WARNING", "INFO"]),
    st.sampled_from([{}, {"cwe": "CWE-1"}, {"cwe": ["CWE-1", "CWE-2"]}, {"cwe": []}]),
)


@given(st.lists(MATCHES, max_size=20), st.sets(st.sampled_from("abcd")))
def test_every_match_is_counted_once(matches: list[dict[str, Any]], files: set[str]) -> None:
    raw = {"results": matches, "paths": {"scanned": ["./a", "./b"]}}
    scan = semgrep_report.scan(raw, files)
    analysis = semgrep_report.analysis(raw, files)
    assert len(scan["findings"]) == len(matches) == sum(scan["by_severity"].values())
    assert scan["findings"] == sorted(scan["findings"], key=lambda one: (one["path"], one["line"]))
    serious = [one for one in scan["findings"] if one["severity"] in semgrep_report.SERIOUS]
    groups = analysis["vulnerabilities"]
    assert analysis["count"] == len(serious) == sum(group["count"] for group in groups)
    assert [group["count"] for group in groups] == sorted(
        (group["count"] for group in groups), reverse=True
    )
    for report in (scan, analysis):
        assert set(report["not_scanned"]) == files - {"a", "b"}


def test_what_a_report_leaves_out_is_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(semgrep_report, "MOST_FINDINGS", 3)
    match = {"path": "a", "check_id": "r", "extra": {"severity": "ERROR"}}
    places = [{**match, "start": {"line": n, "col": 1}, "end": {"line": n}} for n in range(5)]
    scan = semgrep_report.scan({"results": places}, ["a"])
    assert (len(scan["findings"]), scan["left_out"], scan["by_severity"]) == (3, 2, {"ERROR": 5})
    analysis = semgrep_report.analysis({"results": places}, ["a"])
    assert (analysis["count"], analysis["left_out"]) == (5, 2)
    assert analysis["vulnerabilities"][0]["count"] == 3
