"""Folders of real code, sent by the command line to the real servers, as a user does it."""

from __future__ import annotations

import asyncio
import json
import re
import signal
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from services.up import up
from tests.support.system import System, forked_services, until
from tests.unit.cli.program import Program, program
from tests.unit.cli.test_ignored import write

pytestmark = [
    pytest.mark.acceptance,
    pytest.mark.timeout(900),
    pytest.mark.asyncio(loop_scope="module"),
]
OTHERS = "git-mcp,github-mcp,tree-sitter-mcp"
TYPES = ("security_scan", "code_analysis")
APP = """import os


class App:
    def run(self, name):
        if name and len(name) > 2:
            os.system("ls " + name)
        return name


def main():
    App().run(input())
"""
FINDING = ("src/app.py", 7, "python-os-system")
READY_S = 600.0


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def real(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[System]:
    """Everything, with the servers for both task types installed and well."""
    folder = tmp_path_factory.mktemp("real")
    plan = up.Plan(data=folder / "data", port=0, variables={"METAMCP_REGISTRY_DISABLED": OTHERS})
    with forked_services():
        async with up.start(plan) as running:
            one = System(running, folder / "nothing")

            async def ready() -> bool:
                hosts = (await one.get("/api/mcps")).json()["data"]
                well = [
                    host for host in hosts if host["health"]["status"] in ("healthy", "warning")
                ]
                return set(TYPES) <= {type_ for host in well for type_ in host["task_types"]}

            await until(ready, seconds=READY_S)
            yield one
            await one.http.aclose()


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, real: System) -> Path:
    """A folder as people have them; commands of this test find the orchestrator."""
    monkeypatch.setenv("METAMCP_DATA", str(real.running.data))
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "project"
    write(folder, "src/app.py", APP)
    write(folder, "src/broken.py", "def (((\n")
    write(folder, "web/a.ts", "export const twice = (x: number) => 2 * x;\n")
    write(folder, "Dockerfile", "FROM scratch\n")
    write(folder, ".gitignore", "made/\n")
    write(folder, "made/app.py", APP)
    write(folder, "node_modules/x/index.js", "eval(x)\n")
    (folder / "logo.png").write_bytes(b"\x89PNG\0\0")
    (folder / "src/wide.py").write_text(APP, encoding="utf-16")
    (folder / "src/old.py").write_text("# é\n" + APP, encoding="latin-1")
    (folder / "link").symlink_to("src")
    return folder


async def metamcp(*arguments: str) -> tuple[int, str, str]:
    """Run a command to its end."""
    async with program(*arguments) as one:
        async with asyncio.timeout(600):
            out, err = await one.process.communicate()
        assert one.process.returncode is not None
        return one.process.returncode, out.decode(), err.decode()


async def test_a_scan_finds_what_is_wrong_and_says_what_it_looked_at(
    project: Path, tmp_path: Path
) -> None:
    code, out, err = await metamcp("scan", "project", "--sarif", "out.sarif")
    assert code == 1, out + err
    assert "; left out: 1 binary, 1 ignored, 1 installed, 1 links\n" in err
    for words in ("src/app.py:7", "python-os-system", "CWE-78", "typescript", "scanned: "):
        assert words in out
    assert "made/" not in out
    assert "node_modules" not in out
    log = json.loads((tmp_path / "out.sarif").read_text())
    places = [one["locations"][0]["physicalLocation"] for one in log["runs"][0]["results"]]
    found = {(one["artifactLocation"]["uri"], one["region"]["startLine"]) for one in places}
    assert {FINDING[:2], ("src/old.py", 8), ("src/wide.py", 7)} <= found


async def scanned(*arguments: str) -> dict[str, Any]:
    code, out, err = await metamcp("scan", *arguments, "--json")
    assert code in (0, 1), out + err
    document: dict[str, Any] = json.loads(out)
    return document


async def archive_of(real: System, document: dict[str, Any], type_: str) -> str:
    """Digest of the archive that a task was sent with."""
    task = document[type_]["task"]["id"]
    events = (await real.get(f"/api/tasks/{task}/events")).json()["data"]
    found = re.search(r'"archive":.*?"sha256": ?"([0-9a-f]{64})"', json.dumps(events))
    assert found is not None
    return found[1]


@pytest.mark.parametrize("count", [150, pytest.param(1500, marks=pytest.mark.long)])
async def test_many_files_are_sent_once_and_are_the_same_archive_each_time(
    real: System, project: Path, count: int
) -> None:
    # Together they are more than what goes along in an input.
    text = f"def f{{0}}():\n    return {{0}}\n# {'-' * 500}\n"
    for number in range(count):
        write(project, f"gen/{number % 7}/{number}.py", text.format(number))
    first = await scanned("project")
    second = await scanned("project", "--only", "symbols")
    found = {(one["path"], one["line"], one["rule"]) for one in findings(first)}
    assert FINDING in found
    analysis = first["code_analysis"]["result"]["structured"]
    assert {f"gen/{number % 7}/{number}.py" for number in range(count)} <= {
        one["path"] for one in analysis["files"]
    }
    digests = {await archive_of(real, first, type_) for type_ in TYPES}
    assert digests == {await archive_of(real, second, "code_analysis")}


def findings(document: dict[str, Any]) -> list[dict[str, Any]]:
    structured = document["security_scan"]["result"]["structured"]
    listed: list[dict[str, Any]] = structured["findings"]
    return listed


async def test_one_file_is_scanned_by_its_name_alone(project: Path) -> None:
    code, out, err = await metamcp(
        "submit", "security_scan", "--file", "project/src/app.py", "--wait"
    )
    assert code == 0, out + err
    assert "app.py:7" in out
    task = re.match(r"task (\S+)\n", err)
    assert task is not None
    code, sarif, err = await metamcp("results", task[1], "--sarif", "-")
    assert code == 0, err
    assert json.loads(sarif)["version"] == "2.1.0"
    code, out, _ = await metamcp(
        "submit", "code_analysis", "--file", "project/src/app.py", "--wait"
    )
    assert code == 0
    assert ["class", "App", "4-8"] in [line.split() for line in out.splitlines()]


async def test_what_is_fine_ends_with_0(project: Path) -> None:
    write(project, "good/a.py", "def twice(x):\n    return 2 * x\n")
    code, out, err = await metamcp("scan", "project/good", "--fail-on", "info")
    assert code == 0, out + err
    assert "no findings" in out


async def test_ctrl_c_ends_the_waiting_and_the_tasks_go_on(project: Path) -> None:
    async with program("scan", "project") as one:
        tasks = [await id_of(one, type_) for type_ in TYPES]
        one.process.send_signal(signal.SIGINT)
        code, out = await one.ended()
    assert (code, out) == (130, "")
    assert "metamcp watch" in one.said
    for task in tasks:
        code, out, err = await metamcp("watch", task)
        assert code == 0, out + err
        assert "succeeded" in out


async def id_of(one: Program, type_: str) -> str:
    return await one.says(rf"{type_} is task (\S+)\n")
