"""Probes over HTTP: health of `/execute` hosts, and MCP servers behind a URL, mistreated."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import msgspec
import pytest

from contracts.host import Execute, Host, Limits, Probe, StreamableHttp
from services.keys.secrets import Secrets
from services.outside.site import SitePage
from services.registry.probes import child
from services.registry.probes.child import ProbeOutcome, Reach, Sick
from services.registry.probes.http import judged
from tests.support.http_host import answer, hang, parts, serving
from tests.support.http_mcp import HttpServer, http_server

HEALTHY = answer({"status": "healthy"})
REACH = Reach(Secrets(Path("nowhere"), {}))


def space(url: str, bearer_from: str | None = None, start_s: float = 1.0, **fields: Any) -> Host:
    endpoint = Execute(url, headers={"X-Team": "red"}, bearer_from=bearer_from)
    return Host(id="s", name="s", endpoint=endpoint, limits=Limits(start_s=start_s), **fields)


async def once(host: Host, limit_s: float = 10.0, reach: Reach = REACH) -> ProbeOutcome:
    prober = child.prober(host, asyncio.Semaphore(1), limit_s, reach)
    try:
        return await prober.probe()
    finally:
        await prober.close()


# Hosts that answer `/execute`.


@pytest.mark.parametrize("status", ["healthy", "warning"])
async def test_a_space_says_how_it_is(status: str) -> None:
    async with serving(answer({"status": status, "more": [1]})) as server:
        found = await once(space(server.url + "/base/"))
        assert (found.reason, found.discovery) == ("", None)
        assert found.latency_ms > 0
        (seen,) = server.seen
    assert (seen.method, seen.path, seen.headers["X-Team"]) == ("GET", "/base/health", "red")


@pytest.mark.parametrize(
    ("status", "body", "reason"),
    [
        (200, b'{"status": "healthy"}', ""),
        (200, b'{"status": "warning"}', ""),
        (200, b'{"status": "unhealthy"}', "unhealthy: it says 'unhealthy'"),
        (200, b'{"status": "sad", "message": "no\\ndisk"}', "unhealthy: it says 'sad': no disk"),
        (200, b'{"state": "healthy"}', "unhealthy: /health answered 200 without a status"),
        (200, b'{"status": 1}', "unhealthy: /health answered 200 without a status"),
        (200, b"healthy", "unhealthy: /health is no JSON object"),
        (200, b"[" * 9999, "unhealthy: /health is no JSON object"),
        (500, b'{"status": "healthy"}', "unhealthy: it says 'healthy', with status 500"),
        (500, b"boom", "unhealthy: /health answered 500"),
        (401, b"", "unhealthy: /health answered 401: it wants another secret, see bearer_from"),
        (404, b"", "unhealthy: /health answered 404: it is no host of the kind execute"),
        (503, b"<p>waking</p>", "starting: it has answered 503 for 9 s"),
        (503, b'{"status": "starting"}', "starting: it has answered 503 for 9 s"),
        (429, b"", "starting: it has answered 429 for 9 s"),
        (503, b'{"status": "unhealthy"}', "unhealthy: it says 'unhealthy', with status 503"),
    ],
)
def test_what_a_page_says_of_its_host(status: int, body: bytes, reason: str) -> None:
    said = judged(SitePage(status, "", None, body), 9.0)
    assert said.startswith(reason)
    assert bool(said) == bool(reason)
    assert len(said) < 400


@pytest.mark.parametrize(
    ("said", "outdated"),
    [
        ({"running": 0, "max_concurrency": 4, "server": {}}, True),
        ({"running": 0, "max_concurrency": 4, "server": {}, "kit": 1}, True),
        ({"running": 0, "max_concurrency": 4, "server": {}, "kit": "2"}, True),
        ({"running": 0, "max_concurrency": 4, "server": {}, "kit": 2}, False),
        ({"running": 0, "max_concurrency": 4, "server": {}, "kit": 3}, False),
        ({"running": 0, "server": {}}, False),
        ({}, False),
    ],
)
def test_a_space_kit_says_which_permits_it_takes(said: dict[str, Any], outdated: bool) -> None:
    page = SitePage(200, "", None, msgspec.json.encode(said | {"status": "healthy"}))
    reason = judged(page, 9.0)
    assert reason.startswith("outdated: ") is outdated
    assert bool(reason) is outdated


async def test_no_secret_is_shown_at_an_address_that_is_guessed(tmp_path: Path) -> None:
    file = tmp_path / "KEY"
    file.write_text("s3cret")
    file.chmod(0o600)
    reach = Reach(Secrets(tmp_path), "http://127.0.0.1:1/{subdomain}")
    headers = {"X-K": "{secret:KEY}"}
    for kind in (Execute, StreamableHttp):
        referring = Host(id="s", name="s", endpoint=kind("hf://ann/b-c", headers=headers))
        with pytest.raises(Sick, match="only guessed"):
            await reach.credentials(referring)
        host = Host(id="s", name="s", endpoint=kind("hf://ann/b-c", bearer_from="KEY"))
        with pytest.raises(Sick, match="only guessed"):
            await reach.credentials(host)
        with pytest.raises(Sick, match="only guessed"):
            await reach.shared(host)
        placed = msgspec.structs.replace(host.endpoint, subdomain="ann-b-c")
        known = msgspec.structs.replace(host, endpoint=placed)
        for found in (await reach.credentials(known), await reach.shared(known)):
            assert found.bearer == "s3cret"


def test_who_is_unhealthy_and_says_when_to_come_back_is_starting() -> None:
    body = b'{"status": "unhealthy", "reason": "the server is not there yet"}'
    assert judged(SitePage(503, "", 1.0, body), 9.0) == (
        "starting: it has answered 503 for 9 s: the server is not there yet"
    )


async def test_a_space_that_wakes_up_is_waited_for() -> None:
    asleep = answer(b"<p>waking</p>", 503, kind="text/html")
    async with serving(asleep, asleep, HEALTHY) as server:
        assert (await once(space(server.url, start_s=10.0))).reason == ""
        assert len(server.seen) == 3


async def test_a_space_that_does_not_wake_up_in_its_time_is_still_starting() -> None:
    async with serving(answer({}, 503)) as server:
        found = await once(space(server.url, start_s=1.5))
        assert found.reason == "starting: it has answered 503 for 1.5 s"
        assert len(server.seen) > 1


async def test_a_space_that_does_not_answer_is_given_up() -> None:
    async with serving(hang) as server:
        assert (await once(space(server.url), 0.3)).reason == (
            "no answer: asked for /health for 0.3 s"
        )
        async with asyncio.timeout(1):
            await server.gone.wait()
    found = await once(space(server.url))
    assert found.reason.startswith("no connection: ")


async def test_a_page_of_any_size_or_place_is_no_harm() -> None:
    async with serving(parts(*[b" " * 1_000_000] * 9, zipped=True)) as server:
        assert "more than 65536 bytes" in (await once(space(server.url))).reason
    async with serving(answer("", 302, Location="https://evil.test/x")) as server:
        found = await once(space(server.url))
        assert found.reason == "refused: redirected with status 302 to another place"
        theirs = space(server.url, source="alice")
        found = await once(theirs, reach=REACH._replace(allow_private=True))
        assert found.reason == "refused: redirected with status 302 to https://evil.test/x"


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("https://127.0.0.1:{port}", "no connection: 127.0.0.1 is not a public address"),
        ("http://127.0.0.1:{port}", "refused: hosts that users have registered are called by"),
    ],
)
async def test_a_users_host_is_guarded(url: str, reason: str) -> None:
    async with serving(HEALTHY) as server:
        theirs = space(url.format(port=server.url.rpartition(":")[2]), source="alice")
        found = await once(theirs)
        assert found.reason.startswith(reason)
        assert "METAMCP_ALLOW_PRIVATE_HOSTS" in found.reason
        assert server.seen == []
        allowed = REACH._replace(allow_private=True)
        theirs = space(server.url, source="alice")
        assert (await once(theirs, reach=allowed)).reason == ""


async def test_spaces_lie_where_the_operator_says() -> None:
    async with serving(HEALTHY) as server:
        reach = REACH._replace(spaces=server.url + "/{subdomain}")
        assert (await once(space("hf://alice/heavy"), reach=reach)).reason == ""
        assert server.seen[0].path == "/alice-heavy/health"


async def test_a_probe_shows_the_owners_secret_or_the_shared_one(tmp_path: Path) -> None:
    for name, text in (("SHARED", "everybodys"), ("alice/SHARED", "alices")):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
        path.chmod(0o600)
    reach = Reach(Secrets(tmp_path, {"OTHER": "operators"}), allow_private=True)
    async with serving(HEALTHY) as server:
        hosts = [
            space(server.url, "SHARED"),
            space(server.url, "SHARED", owner="alice"),
            space(server.url, "OTHER", owner="alice"),
        ]
        for host in hosts:
            assert (await once(host, reach=reach)).reason == ""
        sent = [seen.headers["Authorization"] for seen in server.seen]
        assert sent == ["Bearer everybodys", "Bearer alices", "Bearer operators"]
        theirs = space(server.url, "OTHER", owner="alice", source="alice")
        found = await once(theirs, reach=reach)
        assert found.reason.startswith(
            "no secret: it needs the secret OTHER, and it is not there: "
        )
        assert "secrets/alice/OTHER of the data folder" in found.reason
        assert len(server.seen) == 3


# MCP servers behind a URL.


def web(url: str, bearer_from: str | None = None, start_s: float = 20.0, **fields: Any) -> Host:
    return Host(
        id="w",
        name="w",
        endpoint=StreamableHttp(url, bearer_from=bearer_from),
        limits=Limits(start_s=start_s),
        probe=fields.pop("probe", Probe("echo", {"text": "hello"})),
        **fields,
    )


async def test_a_server_behind_a_url_tells_what_it_offers(tmp_path: Path) -> None:
    async with http_server(tmp_path / "record") as server:
        found = await once(web(server.url))
        assert found.reason == ""
        assert found.latency_ms > 0
        assert found.discovery is not None
        assert "echo" in {tool.name for tool in found.discovery.tools}
        assert found.discovery.protocol
        missing = await once(web(server.url, probe=Probe("ehco")))
        assert missing.reason.startswith("probe failed: the host lists no tool ehco")
        failing = await once(web(server.url, probe=Probe("fail", {"message": "because"})))
        assert failing.reason.startswith("probe failed: fail answered with an error; ")
        assert "because" not in failing.reason
        assert "because" in failing.detail
        theirs = web(server.url, probe=Probe("fail", {"message": "because"}), source="alice")
        failing = await once(theirs, reach=REACH._replace(allow_private=True))
        assert failing.reason.startswith("probe failed: fail answered: ")
        assert failing.reason.endswith("because")


async def test_a_server_that_wakes_up_is_waited_for(tmp_path: Path) -> None:
    async with http_server(tmp_path / "record", BUSY="2") as server:
        assert (await once(web(server.url))).reason == ""


async def test_a_server_that_stays_busy_is_starting(tmp_path: Path) -> None:
    async with http_server(tmp_path / "record", BUSY="100000") as server:
        found = await once(web(server.url, start_s=1.0))
        assert found.reason == "starting: it has answered 503 for 1 s"


async def test_a_server_that_went_away_is_found_again_when_it_is_back(tmp_path: Path) -> None:
    server = HttpServer(tmp_path / "record", {})
    await server.start()
    prober = child.prober(web(server.url), asyncio.Semaphore(1), 10.0, REACH)
    try:
        assert (await prober.probe()).reason == ""
        await server.kill()
        gone = await prober.probe()
        assert gone.reason.startswith("no connection: ")
        await server.start()
        assert (await prober.probe()).reason == ""
    finally:
        await server.kill()
        await prober.close()


async def test_a_server_that_wants_a_secret_says_so(tmp_path: Path) -> None:
    reach = Reach(Secrets(tmp_path, {"RIGHT": "abc", "WRONG": "xyz"}))
    async with http_server(tmp_path / "record", TOKEN="abc") as server:
        assert (await once(web(server.url, "RIGHT"), reach=reach)).reason == ""
        for host in (web(server.url), web(server.url, "WRONG")):
            found = await once(host, reach=reach)
            assert found.reason.startswith("refused: it answered 401")
            assert "xyz" not in found.reason
        missing = await once(web(server.url, "ABSENT", owner="alice"), reach=reach)
        assert missing.reason.endswith("puts it into secrets/ABSENT of the data folder")


async def test_secrets_go_into_any_header_and_are_never_told(tmp_path: Path) -> None:
    secrets = Secrets(tmp_path / "secrets", {"RIGHT": "abc", "WRONG": "xyzxyz"})
    reach = Reach(secrets, allow_private=True)
    async with http_server(tmp_path / "record", TOKEN="abc") as server:
        for name, reason in (
            ("RIGHT", ""),
            ("WRONG", "refused: it answered 401"),
            ("ABSENT", "no secret: it needs the secret ABSENT, and it is not there: "),
        ):
            headers = {"Authorization": f"Bearer {{secret:{name}}}"}
            endpoint = StreamableHttp(server.url, headers=headers)
            host = msgspec.structs.replace(web(server.url), endpoint=endpoint)
            found = await once(host, reach=reach)
            assert found.reason.startswith(reason)
            assert "xyzxyz" not in found.reason + found.detail
            theirs = msgspec.structs.replace(host, source="alice", owner="alice")
            refused = (await once(theirs, reach=reach)).reason
            assert refused.startswith(f"no secret: it needs the secret {name}"), "the operator's"


async def test_a_server_for_users_with_secrets_of_their_own_is_there(tmp_path: Path) -> None:
    reach = Reach(Secrets(tmp_path, {}))
    async with http_server(tmp_path / "record", TOKEN="abc") as server:
        found = await once(web(server.url, "GITHUB_TOKEN"), reach=reach)
        assert (found.reason, found.discovery) == ("", None)
        assert found.note == (
            "no secret: it is there, and works for users with a GITHUB_TOKEN of their own:"
            " `metamcp link github`"
        )
        other = await once(web(server.url, "ABSENT"), reach=reach)
        assert other.note.endswith("with a ABSENT of their own")
        await server.kill()
        gone = await once(web(server.url, "GITHUB_TOKEN"), reach=reach)
        assert gone.reason.startswith("no connection: ")
    async with http_server(tmp_path / "record") as open_:
        anybody = await once(web(open_.url, "ABSENT"), reach=reach)
        assert (anybody.reason, anybody.note) == ("", "")
        assert anybody.discovery is not None


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("http://127.0.0.1:1/mcp", "no connection: hosts that users have registered"),
        ("https://localhost:1/mcp", "no connection: localhost has no public address"),
        ("ftp://127.0.0.1", "refused: expected a URL that begins with"),
    ],
)
async def test_a_users_server_is_guarded(url: str, reason: str) -> None:
    found = await once(web(url, source="alice"))
    assert found.reason.startswith(reason)


async def test_a_mute_server_costs_its_budget_and_holds_up_no_other() -> None:
    starts = asyncio.Semaphore(1)
    async with serving(hang) as mute, serving(HEALTHY) as well:
        slow = child.prober(web(mute.url, start_s=1.0), starts, 10.0, REACH)
        probing = asyncio.create_task(slow.probe())
        await mute.until(1)
        assert not starts.locked(), "no process of this machine is starting"
        assert (await once(space(well.url))).reason == ""
        assert (await probing).reason == "no answer: nothing within 1 s of its start"
        await slow.close()


async def test_a_prober_can_be_closed_while_it_connects() -> None:
    async with serving(hang) as mute:
        prober = child.prober(web(mute.url), asyncio.Semaphore(1), 10.0, REACH)
        probing = asyncio.create_task(prober.probe())
        await mute.until(1)
        probing.cancel()
        await asyncio.wait([probing])
        async with asyncio.timeout(30):
            await prober.close()
            await mute.gone.wait()
