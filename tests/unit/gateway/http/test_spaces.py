"""Spaces of a linked account over the HTTP API, with the Hub's stand-in."""

from __future__ import annotations

import shutil
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest

from contracts.facts import McpRegistered
from contracts.host import SPACE, Execute, Host, Placement
from services.gateway.http.linking import KIT
from services.process.ids import new_id
from tests.support.nats import NatsServer
from tests.unit.gateway.hub_world import (
    SPACES,
    Linked,
    created,
    error_of,
    key_known,
    linked_world,
    variables,
)
from tests.unit.gateway.world import SETTINGS, world

HEAVY = "/api/spaces/ann/heavy"
NAMES = (b"", b"bob/heavy", b"../x", b".hidden", b"a b", b"a..b", b"x" * 97)
BAD = (
    *(b"", b"[]", b"{}", b"[" * 5000, b'{"name": 1}'),
    *(b'{"name": "%s"}' % name for name in NAMES),
    *(b'{"name": "x", "sdk": "cobol"}', b'{"name": "x", "sdk": null}'),
    *(b'{"name": "x", "owner": "bob"}', b'{"name": "x", "private": "no"}'),
)
# Says in which folder it was built and then started.
APP = b"""
import http.server, os

class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
        self.wfile.write(os.getcwd().encode())

server = http.server.HTTPServer(("127.0.0.1", 0), Handler)
print(f"running on http://127.0.0.1:{server.server_port}", flush=True)
server.serve_forever()
"""


@pytest.fixture
async def gateway(fresh_nats: NatsServer, tmp_path: Path) -> AsyncIterator[Linked]:
    async with linked_world(fresh_nats, tmp_path) as one:
        yield one


@pytest.fixture
async def client(gateway: Linked) -> AsyncIterator[httpx.AsyncClient]:
    """Alice's, who is ann at Hugging Face."""
    async with gateway.http() as client:
        await gateway.link(client, "ann")
        yield client


async def of(client: httpx.AsyncClient, path: str = HEAVY) -> dict[str, Any]:
    answer = await client.get(path)
    assert answer.status_code == 200, answer.text
    return answer.json()["data"]  # type: ignore[no-any-return]


async def test_a_space_is_made_once(gateway: Linked, client: httpx.AsyncClient) -> None:
    assert (await client.get(SPACES)).json()["data"] == []
    made = await created(client)
    assert (made["repo"], made["sdk"], made["private"]) == ("ann/heavy", "docker", True)
    assert (made["stage"], made["host"]) == ("NO_APP_FILE", "")
    assert made["page"] == f"{gateway.hub.url}/spaces/ann/heavy"
    assert await created(client) == made
    assert await of(client) == made
    assert len(gateway.hub.commits("space", "ann/heavy")) == 1
    other = await client.post(SPACES, json={"name": "heavy", "sdk": "gradio"})
    assert "its SDK is docker, not gradio" in error_of(other, 400).message


async def test_how_a_space_is_made(gateway: Linked, client: httpx.AsyncClient) -> None:
    wanted = {"sdk": "gradio", "hardware": "cpu-upgrade", "private": False}
    made = await created(client, "tools", **wanted)
    assert (made["sdk"], made["private"]) == ("gradio", False)
    assert gateway.hub.repos["space", "ann/tools"].runtime.requested == "cpu-upgrade"
    gateway.hub.state.templates.append("ann/tools")
    copied = await created(client, "copy", template="ann/tools")
    assert (copied["repo"], copied["sdk"], copied["private"]) == ("ann/copy", "gradio", True)
    listed = (await client.get(SPACES)).json()["data"]
    assert {one["repo"] for one in listed} == {"ann/tools", "ann/copy"}


async def test_spaces_that_can_not_be_made(gateway: Linked, client: httpx.AsyncClient) -> None:
    for body in BAD:
        refused = error_of(await client.post(SPACES, content=body), 400)
        assert refused.reason == "bad_request", body
    assert gateway.hub.repos == {}


async def test_the_kit_is_deployed_once(
    gateway: Linked, client: httpx.AsyncClient, tmp_path: Path
) -> None:
    jwk = await key_known(gateway, tmp_path / "keys")
    await created(client)
    gateway.hub.stage("ann/heavy", "PAUSED")
    answer = await client.post(f"{HEAVY}/deploy")
    assert answer.status_code == 200, answer.text
    kit = {path.name: path.read_bytes() for path in KIT.glob("[!.]*") if path.is_file()}
    files = gateway.hub.files("space", "ann/heavy")
    assert {"app.py", "Dockerfile", "mcp.json", "permit.py"} <= kit.keys()
    assert {name: files.get(name) for name in kit} == kit
    assert files.keys() - kit.keys() == {".gitattributes"}
    assert variables(gateway).keys() == {"METAMCP_JWKS", "METAMCP_OWNER"}
    assert variables(gateway)["METAMCP_OWNER"] == "alice"
    assert msgspec.json.decode(variables(gateway)["METAMCP_JWKS"]) == {"keys": [jwk]}
    deployed = answer.json()["data"]
    (first, second) = gateway.hub.commits("space", "ann/heavy")
    assert (deployed["sha"], first.oid != second.oid) == (second.oid, True)
    assert set(kit) <= set(deployed["files"])
    assert "mcp-server" in deployed["tags"]
    written = gateway.asked("POST", "/variables")
    again = await client.post(f"{HEAVY}/deploy")
    assert again.json()["data"] == deployed
    assert len(gateway.hub.commits("space", "ann/heavy")) == 2
    assert gateway.asked("POST", "/variables") == written, "and the Space need not start anew"
    reached = tmp_path / "reached"
    shutil.copytree(tmp_path / "credentials", reached / "credentials")
    known = msgspec.structs.replace(SETTINGS, public_url="https://t.example")
    async with world(reached, gateway.bus, known) as second, second.http() as there:
        assert (await there.post(f"{HEAVY}/deploy")).status_code == 200
    both = "with both key sets it would not start"
    assert variables(gateway).keys() == {"METAMCP_JWKS_URL", "METAMCP_OWNER"}, both


async def test_a_new_key_reaches_the_space(
    gateway: Linked, client: httpx.AsyncClient, tmp_path: Path
) -> None:
    await created(client)
    gateway.hub.stage("ann/heavy", "PAUSED")
    for count in (1, 2):
        await key_known(gateway, tmp_path / f"keys{count}")
        assert (await client.post(f"{HEAVY}/deploy")).status_code == 200
        keys = msgspec.json.decode(variables(gateway)["METAMCP_JWKS"])["keys"]
        assert len(keys) == count
    assert len(gateway.hub.commits("space", "ann/heavy")) == 2, "no file has changed"


async def test_nothing_is_deployed_that_could_not_work(
    gateway: Linked, client: httpx.AsyncClient, tmp_path: Path
) -> None:
    await created(client)
    keyless = error_of(await client.post(f"{HEAVY}/deploy"), 503)
    assert "no executor has made a permit key" in keyless.message
    await key_known(gateway, tmp_path / "keys")
    missing = error_of(await client.post(f"{SPACES}/ann/none/deploy"), 404)
    assert "Hugging Face" in missing.message
    gateway.site.linking._kit = tmp_path / "nowhere"
    without = error_of(await client.post(f"{HEAVY}/deploy"), 503)
    assert "METAMCP_GATEWAY_SPACE_KIT" in without.message
    assert len(gateway.hub.commits("space", "ann/heavy")) == 1
    assert variables(gateway) == {}


async def test_the_kit_may_lie_elsewhere(fresh_nats: NatsServer, tmp_path: Path) -> None:
    kit = tmp_path / "kit"
    (kit / "parts").mkdir(parents=True)
    (kit / "__pycache__").mkdir()
    files = {"app.py": APP, "parts/one.txt": b"1"}
    for name in (*files, "__pycache__/app.pyc", ".env"):
        (kit / name).write_bytes(files.get(name, b"left out"))
    async with (
        linked_world(fresh_nats, tmp_path, space_kit=kit) as gateway,
        gateway.http() as client,
    ):
        await gateway.link(client, "ann")
        await key_known(gateway, tmp_path / "keys")
        await created(client)
        assert (await client.post(f"{HEAVY}/deploy")).status_code == 200
        assert files.items() <= gateway.hub.files("space", "ann/heavy").items()
        assert len(gateway.hub.files("space", "ann/heavy")) == 4, "its README.md stays"


async def test_spaces_are_started_anew(fresh_nats: NatsServer, tmp_path: Path) -> None:
    kit = tmp_path / "kit"
    kit.mkdir()
    (kit / "app.py").write_bytes(APP)
    (kit / "Dockerfile").write_text("FROM python\nCOPY app.py ./\n")
    async with (
        linked_world(fresh_nats, tmp_path, space_kit=kit) as gateway,
        gateway.http() as client,
    ):
        token = await gateway.link(client, "ann")
        await key_known(gateway, tmp_path / "keys")
        await created(client)
        assert (await client.post(f"{HEAVY}/deploy")).status_code == 200
        before = await run_of(gateway, token)
        for body, rebuilt in ((b"", False), (b'{"factory": true}', True)):
            answer = await client.post(f"{HEAVY}/restart", content=body)
            assert answer.status_code == 200, answer.text
            after = await run_of(gateway, token)
            assert after[0] != before[0], "another process"
            assert (after[1] != before[1]) is rebuilt, "from new files only if that was asked for"
            before = after
        gateway.hub.stage("ann/heavy", "PAUSED")
        assert (await of(client))["stage"] == "PAUSED"
        assert (await client.post(f"{HEAVY}/restart")).status_code == 200
        assert (await run_of(gateway, token))[0] != before[0]
        assert (await of(client))["stage"] == "RUNNING"


async def run_of(gateway: Linked, token: str) -> tuple[int | None, str]:
    """The process that runs the Space, and the folder it was started in."""
    await gateway.hub.until_stage("ann/heavy", "RUNNING")
    headers = {"Authorization": f"Bearer {token}"}
    async with httpx.AsyncClient(trust_env=False, timeout=60, headers=headers) as http:
        answer = await http.get(gateway.hub.space_url.format(subdomain="ann-heavy") + "/")
    assert answer.status_code == 200, answer.text
    return gateway.hub.pid("ann/heavy"), answer.text


async def test_a_restart_is_read_strictly(gateway: Linked, client: httpx.AsyncClient) -> None:
    await created(client)
    for body in (b"{", b"[]", b'{"factory": "yes"}', b'{"hard": true}'):
        assert error_of(await client.post(f"{HEAVY}/restart", content=body), 400).message
    assert gateway.asked("POST", "/restart") == 0


async def test_stages_and_errors_are_shown(gateway: Linked, client: httpx.AsyncClient) -> None:
    await created(client)
    for stage, error in (("SLEEPING", ""), ("BUILD_ERROR", "no FROM"), ("SOMETHING_NEW", "")):
        gateway.hub.stage("ann/heavy", stage, error)
        shown = await of(client)
        assert (shown["stage"], shown["error"]) == (stage, error)
        assert (await client.get(SPACES)).json()["data"] == [shown]


async def test_spaces_of_others_are_not_to_be_seen(
    gateway: Linked, client: httpx.AsyncClient, tmp_path: Path
) -> None:
    await key_known(gateway, tmp_path / "keys")
    await created(client)
    async with gateway.http("bob-token") as bob:
        await gateway.link(bob, "bob")
        assert (await bob.get(SPACES)).json()["data"] == []
        for method, path in (("GET", ""), ("POST", "/deploy"), ("POST", "/restart")):
            answer = await bob.request(method, HEAVY + path)
            assert error_of(answer, 404).reason == "not_found", path
        await created(client, "open", private=False)
        for path in ("deploy", "restart"):
            answer = await bob.post(f"{SPACES}/ann/open/{path}")
            assert error_of(answer, 403).reason == "forbidden", path
        assert (await created(bob))["repo"] == "bob/heavy"
    assert len(gateway.hub.commits("space", "ann/open")) == 1
    assert {one["repo"] for one in (await client.get(SPACES)).json()["data"]} == {
        "ann/heavy",
        "ann/open",
    }


async def test_a_token_that_may_only_read(
    gateway: Linked, client: httpx.AsyncClient, tmp_path: Path
) -> None:
    await key_known(gateway, tmp_path / "keys")
    await created(client)
    await gateway.link(client, "ann", role="read")
    assert len((await client.get(SPACES)).json()["data"]) == 1
    requests = [
        client.post(SPACES, json={"name": "more"}),
        client.post(f"{HEAVY}/deploy"),
        client.post(f"{HEAVY}/restart"),
    ]
    for request in requests:
        refused = error_of(await request, 403)
        assert "metamcp link huggingface" in refused.message
    assert len(gateway.hub.commits("space", "ann/heavy")) == 1


async def test_without_an_account_there_are_no_spaces(gateway: Linked, tmp_path: Path) -> None:
    await key_known(gateway, tmp_path / "keys")
    paths = {"": "GET", "/ann/heavy": "GET", "/ann/heavy/deploy": "POST"}
    async with gateway.http() as client:
        answers = [await client.request(paths[path], SPACES + path) for path in paths]
        answers.append(await client.post(f"{HEAVY}/restart"))
        answers.append(await client.post(SPACES, json={"name": "heavy"}))
        for answer in answers:
            assert "`metamcp link huggingface`" in error_of(answer, 404).message
    assert gateway.hub.requests == []


async def test_strangers_are_asked_who_they_are(gateway: Linked) -> None:
    async with gateway.http(None) as client:
        for method, path in (("GET", SPACES), ("POST", SPACES), ("POST", f"{HEAVY}/deploy")):
            assert error_of(await client.request(method, path), 401).reason == "unauthorized"


async def test_what_is_no_space(client: httpx.AsyncClient) -> None:
    for path in ("ann/a%20b", "a%20b/heavy", "ann/-x-", "ann/a..b"):
        assert error_of(await client.get(f"{SPACES}/{path}"), 400).reason == "bad_request", path
    for path in ("ann/none", "ann/..%2Fx", "ann", "ann/heavy/none"):
        assert error_of(await client.get(f"{SPACES}/{path}"), 404).reason == "not_found", path


async def test_the_hub_is_away(gateway: Linked, client: httpx.AsyncClient, tmp_path: Path) -> None:
    await key_known(gateway, tmp_path / "keys")
    await created(client)
    gateway.hub.down = True
    # Not the list: the library itself goes on asking for it for half a minute.
    for method, path in (("GET", ""), ("POST", "/deploy"), ("POST", "/restart")):
        away = await client.request(method, HEAVY + path)
        assert "can't be reached" in error_of(away, 503).message, path
        assert away.headers["retry-after"]
    gateway.hub.down = False
    gateway.hub.fail("GET /api/spaces$", status=503)
    assert len((await client.get(SPACES)).json()["data"]) == 1, "tried again"


async def test_the_host_that_a_space_is_has_its_id(
    gateway: Linked, client: httpx.AsyncClient
) -> None:
    await created(client)
    await created(client, "other")
    for owner, space in (("alice", "ann/heavy"), ("bob", "ann/other")):
        host = Host(
            id=space.replace("/", "-"),
            name=space,
            endpoint=Execute(f"hf://{space}"),
            placement=Placement.USER_SPACE,
            owner=owner,
            source=SPACE,
        )
        await gateway.append(McpRegistered(id=new_id(), by="r", host=host.id, k=1, spec=host))
    await gateway.written()
    shown = {one["repo"]: one["host"] for one in (await client.get(SPACES)).json()["data"]}
    assert shown == {"ann/heavy": "ann-heavy", "ann/other": ""}, "the other one is bob's host"
    assert (await of(client))["host"] == "ann-heavy"
    assert (await created(client))["host"] == "ann-heavy"
