"""Waiting for tasks at a real gateway: what is said when, and that Ctrl-C ends the waiting only."""

from __future__ import annotations

import asyncio
import json
import signal
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from contracts.facts import Failure, McpHealth, McpRegistered, Outcome, TaskCreated
from contracts.host import HealthStatus, Host, Stdio
from contracts.result import inline
from services.cli.commands import scan
from services.cli.common import Exit
from services.process.ids import new_id
from tests.support import facts
from tests.support.nats import NatsServer
from tests.unit.cli.kept import Site, keeping_site
from tests.unit.cli.program import PATIENCE_S, Program, program
from tests.unit.cli.test_answers import FILE, FINDING, SCAN, told
from tests.unit.cli.test_ignored import write

pytestmark = pytest.mark.timeout(240)
ID = r"([0-9a-f-]{36})"


@pytest.fixture
async def site(
    fresh_nats: NatsServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Site]:
    async with keeping_site(fresh_nats, tmp_path, monkeypatch) as found:
        yield found


async def done(site: Site, task: str, structured: Any) -> None:
    """Let the task succeed with this answer."""
    result = inline(json.dumps(told(structured)).encode())
    await site.world.append(facts.done("alice", task, result=result, host="h1", attempt=1))


async def test_the_id_comes_first_and_the_answer_last(site: Site, tmp_path: Path) -> None:
    write(tmp_path, "a.py")
    async with program("submit", "security_scan", "--file", "a.py", "--wait") as one:
        task = await one.says(rf"\Atask {ID}\n")
        await done(site, task, SCAN)
        code, out = await one.ended()
    assert code == Exit.OK, one.said
    assert "python-os-system" in out
    assert task not in out
    for words in (["task", task], ["results", task]):
        async with program(*words) as shown:
            code, again = await shown.ended()
        assert code == Exit.OK, shown.said
        assert again.endswith("\n" + out), "the same below what is said of the task"


async def test_json_has_the_id_on_stderr_and_one_document_on_stdout(site: Site) -> None:
    async with program("submit", "work", "{}", "--wait", "--json") as one:
        task = await one.says(rf"\Atask {ID}\n")
        await done(site, task, {"x": 1})
        code, out = await one.ended()
    assert code == Exit.OK
    assert json.loads(out)["task"]["id"] == task
    assert one.said == f"task {task}\n"


async def test_what_a_task_waits_for_is_said_at_once_and_in_its_views(site: Site) -> None:
    spec = Host(id="h1", name="h1", endpoint=Stdio("x"))
    known = {"id": new_id(), "by": "registry-1", "host": "h1", "k": 1}
    reason = "not started: Error: BRAVE_API_KEY is required"
    sick = McpHealth(**known | {"id": new_id()}, status=HealthStatus.UNHEALTHY, reason=reason)
    await site.world.append(McpRegistered(**known, spec=spec), sick)
    async with program("call", "h1", "echo") as one:
        task = await one.says(rf"task {ID}\n")
        await one.says(rf"waiting: (host h1 is unhealthy: {reason})\n")
        for words in (["task", task], ["task", task, "--why"]):
            async with program(*words) as shown:
                _, out = await shown.ended()
            assert reason in out
        assert "it waits: host h1 is unhealthy" in out
        error = Failure("host_down", f"host h1 is unhealthy: {reason}")
        await site.world.append(facts.done("alice", task, Outcome.FAILED, error=error))
        code, _ = await one.ended()
    assert code == Exit.FAILED
    assert one.said.count("waiting: ") == 1


@pytest.mark.parametrize("more", [[], ["--json"]])
async def test_ctrl_c_leaves_the_task_and_says_how_to_see_it(site: Site, more: list[str]) -> None:
    async with program("submit", "work", "{}", "--wait", *more) as one:
        task = await one.says(rf"task {ID}\n")
        one.process.send_signal(signal.SIGINT)
        code, out = await one.ended()
    assert (code, out) == (Exit.INTERRUPTED, "")
    assert f"The task goes on: metamcp watch {task}, or metamcp cancel {task}\n" in one.said
    assert "Traceback" not in one.said
    async with program("watch", task) as watching:
        await done(site, task, {"x": 1})
        code, out = await watching.ended()
    assert code == Exit.OK
    assert "job.done" in out


async def scanned(site: Site, one: Program, findings: Any, analysis: Any) -> None:
    """Answer both tasks of a scan."""
    first = await one.says(rf"security_scan is task {ID}\n")
    second = await one.says(rf"code_analysis is task {ID}\n")
    await done(site, first, findings)
    await done(site, second, analysis)


async def test_a_scan_sends_once_and_shows_both_answers(site: Site, tmp_path: Path) -> None:
    for number in range(12):
        write(tmp_path, f"src/{number}.py", "x" * 10_000)
    write(tmp_path, "src/.hidden")
    async with program("scan", "src", "--sarif", "out.sarif") as one:
        await scanned(site, one, SCAN, FILE)
        code, out = await one.ended()
    assert code == Exit.FAILED, one.said
    assert one.said.startswith("12 files, 120.0 kB; left out: 1 hidden\n")
    assert "security_scan: succeeded on h1" in one.said
    assert out.index("function  main") < out.index("python-os-system") < out.index("scanned: 2")
    log = json.loads((tmp_path / "out.sarif").read_text())
    assert len(log["runs"][0]["results"]) == len(SCAN["findings"])
    async with site.world.http() as http:
        tasks = (await http.get("/api/tasks")).json()["data"]
    records = [one async for batch in site.world.log.scan((">",), 0, 99) for one in batch.records]
    sent = {bytes(one.fact.spec.input) for one in records if isinstance(one.fact, TaskCreated)}
    assert len(tasks) == 2
    assert len(sent) == 1, "the same archive"
    assert b"archive" in sent.pop()


WARNING = SCAN | {"findings": [FINDING | {"severity": "WARNING"}], "by_severity": {"WARNING": 1}}


@pytest.mark.parametrize(
    ("answer", "fail_on", "serious"),
    [
        (WARNING, "ERROR", False),
        (WARNING, "WARNING", True),
        (WARNING, "INFO", True),
        (SCAN, "never", False),
        (SCAN | {"findings": [], "by_severity": {}}, "INFO", False),
        (SCAN | {"findings": [], "by_severity": {"ERROR": 1}, "left_out": 1}, "ERROR", True),
        ({"other": 1}, "INFO", False),
        (["other"], "INFO", False),
    ],
)
def test_how_serious_a_finding_has_to_be(answer: Any, fail_on: str, serious: bool) -> None:
    assert scan.too_serious(told(answer), fail_on) is serious


@pytest.mark.parametrize(
    ("answer", "fail_on", "code"),
    [(WARNING, "ERROR", Exit.OK), (WARNING, "warning", Exit.FAILED)],
)
async def test_the_exit_code_of_a_scan_is_for_build_servers(
    site: Site, tmp_path: Path, answer: Any, fail_on: str, code: Exit
) -> None:
    write(tmp_path, "a.py")
    options = ["--only", "findings", "--fail-on", fail_on, "--json"]
    async with program("scan", "a.py", *options) as one:
        await done(site, await one.says(rf"security_scan is task {ID}\n"), answer)
        ended, out = await one.ended()
    document = json.loads(out)
    assert ended == code
    assert document["ok"] is (code == Exit.OK)
    assert document["sent"] == {"files": 1, "size": 5, "left_out": {}}
    assert document["security_scan"]["result"]["structured"] == answer
    assert "code_analysis" not in document


async def test_half_a_scan_is_shown_and_is_a_failure(site: Site, tmp_path: Path) -> None:
    write(tmp_path, "a.py")
    clean = SCAN | {"findings": [], "by_severity": {}}
    async with program("scan", "a.py") as one:
        first = await one.says(rf"security_scan is task {ID}\n")
        second = await one.says(rf"code_analysis is task {ID}\n")
        error = Failure("no_host", "no host serves code_analysis")
        end = facts.done("alice", second, outcome=Outcome.REJECTED, error=error)
        await site.world.append(end)
        await done(site, first, clean)
        code, out = await one.ended()
    assert code == Exit.FAILED
    assert "no host serves code_analysis" in out
    assert "no findings" in out


async def test_sarif_on_stdout_is_all_there_is(site: Site, tmp_path: Path) -> None:
    write(tmp_path, "a.py")
    async with program("scan", "a.py", "--only", "findings", "--sarif", "-") as one:
        task = await one.says(rf"security_scan is task {ID}\n")
        await done(site, task, SCAN)
        code, out = await one.ended()
    assert code == Exit.FAILED
    assert json.loads(out)["version"] == "2.1.0"
    async with program("results", task, "--sarif", "-") as later:
        assert await later.ended() == (Exit.OK, out)


async def test_ctrl_c_of_a_scan_names_both_tasks(site: Site, tmp_path: Path) -> None:
    write(tmp_path, "a.py")
    async with program("scan", "a.py") as one:
        ids = [await one.says(rf"{type_} is task {ID}\n") for type_ in ("scan", "analysis")]
        one.process.send_signal(signal.SIGINT)
        code, out = await one.ended()
    assert (code, out) == (Exit.INTERRUPTED, "")
    assert "The tasks go on: metamcp watch ID" in one.said
    assert all(one.said.count(id_) == 2 for id_ in ids)


async def test_who_has_read_enough_of_a_watch_ends_it(site: Site) -> None:
    async with program("watch", "--from-start", "--json") as one:
        await site.world.append(facts.created("alice", "t1"))
        assert one.process.stdout is not None
        async with asyncio.timeout(PATIENCE_S):
            assert json.loads(await one.process.stdout.readline())["event"]
        one.process.stdout._transport.close()  # type: ignore[attr-defined]
        async with asyncio.timeout(PATIENCE_S):
            # It notices at the first thing it says after that.
            for number in range(2, 1000):
                await site.world.append(facts.created("alice", f"t{number}"))
                if one.process.returncode is not None:
                    break
                await asyncio.wait([asyncio.ensure_future(one.process.wait())], timeout=0.05)
        code, _ = await one.ended()
    assert code == Exit.CLOSED
    assert one.said == ""
