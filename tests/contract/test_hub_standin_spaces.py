"""Spaces of the stand-in of the Hub: listed, made, run, put to sleep, woken, asked."""

from __future__ import annotations

import asyncio
import contextlib
import json
import shutil
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from huggingface_hub import HfApi

from tests.support import space
from tests.support.http_mcp import http_server
from tests.support.hub import HubServer, hub_server
from tests.support.space import Caller, Issuer
from tests.support.system import until

# The library's own use of its HTTP client.
pytestmark = [
    pytest.mark.long,
    pytest.mark.filterwarnings("ignore:Use 'content=<...>':DeprecationWarning"),
]

ISSUER = Issuer()
KIT = "ann/My.Kit"
BIG = 20_000_000


@pytest.fixture
async def hub(tmp_path: Path) -> AsyncIterator[HubServer]:
    async with hub_server(tmp_path / "hub") as hub:
        yield hub


@pytest.fixture
def api(hub: HubServer) -> HfApi:
    return HfApi(endpoint=hub.url, token=hub.account("ann"))


@pytest.fixture
async def http(hub: HubServer, api: HfApi) -> AsyncIterator[httpx.AsyncClient]:
    """Asks with the owner's token."""
    signed = {"Authorization": f"Bearer {api.token}"}
    async with httpx.AsyncClient(trust_env=False, timeout=60, headers=signed) as http:
        yield http


def url_of(hub: HubServer, space: str) -> str:
    subdomain = space.lower().replace("/", "-").replace(".", "-")
    return hub.space_url.format(subdomain=subdomain)


def kit(folder: Path) -> Path:
    """The files of deploy/space around the recording server."""
    skipped = shutil.ignore_patterns("__pycache__")
    shutil.copytree(space.KIT, folder / "kit", ignore=skipped)
    space.configure(folder / "kit")
    return folder / "kit"


def deploy(api: HfApi, folder: Path) -> None:
    api.upload_folder(repo_id=KIT, repo_type="space", folder_path=folder, commit_message="deploy")


def create(api: HfApi, name: str = KIT, sdk: str = "docker", **more: Any) -> None:
    api.create_repo(name, repo_type="space", space_sdk=sdk, private=True, **more)


async def running_kit(hub: HubServer, api: HfApi, tmp_path: Path) -> str:
    """Make a private Space of the kit; its URL, once it is healthy."""
    variables = [
        {"key": "METAMCP_JWKS", "value": json.dumps(ISSUER.jwks)},
        {"key": "METAMCP_OWNER", "value": space.OWNERS},
        {"key": "METAMCP_PUBLIC_URL", "value": space.AUDIENCE},
    ]
    create(api, space_variables=variables)
    assert api.get_space_runtime(KIT).stage == "NO_APP_FILE"
    deploy(api, kit(tmp_path))
    await hub.until_stage(KIT, "RUNNING")
    url = url_of(hub, KIT)
    await healthy(url, api.token)
    return url


async def healthy(url: str, token: Any) -> None:
    signed = {"Authorization": f"Bearer {token}"}
    async with httpx.AsyncClient(trust_env=False, timeout=60, headers=signed) as http:

        async def is_so() -> bool:
            return (await http.get(f"{url}/health")).status_code == 200

        await until(is_so)


@contextlib.asynccontextmanager
async def calling(url: str, token: Any) -> AsyncIterator[Caller]:
    caller = Caller(url, ISSUER)
    caller.http.headers["Authorization"] = f"Bearer {token}"
    try:
        yield caller
    finally:
        await caller.http.aclose()


def alive(pid: int | None) -> bool:
    return pid is not None and Path(f"/proc/{pid}").exists()


async def until_ended(pid: int | None) -> None:
    async def is_so() -> bool:
        return not alive(pid)

    await until(is_so)


# Lists and settings.


def test_spaces_are_listed_in_pages_for_those_who_may_see_them(hub: HubServer, api: HfApi) -> None:
    for number in range(5):
        create(api, f"ann/s{number}", "static")
    bob = HfApi(endpoint=hub.url, token=hub.account("bob"))
    bob.create_repo("bob/own", repo_type="space", space_sdk="gradio")
    hub.tag("bob/own", "mcp-server")
    hub.state.page = 2
    names = [one.id for one in api.list_spaces(author="ann")]
    assert names == [f"ann/s{number}" for number in (4, 3, 2, 1, 0)]
    assert len([one for one in hub.requests if one.path == "/api/spaces"]) == 3
    assert [one.id for one in bob.list_spaces(author="ann")] == []
    found = list(api.list_spaces(filter="mcp-server", expand=["tags", "sdk", "runtime", "sha"]))
    assert [(one.id, one.sdk) for one in found] == [("bob/own", "gradio")]
    assert "mcp-server" in (found[0].tags or [])
    assert found[0].runtime is not None
    assert found[0].runtime.stage == "NO_APP_FILE"
    # Only what is asked for, as with the real one.
    assert found[0].private is None
    assert next(iter(api.list_spaces(author="ann"))).runtime is None


def test_what_a_readme_says_becomes_tags_and_sdk(hub: HubServer, api: HfApi) -> None:
    create(api, "ann/x", "gradio")
    readme = b"---\ntitle: X\nsdk: docker\ntags: [mcp-server, metamcp]\n---\n# X\n"
    api.upload_file(
        path_or_fileobj=readme, path_in_repo="README.md", repo_id="ann/x", repo_type="space"
    )
    info = api.space_info("ann/x")
    assert info.sdk == "docker"
    assert (info.tags or [])[:3] == ["docker", "mcp-server", "metamcp"]
    assert (info.host, info.subdomain) == (url_of(hub, "ann/x"), "ann-x")
    assert info.siblings is not None
    assert {one.rfilename for one in info.siblings} == {".gitattributes", "README.md"}


def test_settings_of_a_space_are_kept(hub: HubServer, api: HfApi) -> None:
    create(api, space_hardware="cpu-upgrade", space_sleep_time=600)
    runtime = api.get_space_runtime(KIT)
    assert (runtime.requested_hardware, runtime.sleep_time) == ("cpu-upgrade", 600)
    assert api.request_space_hardware(KIT, "t4-small").requested_hardware == "t4-small"
    assert api.set_space_sleep_time(KIT, 900).sleep_time == 900
    api.add_space_variable(KIT, "ONE", "1", description="first")
    api.add_space_variable(KIT, "TWO", "2")
    left = api.delete_space_variable(KIT, "ONE")
    assert {key: one.value for key, one in left.items()} == {"TWO": "2"}
    api.add_space_secret(KIT, "WORD", "hush")
    assert set(api.get_space_secrets(KIT)) == {"WORD"}
    assert api.pause_space(KIT).stage == "PAUSED"
    stranger = HfApi(endpoint=hub.url, token=hub.account("bob"))
    assert not stranger.repo_exists(KIT, repo_type="space")


def test_a_space_can_be_made_of_another(hub: HubServer, api: HfApi) -> None:
    create(api, "ann/one", "static")
    api.upload_file(
        path_or_fileobj=b"<p>", path_in_repo="index.html", repo_id="ann/one", repo_type="space"
    )
    copy = api.duplicate_repo("ann/one", "ann/two", repo_type="space", exist_ok=True)
    assert copy.repo_id == "ann/two"
    hub.state.templates.append("ann/one")
    api.create_repo("ann/three", repo_type="space", space_template="ann/one")
    for name in ("ann/two", "ann/three"):
        assert hub.files("space", name)["index.html"] == b"<p>"
    assert (hub.repos["space", "ann/two"].private, hub.repos["space", "ann/two"].sdk) == (
        True,
        "static",
    )


# Spaces that run.


async def test_the_kit_runs_as_a_space(
    hub: HubServer, api: HfApi, http: httpx.AsyncClient, tmp_path: Path
) -> None:
    url = await running_kit(hub, api, tmp_path)
    described = (await http.get(f"{url}/mcp.json")).json()
    assert described["name"] == "Recorder"
    assert api.get_space_runtime(KIT).hardware == "cpu-basic"
    nobody = await http.get(f"{url}/health", headers={"Authorization": ""})
    stranger = {"Authorization": f"Bearer {hub.account('bob')}"}
    for refused in (nobody, await http.get(f"{url}/health", headers=stranger)):
        assert (refused.status_code, refused.headers["content-type"]) == (
            404,
            "text/html; charset=utf-8",
        )
    async with calling(url, api.token) as caller:
        answer = await caller.execute("big", "big", {"bytes": BIG})
        assert answer.status_code == 200
        assert len(answer.content) > BIG
        assert (await caller.execute("no", "none")).status_code == 404
    hub.state.repos["space", KIT].private = False
    assert (await http.get(f"{url}/health", headers={"Authorization": ""})).status_code == 200


async def test_who_hangs_up_cancels_the_call(hub: HubServer, api: HfApi, tmp_path: Path) -> None:
    url = await running_kit(hub, api, tmp_path)
    record = tmp_path / "calls.jsonl"

    def ends(event: str) -> list[dict[str, Any]]:
        lines = map(json.loads, record.read_text().splitlines()) if record.exists() else []
        return [line for line in lines if line["event"] == event and line["task"] == "gone"]

    async def started() -> bool:
        return bool(ends("start"))

    async def ended() -> bool:
        return bool(ends("end"))

    async with calling(url, api.token) as caller:
        asking = asyncio.create_task(caller.execute("gone", "hang"))
        await until(started)
        asking.cancel()
        await until(ended)
        assert ends("end")[0]["how"] == "cancelled"


async def test_a_sleeping_space_wakes_when_it_is_asked(
    hub: HubServer, api: HfApi, http: httpx.AsyncClient, tmp_path: Path
) -> None:
    url = await running_kit(hub, api, tmp_path)
    pid = hub.pid(KIT)
    hub.stage(KIT, "SLEEPING")
    await until_ended(pid)
    assert api.get_space_runtime(KIT).stage == "SLEEPING"
    asleep = await http.get(f"{url}/mcp.json")
    assert (asleep.status_code, asleep.headers["content-type"]) == (503, "text/html; charset=utf-8")
    await hub.until_stage(KIT, "RUNNING")
    assert (await http.get(f"{url}/mcp.json")).json()["name"] == "Recorder"
    assert hub.pid(KIT) != pid


async def test_a_paused_space_stays_so_until_it_is_restarted(
    hub: HubServer, api: HfApi, http: httpx.AsyncClient, tmp_path: Path
) -> None:
    url = await running_kit(hub, api, tmp_path)
    pid = hub.pid(KIT)
    assert api.pause_space(KIT).stage == "PAUSED"
    await until_ended(pid)
    assert (await http.get(f"{url}/health")).status_code == 503
    assert hub.stage_of(KIT) == "PAUSED"
    assert api.restart_space(KIT).stage == "APP_STARTING"
    await hub.until_stage(KIT, "RUNNING")
    await healthy(url, api.token)


async def test_a_commit_replaces_what_runs_and_a_variable_restarts_it(
    hub: HubServer, api: HfApi, http: httpx.AsyncClient, tmp_path: Path
) -> None:
    url = await running_kit(hub, api, tmp_path)
    first = hub.pid(KIT)
    manifest = json.loads((tmp_path / "kit" / "mcp.json").read_text()) | {"version": "2.0.0"}
    (tmp_path / "kit" / "mcp.json").write_text(json.dumps(manifest))
    deploy(api, tmp_path / "kit")
    assert hub.stage_of(KIT) in ("RUNNING_BUILDING", "RUNNING_APP_STARTING", "RUNNING")
    await until_ended(first)
    assert (await http.get(f"{url}/mcp.json")).json()["version"] == "2.0.0"
    second = hub.pid(KIT)
    api.add_space_variable(KIT, "METAMCP_MAX_BODY", "1000")
    await until_ended(second)
    await hub.until_stage(KIT, "RUNNING")
    await healthy(url, api.token)
    third = hub.pid(KIT)
    api.restart_space(KIT, factory_reboot=True)
    await until_ended(third)
    await hub.until_stage(KIT, "RUNNING")


async def test_what_goes_wrong_is_said(hub: HubServer, api: HfApi, tmp_path: Path) -> None:
    folder = kit(tmp_path)
    create(api)

    async def at(stage: str) -> str:
        async def is_so() -> bool:
            return hub.stage_of(KIT) == stage

        await until(is_so)
        raw = api.get_space_runtime(KIT).raw
        return str(raw["errorMessage"])

    # Nobody to work for: the app says so and ends.
    deploy(api, folder)
    assert "METAMCP_OWNER" in await at("RUNTIME_ERROR")
    (folder / "Dockerfile").write_text("FROM python\nCOPY nothing.txt ./\n")
    deploy(api, folder)
    assert "nothing.txt" in await at("BUILD_ERROR")
    api.delete_file("Dockerfile", KIT, repo_type="space")
    assert hub.stage_of(KIT) == "NO_APP_FILE"
    assert hub.pid(KIT) is None


async def test_nothing_is_left_when_the_hub_ends(tmp_path: Path) -> None:
    async with hub_server(tmp_path / "hub") as hub:
        api = HfApi(endpoint=hub.url, token=hub.account("ann"))
        await running_kit(hub, api, tmp_path)
        pid = hub.pid(KIT)
        lines = map(json.loads, (tmp_path / "calls.jsonl").read_text().splitlines())
        servers = [line["pid"] for line in lines if line["event"] == "server"]
        assert alive(pid)
        assert servers
    assert not alive(pid)
    for server in servers:
        await until_ended(server)


async def test_a_space_is_served_under_the_subdomain_that_the_hub_gives_it(
    hub: HubServer, api: HfApi, http: httpx.AsyncClient, tmp_path: Path
) -> None:
    """As with the real one where two Spaces would have the same: only the API says which."""
    other = HfApi(endpoint=hub.url, token=hub.account("ann-my"))
    create(api, "ann/my-tool", "gradio")
    create(other, "ann-my/tool", "gradio")
    hub.repos["space", "ann-my/tool"].served_as = "ann-my-tool-2"
    async with http_server(tmp_path / "calls.jsonl", JSON="1") as server:
        hub.serve("ann/my-tool", server.url, at="/mine")
        await hub.until_stage("ann/my-tool", "RUNNING")
        hub.stage("ann-my/tool", "PAUSED")
        found = [*api.list_spaces(author="ann", expand=["subdomain"])]
        assert [(one.id, one.subdomain) for one in found] == [("ann/my-tool", "ann-my-tool")]
        assert other.space_info("ann-my/tool").subdomain == "ann-my-tool-2"
        at = [hub.space_url.format(subdomain=name) for name in ("ann-my-tool", "ann-my-tool-2")]
        theirs = {"Authorization": f"Bearer {other.token}"}
        assert (await http.get(f"{at[0]}/mine/")).status_code != 404
        assert (await http.get(f"{at[1]}/mine/", headers=theirs)).status_code == 503


async def test_a_gradio_space_is_what_the_test_serves(
    hub: HubServer, api: HfApi, http: httpx.AsyncClient, tmp_path: Path
) -> None:
    create(api, "ann/tool", "gradio")
    hub.tag("ann/tool", "mcp-server")
    async with http_server(tmp_path / "calls.jsonl", JSON="1") as server:
        hub.serve("ann/tool", server.url, at="/gradio_api/mcp")
        await hub.until_stage("ann/tool", "RUNNING")
        hello = {
            "jsonrpc": "2.0",
            "id": 1,
            "method": "initialize",
            "params": {
                "protocolVersion": "2025-06-18",
                "capabilities": {},
                "clientInfo": {"name": "test", "version": "1"},
            },
        }
        accept = {"Accept": "application/json, text/event-stream"}
        url = url_of(hub, "ann/tool")
        answer = await http.post(f"{url}/gradio_api/mcp/", json=hello, headers=accept)
        assert answer.json()["result"]["serverInfo"]["name"] == "recorder"
        assert (await http.get(f"{url}/other")).status_code == 404
        hub.stage("ann/tool", "SLEEPING")
        assert (await http.get(f"{url}/gradio_api/mcp/")).status_code == 503
        await hub.until_stage("ann/tool", "RUNNING")
    # The app has gone, and the Hub can't know.
    assert (await http.get(f"{url}/gradio_api/mcp/")).status_code == 503
