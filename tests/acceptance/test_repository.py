"""As docs/projects.md has it: an account linked, a project, a repository scanned by real servers,
and a colleague who reads what was found."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from services.up import up
from tests.acceptance.test_cli_folders import APP, READY_S, metamcp
from tests.support.github.server import GitHubServer, github_server
from tests.support.system import System, forked_services, until

pytestmark = [
    pytest.mark.long,
    pytest.mark.timeout(900),
    pytest.mark.asyncio(loop_scope="module"),
]
OTHERS = "git-mcp,github-mcp,tree-sitter-mcp,code-mcp"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def github() -> AsyncIterator[GitHubServer]:
    async with github_server() as server:
        yield server


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def real(
    github: GitHubServer, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[System]:
    """Everything, with the server for security scans, and GitHub elsewhere."""
    folder = tmp_path_factory.mktemp("real")
    variables = {"METAMCP_REGISTRY_DISABLED": OTHERS, "METAMCP_GATEWAY_GITHUB_URL": github.url}
    plan = up.Plan(data=folder / "data", port=0, variables=variables)
    with forked_services():
        async with up.start(plan) as running:
            one = System(running, folder / "nothing")

            async def ready() -> bool:
                hosts = (await one.get("/api/mcps")).json()["data"]
                well = [
                    host for host in hosts if host["health"]["status"] in ("healthy", "warning")
                ]
                return any("security_scan" in host["task_types"] for host in well)

            await until(ready, seconds=READY_S)
            yield one
            await one.http.aclose()


async def told(*arguments: str) -> Any:
    """What a command says with --json."""
    code, out, err = await metamcp(*arguments, "--json")
    assert code == 0, err
    return json.loads(out)


async def test_from_an_account_to_a_scanned_repository_that_a_colleague_reads(
    real: System, github: GitHubServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("METAMCP_DATA", str(real.running.data))
    monkeypatch.chdir(tmp_path)
    repo = github.repo("ann", "shop", private=True)
    commit = repo.commit({"src/app.py": APP.encode(), "setup.py": b"eval(input())\n"})
    repo.tags["v1.2"] = commit.sha
    repo.commit({"src/app.py": b"print(1)\n"})
    (tmp_path / "token").write_text(github.account("ann"))
    await told("link", "github", "--token-file", "token")
    project = await told("project", "create", "shop", "--repository", "ann/shop")
    await told("project", "add", "shop", "ben", "--role", "viewer")
    scan = ("submit", "security_scan", "--repo", "ann/shop@v1.2", "--path", "src")
    done = await told(*scan, "--project", "shop", "--wait")
    found = done["result"]["structured"]["findings"]
    assert [(one["path"], one["rule"]) for one in found] == [("src/app.py", "python-os-system")]
    task = done["task"]
    assert task["project"] == project["id"]
    assert task["spec"]["input"]["archive"]["files_from"]["commit"] == commit.sha
    assert (await metamcp("audit", task["id"]))[0] == 0
    ben = (await told("token", "add", "ben"))["token"]
    monkeypatch.setenv("METAMCP_TOKEN", ben)
    (listed,) = (await told("tasks", "--project", "shop"))["tasks"]
    assert (listed["id"], listed["user"]) == (task["id"], task["user"])
    (kept,) = (await told("project", "results", "shop"))["results"]
    assert kept["task"] == task["id"]
    code, out, err = await metamcp("result", task["id"], "--user", task["user"])
    assert code == 0, err
    assert "python-os-system" in out
    assert (await metamcp("result", task["id"]))[0] == 4
