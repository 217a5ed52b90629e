"""Probes of APIs: the document is read and becomes tools, and health is what the API answers."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from aiohttp import web

from contracts.host import COMMAND, Host, Limits, OpenApi, Probe
from services.keys.secrets import Secrets
from services.outside.apart.pool import WorkerPool
from services.outside.openapi import document, reading
from services.registry.probes import child
from services.registry.probes.base import ProbeOutcome, Reach
from services.registry.service import WORKERS
from tests.support.apis import FORGE, PAYMENTS, PETSTORE, one
from tests.support.http_host import HttpHost, Reply, answer, serving

REACH = Reach(Secrets(Path("nowhere"), {"KEY": "hush", "TOKEN": "told"}))
DESCRIBED = answer(PETSTORE.encode(), kind="application/yaml")
TOOLS = document.api(reading.read(PETSTORE.encode())).tools


def host(url: str, known: dict[str, Any] | None = None, **fields: Any) -> Host:
    endpoint = OpenApi(url, **(known or {"document_url": f"{url}/openapi.yaml"}))
    start = {"limits": Limits(start_s=0.2)}
    return Host(**{"id": "a", "name": "a", "endpoint": endpoint} | start | fields)


async def once(one_: Host, reach: Reach = REACH) -> ProbeOutcome:
    prober = child.prober(one_, asyncio.Semaphore(1), 10.0, reach)
    try:
        found = await prober.probe()
        assert found is not None
        return found
    finally:
        await prober.close()


def router(**pages: Reply) -> Reply:
    """By the last word of the path; else 404."""

    async def reply(request: web.Request) -> web.StreamResponse:
        name = request.path.rpartition("/")[2].partition(".")[0]
        return await pages.get(name, answer(b"", 404))(request)

    return reply


def paths(server: HttpHost) -> list[str]:
    return [seen.path for seen in server.seen]


async def test_a_document_at_a_url_becomes_tools() -> None:
    async with serving(router(openapi=DESCRIBED)) as server:
        prober = child.prober(host(server.url), asyncio.Semaphore(1), 10.0, REACH)
        for _ in range(2):
            found = await prober.probe()
            assert found is not None
            assert (found.reason, found.note) == ("", "")
            assert found.discovery is not None
            assert found.discovery.tools == TOOLS
            assert found.discovery.server == "Pet store 1.0.27"
        assert paths(server) == ["/openapi.yaml", "/", "/"], "it is not read each time"


async def test_a_document_in_the_description_becomes_tools() -> None:
    async with serving(answer({})) as server:
        known = {"document": FORGE, "operations": ("issues_c*",)}
        found = await once(host(server.url, known))
        assert found.discovery is not None
        assert [tool.name for tool in found.discovery.tools] == ["issues_create"]
        assert paths(server) == ["/"]


async def test_what_cannot_be_called_is_a_note() -> None:
    async with serving(answer({})) as server:
        found = await once(host(server.url, {"document": FORGE}))
        assert found.note.startswith("left out: 1 of its operations")
        known = {"document": FORGE, "secrets": {"key": "KEY"}}
        found = await once(host(server.url, known))
        assert found.note == (
            "no scheme: endpoint.secrets names key, the document's schemes are: bearer"
        )


@pytest.mark.parametrize(
    ("page", "reason"),
    [
        (answer(b"", 404), "no document: its URL answered 404"),
        (answer({"swagger": "2.0"}), "bad document: the document is Swagger 2.0"),
        (answer(b"[" * 99999), "bad document: the document is nested"),
        (answer(b"", 302, Location="http://127.0.0.1:1/x"), "refused: redirected with status 302"),
    ],
)
async def test_a_document_that_cannot_be_read_is_a_sick_host(page: Reply, reason: str) -> None:
    async with serving(page) as server:
        found = await once(host(server.url))
    assert found.reason.startswith(reason)
    assert found.discovery is None


@pytest.mark.parametrize(
    ("status", "reason"), [(200, ""), (404, ""), (401, ""), (500, "unhealthy: its base URL")]
)
async def test_health_is_whether_the_base_url_answers(status: int, reason: str) -> None:
    async with serving(answer(b"x" * 99_999, status)) as server:
        found = await once(host(server.url, {"document": FORGE}))
    assert found.reason.startswith(reason)
    assert bool(found.reason) == bool(reason)


async def test_nobody_there_is_no_connection() -> None:
    found = await once(host("http://127.0.0.1:9", {"document": FORGE}))
    assert found.reason.startswith("no connection:")


@pytest.mark.parametrize(
    ("probe", "status", "reason"),
    [
        (Probe("GetCharges", {"expand": ["a"]}), 200, ""),
        (Probe("GetCharges"), 403, "probe failed: GetCharges answered 403"),
        (Probe("GetCharges", {"other": 1}), 200, "probe failed: GetCharges: 'other' is no"),
        (Probe("Nothing"), 200, "probe failed: the host lists no tool Nothing"),
    ],
)
async def test_a_declared_call_is_made(probe: Probe, status: int, reason: str) -> None:
    async with serving(answer({}, status)) as server:
        known = {"document": PAYMENTS, "secrets": {"bearer": "KEY"}}
        found = await once(host(server.url, known, probe=probe))
        assert found.reason.startswith(reason)
        assert bool(found.reason) == bool(reason)
        if not reason:
            (seen,) = server.seen
            assert seen.path == "/v1/charges?expand%5B%5D=a"
            assert seen.headers["Authorization"] == "Bearer hush"


async def test_credentials_go_to_the_api_and_nowhere_else() -> None:
    async with serving(DESCRIBED) as elsewhere, serving(DESCRIBED) as server:
        for at in (elsewhere, server):
            known = {"document_url": at.url, "headers": {"X-T": "t"}, "bearer_from": "TOKEN"}
            assert (await once(host(server.url, known))).reason == ""
        (seen,) = elsewhere.seen
        assert not {"Authorization", "X-T"} & set(seen.headers)
        for seen in server.seen:
            assert (seen.headers["Authorization"], seen.headers["X-T"]) == ("Bearer told", "t")


async def test_a_missing_secret_is_named() -> None:
    known = {"document": PAYMENTS, "secrets": {"bearer": "NO_SUCH"}}
    found = await once(host("http://127.0.0.1:9", known))
    assert found.reason.startswith("no secret: it needs the secret NO_SUCH")


@pytest.fixture
async def apart(forked_workers: None) -> AsyncIterator[Reach]:
    workers = WorkerPool(WORKERS)
    yield REACH._replace(allow_private=True, workers=workers)
    await workers.close()


async def test_an_api_of_a_user_is_asked_in_a_worker(apart: Reach, tmp_path: Path) -> None:
    owned = {"owner": "ann", "source": COMMAND}
    async with serving(router(openapi=DESCRIBED)) as server:
        found = await once(host(server.url, **owned), apart)
        assert (found.reason, found.note) == ("", "")
        assert found.discovery is not None
        assert msgspec.json.encode(found.discovery.tools) == msgspec.json.encode(TOOLS)
        secret = Secrets(tmp_path / "secrets", {})
        (tmp_path / "secrets" / "ann").mkdir(parents=True)
        file = tmp_path / "secrets" / "ann" / "ODD"
        file.write_text("{hush}")
        file.chmod(0o600)
        known = {"document": PAYMENTS, "secrets": {"bearer": "ODD"}}
        asked = host(server.url, known, probe=Probe("GetCharges"), **owned)
        await once(asked, apart._replace(secrets=secret))
        assert server.seen[-1].headers["Authorization"] == "Bearer {hush}"
        strict = apart._replace(allow_private=False)
        found = await once(host(server.url.replace("http:", "https:"), **owned), strict)
        assert found.reason.startswith("no connection: 127.0.0.1 is not a public address")


async def test_a_document_that_means_harm_is_a_sick_host_and_no_more(apart: Reach) -> None:
    paths_ = {f"/p{n}": {"get": {}} for n in range(10_000)}
    many = {"document": one() | {"paths": paths_}}
    async with serving(answer({})) as server:
        found = await once(host(server.url, many, owner="ann", source=COMMAND), apart)
    assert found.reason.startswith("bad document: it has more than 2000 operations")
