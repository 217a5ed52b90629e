"""Clients that are described at an address of their own."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from services.bus.bus import Bus
from services.gateway.oauth import documents
from services.gateway.oauth.documents import ClientDocuments
from services.gateway.oauth.rules import OAuthError
from services.gateway.settings import Settings
from services.process.files import free_port
from tests.support.oauth_browser import CALLBACK, HandMade
from tests.unit.gateway.oauth.acting import followed, person
from tests.unit.gateway.oauth.test_flow import comes_in, refused
from tests.unit.gateway.world import World, world


class Described:
    """A server with descriptions of clients."""

    def __init__(self) -> None:
        self.asked = 0
        self.changed: dict[str, Any] = {}
        self.answer: web.Response | None = None
        self.hold: asyncio.Event | None = None
        self.url = ""

    async def serve(self, request: web.Request) -> web.Response:
        self.asked += 1
        if self.hold is not None:
            await self.hold.wait()
        if self.answer is not None:
            return self.answer
        body = {"client_id": self.url, "client_name": "Described", "redirect_uris": [CALLBACK]}
        return web.json_response(body | self.changed)


@pytest.fixture
async def described() -> AsyncIterator[Described]:
    served = Described()
    app = web.Application()
    app.router.add_get("/client.json", served.serve)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    port = runner.addresses[0][1]
    served.url = f"http://127.0.0.1:{port}/client.json"
    yield served
    if served.hold is not None:
        served.hold.set()
    await runner.cleanup()


@pytest.fixture
async def inside(tmp_path: Path, bus: Bus, key_file: Path) -> AsyncIterator[World]:
    """A gateway that may fetch from this machine."""
    settings = Settings(port=0, rate_limit_requests=0, oauth_private_clients=True)
    async with (
        world(tmp_path, bus, settings, key_file=key_file) as gateway,
        followed(gateway) as running,
    ):
        yield running


async def test_a_client_with_a_description_needs_no_registration(
    inside: World, described: Described
) -> None:
    async with person(inside) as browser:
        client = HandMade(browser.http, inside.url)
        client.id = described.url
        answer = await browser.http.get(client.asks())
        assert described.asked == 0, "for nobody in particular nothing is fetched"
        assert answer.headers["location"].startswith("/signin")
        tokens = await client.granted(browser)
        assert (await comes_in(inside, tokens["access_token"])).status_code == 200
        principal = await inside.site.authenticate(tokens["access_token"])
        assert principal is not None
        assert principal.asked_by == f"client:{described.url}"
        page = await browser.http.get(client.asks())
        assert "Described" in page.text, "any program here could say it is this one: asked again"
        assert described.url.split("/")[2] in page.text
        assert described.asked == 1, "it is kept"
        assert (await client.refreshes(tokens["refresh_token"])).status_code == 200
        refused(await client.refreshes("x", client_secret="x"), "invalid_client", 401)
        wrong = await browser.http.get(client.asks(redirect_uri="http://127.0.0.1:1/other"))
        assert wrong.status_code == 400


async def test_a_gateway_without_a_way_out_has_clients_register(
    tmp_path: Path, bus: Bus, key_file: Path
) -> None:
    settings = Settings(port=0, rate_limit_requests=0, oauth_client_documents=False)
    async with (
        world(tmp_path, bus, settings, key_file=key_file) as gateway,
        followed(gateway) as closed,
        person(closed) as browser,
    ):
        told = await browser.http.get(f"{closed.url}/.well-known/oauth-authorization-server")
        assert told.json()["client_id_metadata_document_supported"] is False
        client = HandMade(browser.http, closed.url)
        await browser.sign_in(await browser.http.get(f"{closed.url}/signin"))
        client.id = "https://client.example/client.json"
        refusal = await browser.http.get(client.asks())
        assert (refusal.status_code, "has to register" in refusal.text) == (400, True)
        await client.register()
        assert await client.granted(browser)


async def test_a_person_is_told_what_to_set_where_nothing_is_reached(inside: World) -> None:
    async with person(inside) as browser:
        client = HandMade(browser.http, inside.url)
        client.id = f"http://127.0.0.1:{free_port('127.0.0.1')}/client.json"
        await browser.sign_in(await browser.http.get(f"{inside.url}/signin"))
        answer = await browser.http.get(client.asks())
        assert answer.status_code == 400
        assert "METAMCP_GATEWAY_OAUTH_CLIENT_DOCUMENTS=false" in answer.text


@pytest.mark.parametrize(
    ("changed", "why"),
    [
        ({"client_id": "https://other.example/client.json"}, "names another client_id"),
        ({"client_id": None}, "names another client_id"),
        ({"redirect_uris": []}, "Expected 1 to 20"),
        ({"redirect_uris": ["http://evil.example"]}, "loopback addresses only"),
        ({"token_endpoint_auth_method": "client_secret_post"}, "public one"),
        ({"redirect_uris": 7}, "does not fit"),
    ],
)
async def test_a_description_that_does_not_fit_is_told_to_the_person(
    inside: World, described: Described, changed: dict[str, Any], why: str
) -> None:
    described.changed = changed
    await told(inside, described, why)


async def told(inside: World, described: Described, why: str) -> None:
    async with person(inside) as browser:
        client = HandMade(browser.http, inside.url)
        client.id = described.url
        page = await browser.http.get(inside.url + "/signin")
        await browser.sign_in(page)
        answer = await browser.http.get(client.asks())
        assert answer.status_code == 400
        assert why in answer.text


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        ({"status": 404}, "status 404"),
        ({"text": "<html>", "content_type": "text/html"}, "something else than JSON"),
        ({"body": b"x" * 70_000, "content_type": "application/json"}, "more than 65536 bytes"),
        ({"status": 302, "headers": {"Location": "https://evil.example/"}}, "another place"),
    ],
)
async def test_what_is_no_description_is_told_to_the_person(
    inside: World, described: Described, answer: dict[str, Any], why: str
) -> None:
    described.answer = web.Response(**answer)
    await told(inside, described, why)


async def test_descriptions_lead_nowhere_inside(described: Described) -> None:
    async def lookup(host: str, port: int) -> list[str]:
        return ["10.0.0.1"]

    public = ClientDocuments(private=lambda: False, lookup=lookup)
    for url in (
        described.url,
        described.url.replace("http:", "https:"),
        "https://inner.example/client.json",
        "https://[::1]/client.json",
        "https://user@app.example/client.json",
        "https://app.example/",
        "https://app.example",
        "https://app.example/a/../client.json",
        "https://app.example/client.json#x",
        "https://app.example/" + "x" * 500,
    ):
        with pytest.raises(OAuthError) as error:
            await public.of(url)
        assert error.value.error == "invalid_client"
    assert described.asked == 0


async def test_a_description_is_fetched_once_for_all_and_kept_for_a_while(
    described: Described,
) -> None:
    now = [0.0]
    kept = ClientDocuments(private=lambda: True, clock=lambda: now[0])
    await asyncio.gather(*(kept.of(described.url) for _ in range(20)))
    assert described.asked == 1
    now[0] = documents.KEEP_S + 1
    described.changed = {"redirect_uris": 7}
    for _ in range(3):
        with pytest.raises(OAuthError):
            await kept.of(described.url)
    assert described.asked == 2
    now[0] += documents.KEEP_FAILED_S + 1
    described.changed = {}
    assert (await kept.of(described.url)).client_name == "Described"


async def test_only_so_many_are_fetched_at_once_and_only_for_so_long(
    described: Described, monkeypatch: pytest.MonkeyPatch
) -> None:
    described.hold = asyncio.Event()
    monkeypatch.setattr(documents, "FETCH_S", 1.0)
    kept = ClientDocuments(private=lambda: True)
    slow = [
        asyncio.create_task(kept.of(f"{described.url}?{n}")) for n in range(documents.MOST_FETCHING)
    ]
    async with asyncio.timeout(30):
        while described.asked < 1:
            await asyncio.wait(slow, timeout=0.02)
    with pytest.raises(OAuthError) as error:
        await kept.of(f"{described.url}?more")
    assert error.value.status == 503
    found = await asyncio.gather(*slow, return_exceptions=True)
    assert all(isinstance(each, OAuthError) and "within 1 s" in str(each) for each in found)
