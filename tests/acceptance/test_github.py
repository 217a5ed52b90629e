"""The built-in GitHub host end to end: a user's own token is enough, and without one it is said."""

from __future__ import annotations

from pathlib import Path

import pytest

from services.registry.manifests.manifest import BUILTIN
from tests.support.github_mcp import Repo, github
from tests.support.system import System, system, until

pytestmark = [pytest.mark.acceptance, pytest.mark.timeout(180)]
OFFICIAL = "https://api.githubcopilot.com/mcp/"
TOKEN = "ghp_of_the_local_user"


async def health(one: System) -> dict[str, str]:
    found = (await one.get("/api/mcps")).json()["data"]
    return next((host["health"] for host in found if host["id"] == "github-mcp"), {})


def own_secret(data: Path) -> Path:
    path = data / "secrets" / "local" / "GITHUB_TOKEN"
    path.parent.mkdir(parents=True)
    path.write_text(TOKEN)
    path.chmod(0o600)
    return path


async def test_a_users_own_token_is_enough(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("GITHUB_TOKEN", raising=False)
    secret = own_secret(tmp_path / "data")
    async with github() as hub:
        hub.logins = {TOKEN: "octocat"}
        hub.repos["octocat/notes"] = Repo(True, {"main": [("First", {"a.py": "needle = 1\n"})]})
        _, section = BUILTIN.read_text().split("[hosts.github-mcp]", 1)
        hosts = tmp_path / "github.toml"
        hosts.write_text("[hosts.github-mcp]" + section.replace(OFFICIAL, hub.url))
        async with system(tmp_path, {"one": 1}, extra=hosts, real=False) as one:

            async def told() -> bool:
                return (await health(one)).get("status") == "warning"

            await until(told)
            assert "`metamcp link github`" in (await health(one))["reason"]
            task = await one.submit("file_search", input={"query": "needle repo:octocat/notes"})
            found = await one.finished(task)
            assert (found["status"], found["host"]) == ("succeeded", "github-mcp"), found
            assert hub.calls == [("octocat", "search_code")]

            secret.unlink()
            task = await one.submit("file_search", input={"query": "x"}, max_attempts=1)
            found = await one.finished(task)
            assert found["status"] == "failed", found
            assert "`metamcp link github`" in found["error"]["message"]
            assert hub.calls == [("octocat", "search_code")]
            assert TOKEN not in str(await one.facts())
