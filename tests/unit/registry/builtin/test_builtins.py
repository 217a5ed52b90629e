"""The hosts that come along: as the specification has them, and GitHub's with a stand-in of it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from contracts.account import Provider
from contracts.facts import FailureKind
from contracts.host import Capability, Flags, Host, Stdio, StreamableHttp, Tool
from contracts.task import TaskSpec
from services.executor.attempt.call import Call, HostError, Opening
from services.executor.attempt.plan import KnownHost, prepare
from services.executor.attempt.workspace import Workspace
from services.executor.hosts.pool import Pool
from services.keys.secrets import Secrets
from services.registry.builtin import pinned
from services.registry.manifests import manifest
from services.registry.manifests.manifest import BUILTIN, Places
from services.registry.probes import child
from services.registry.probes.child import Reach
from tests.support.github_mcp import GitHub, github
from tests.support.real_servers import always, no_progress
from tests.unit.executor.world import routed, spec

ANN, BOB = "ghp_anns_token", "ghp_bobs_token"
MINE = {"owner": "ann", "repo": "notes"}
OFFICIAL = "https://api.githubcopilot.com/mcp/"
SECURITY = Capability("security_analysis", "1.0.0", ("scan", "vulnerability", "sast"))
ANALYSIS = Capability("code_analysis", "1.0.0", ("parse", "ast", "semantic"))
LOCAL = Flags(can_run_on_user_space=True, result_pointer_preferred=True, fallback_to_oracle=False)
GITHUB = (
    Capability("file_operations", "1.0.0", ("read", "write", "search")),
    Capability("repository_management", "1.0.0", ("create", "clone", "commit")),
)


def builtins(folder: Path = Path("data")) -> dict[str, Host]:
    return {host.id: host for host in manifest.load([], Places(folder))}


@pytest.mark.parametrize(
    ("id_", "name", "capabilities", "types", "flags"),
    [
        ("github-mcp", "GitHub MCP", GITHUB, {"file_search", "repo_management"}, Flags()),
        (
            "tree-sitter-mcp",
            "Tree-sitter MCP",
            (ANALYSIS,),
            set(),
            LOCAL,
        ),
        (
            "semgrep-mcp",
            "Semgrep MCP",
            (SECURITY,),
            {"security_scan", "vulnerability_analysis"},
            LOCAL,
        ),
    ],
)
def test_the_three_of_the_specification(
    id_: str, name: str, capabilities: tuple[Capability, ...], types: set[str], flags: Flags
) -> None:
    host = builtins()[id_]
    assert (host.name, host.capabilities, host.flags) == (name, capabilities, flags)
    assert types <= host.task_types.keys()
    assert host.enabled


def test_code_is_analysed_by_the_server_of_ours_alone() -> None:
    serving = {
        type_: [name for name, host in builtins().items() if type_ in host.task_types]
        for type_ in ("code_analysis", "ast_parsing", "code_search")
    }
    assert set(map(tuple, serving.values())) == {("code-mcp",)}
    (offered,) = builtins()["code-mcp"].capabilities
    assert offered.name == ANALYSIS.name
    assert set(ANALYSIS.parameters) <= set(offered.parameters)


def test_the_first_to_start_are_the_quick_ones() -> None:
    local = [host.id for host in builtins().values() if isinstance(host.endpoint, Stdio)]
    assert local[-1] == "semgrep-mcp", "its installation must not hold up the others"


def test_each_starts_from_pins_that_are_there(tmp_path: Path) -> None:
    for host in builtins(tmp_path).values():
        if isinstance(host.endpoint, Stdio) and host.id != "git-mcp":
            pins = Path(host.endpoint.args[host.endpoint.args.index("--pins") + 1])
            assert pins.is_file()
            assert pinned.place(tmp_path / "servers", pins).parent == tmp_path / "servers"
            assert host.limits.start_s >= 180, "the first start installs it"


def test_everything_that_changes_something_is_done_once() -> None:
    once = {
        name
        for host in builtins().values()
        for name, binding in host.task_types.items()
        if not binding.replayable
    }
    assert once == {"repo_management", "repo_commit", "repo_branch", "repo_fork"}


def test_the_page_about_them_names_every_type() -> None:
    page = (Path(__file__).parents[4] / "docs" / "builtins.md").read_text()
    for host in builtins().values():
        assert {name for name in host.task_types if f"`{name}`" not in page} == set(), host.id


# GitHub.


@pytest.fixture
async def hub() -> AsyncIterator[GitHub]:
    async with github() as hub:
        hub.logins = {ANN: "ann", BOB: "bob"}
        yield hub


@pytest.fixture
def host(hub: GitHub, tmp_path: Path) -> Host:
    """The built-in host, at the stand-in's address."""
    _, section = BUILTIN.read_text().split("[hosts.github-mcp]", 1)
    assert section.count(OFFICIAL) == 1
    path = tmp_path / "github.toml"
    path.write_text("[hosts.github-mcp]" + section.replace(OFFICIAL, hub.url))
    found = {one.id: one for one in manifest.load([path], Places(tmp_path))}["github-mcp"]
    assert found.endpoint == StreamableHttp(hub.url, bearer_from="GITHUB_TOKEN")
    return found


class Desk:
    """The executor's sessions with GitHub, for several users."""

    def __init__(self, folder: Path, host: Host, **secrets: Any) -> None:
        self.folder = folder
        self.known = KnownHost(1, host)
        found = Secrets(folder / "secrets", secrets.pop("environment", {}), **secrets)
        self.pool = Pool(Opening(host, folder), 8, found)
        self._done = 0

    async def run(self, user: str, type_: str, **input_: Any) -> Any:
        self._done += 1
        raw = msgspec.json.encode(input_)
        plan = prepare(
            self.known,
            routed(f"t{self._done}", spec()),
            TaskSpec(type=type_, input=msgspec.Raw(raw)),
            raw,
            "permit",
        )._replace(user=user)
        workspace = Workspace(self.folder / "w", user, f"t{self._done}", 1)
        answer = await self.pool.call(self.known, Call(plan, workspace, no_progress, always))
        assert isinstance(answer, dict)
        return answer

    async def failure(self, user: str, type_: str, **input_: Any) -> HostError:
        with pytest.raises(HostError) as failure:
            await self.run(user, type_, **input_)
        return failure.value


async def accounts(user: str, provider: Provider) -> str | None:
    """Ann has linked her account at GitHub."""
    return {"ann": ANN}.get(user) if provider is Provider.GITHUB else None


@pytest.fixture
async def desk(host: Host, tmp_path: Path) -> AsyncIterator[Desk]:
    desk = Desk(tmp_path, host, linked=accounts)
    yield desk
    await desk.pool.close()


async def listed(host: Host, hub: GitHub) -> tuple[Tool, ...]:
    reach = Reach(Secrets(Path("nowhere"), {"GITHUB_TOKEN": BOB}))
    prober = child.prober(host, asyncio.Semaphore(1), 30.0, reach)
    answer = await prober.probe()
    await prober.close()
    assert answer.reason == ""
    assert hub.calls == [("bob", "get_me")], "a real call, with the shared token"
    assert answer.discovery is not None
    return answer.discovery.tools


async def test_every_step_fits_the_tool_it_calls(host: Host, hub: GitHub) -> None:
    tools = {tool.name: tool.input_schema for tool in await listed(host, hub)}
    for name, binding in host.task_types.items():
        for step in binding.steps:
            schema = tools[step.tool]
            assert step.arguments.keys() <= schema["properties"].keys(), name
            needed = {
                key
                for key, value in step.arguments.items()
                if not str(value).endswith("?") and "|" not in str(value)
            }
            taken = {str(step.arguments[key]).split(".")[1] for key in needed}
            assert taken <= set(binding.input_schema["required"]), name
            assert set(schema["required"]) <= step.arguments.keys(), name


async def test_a_repository_from_its_first_commit_to_a_copy(desk: Desk, hub: GitHub) -> None:
    made = await desk.run("ann", "repo_management", name="notes", private=False)
    assert made["structured"]["url"] == "https://github.com/ann/notes"
    change = {"path": "src/a.py", "content": "def needle(): ...\n"}
    await desk.run("ann", "repo_commit", **MINE, changes=[change], message="Add a")
    await desk.run("ann", "repo_branch", **MINE, branch="next")
    change = {"path": "b.py", "content": "needle()\n"}
    await desk.run("ann", "repo_commit", **MINE, branch="next", changes=[change], message="Add b")
    history = await desk.run("ann", "repo_history", **MINE, branch="next", per_page=2)
    assert [one["commit"]["message"] for one in history["structured"]["result"]] == [
        "Add b",
        "Add a",
    ]
    file = await desk.run("ann", "file_read", **MINE, path="b.py", ref="refs/heads/next")
    assert file["content"][1]["resource"]["text"] == "needle()\n"
    top = await desk.run("ann", "file_read", **MINE)
    assert top["content"][0]["text"].splitlines() == ["README.md", "src/a.py"]
    found = await desk.run("ann", "file_search", query="needle repo:ann/notes")
    assert [one["path"] for one in found["structured"]["items"]] == ["src/a.py"]
    await desk.run("ann", "repo_fork", **MINE, organization="readers")
    assert hub.repos["readers/notes"].files() == hub.repos["ann/notes"].files()
    assert {login for login, _ in hub.calls} == {"ann"}


async def test_a_repository_is_private_and_has_a_branch_unless_told(
    desk: Desk, hub: GitHub
) -> None:
    await desk.run("ann", "repo_management", name="diary")
    assert hub.repos["ann/diary"].private
    assert set(hub.repos["ann/diary"].files()) == {"README.md"}
    again = await desk.failure("ann", "repo_management", name="diary")
    assert again.kind is FailureKind.TOOL
    assert "already exists" in again.message


async def test_a_linked_account_is_enough_and_without_one_it_is_said(
    desk: Desk, hub: GitHub
) -> None:
    await desk.run("ann", "file_search", query="x")
    assert hub.calls == [("ann", "search_code")]
    failure = await desk.failure("carol", "file_search", query="x")
    assert (failure.kind, failure.called) == (FailureKind.UNREACHABLE, False)
    assert "GITHUB_TOKEN" in failure.message
    assert (hub.calls, hub.refused) == ([("ann", "search_code")], 0)


async def test_the_operators_token_is_for_those_without_their_own(
    host: Host, hub: GitHub, tmp_path: Path
) -> None:
    desk = Desk(tmp_path, host, linked=accounts, environment={"GITHUB_TOKEN": BOB})
    for user in ("ann", "carol"):
        await desk.run(user, "file_search", query="x")
    assert hub.calls == [("ann", "search_code"), ("bob", "search_code")]
    await desk.pool.close()


async def test_a_token_that_github_does_not_know_is_refused_and_never_shown(
    host: Host, tmp_path: Path
) -> None:
    desk = Desk(tmp_path, host, environment={"GITHUB_TOKEN": "ghp_forgotten"})
    failure = await desk.failure("ann", "file_search", query="x")
    assert failure.kind is FailureKind.UNREACHABLE
    assert "401" in failure.message
    assert "forgotten" not in failure.message
    await desk.pool.close()


async def test_one_user_never_sees_the_private_files_of_another(
    desk: Desk, host: Host, hub: GitHub, tmp_path: Path
) -> None:
    await desk.run("ann", "repo_management", name="diary", description="needle")
    others = Desk(tmp_path, host, environment={"GITHUB_TOKEN": BOB})
    found = await others.run("bob", "file_search", query="needle")
    assert found["structured"]["items"] == []
    failure = await others.failure("bob", "file_read", owner="ann", repo="diary")
    assert failure.kind is FailureKind.TOOL
    await others.pool.close()
