"""Of all that lets somebody in nothing is noted, logged or stored, whichever way they come."""

from __future__ import annotations

import base64
import json
import logging
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from contracts.subjects import (
    ACCESS_STREAM,
    ACCOUNTS_BUCKET,
    LIMITS_BUCKET,
    TICKETS_BUCKET,
    TOKENS_BUCKET,
)
from services.gateway.people.providers import pkce
from services.store.stream import Stream
from tests.support import github_sign_in
from tests.support import oidc as oidc_support
from tests.support.github_sign_in import github_oauth
from tests.support.nats import NatsServer
from tests.support.oauth_browser import VERIFIER, HandMade, browsing, query
from tests.support.oidc import oidc_server
from tests.unit.gateway.people.providers.signing import (
    ADDRESS,
    COOKIE,
    NAME,
    Signing,
    browser,
    of_company,
    of_github,
    signing,
    value,
)
from tests.unit.gateway.peopled import ADMIN, added, login, refreshed
from tests.unit.gateway.world import NO_TLS, TASK

PASSWORD, NEXT = "first-SECRET-password", "second-SECRET-password"
USER = "carla"
WORDS = ("mtm_SECRET-token", "ticket_SECRET-ticket", "wrong-SECRET-password", "mtr_SECRET.1.x")
"""What was never given out, but may be good elsewhere."""
OTHERS = ("httpx", "httpcore", "websockets.client", "aiohttp")
"""Loggers of the clients and stand-ins in this process."""


class Shown:
    """All that has let somebody in, or was to, by what it is."""

    def __init__(self) -> None:
        self._found: dict[str, str] = {f"word {n}": word for n, word in enumerate(WORDS)}
        self._found |= {"password": PASSWORD, "next": NEXT, "verifier": VERIFIER}

    def add(self, way: str, *texts: str) -> str:
        """Remember secrets; the answer is the first."""
        for text in texts:
            assert len(text) >= 8, way
            self._found[f"{way} {len(self._found)}"] = text
        return texts[0]

    def of(self, way: str, answer: httpx.Response, *names: str) -> list[str]:
        """Remember these of an answer that must be one."""
        assert answer.is_success, (way, answer.text)
        body = answer.json()
        found = [str(body.get("data", body)[name]) for name in names]
        self.add(way, *found)
        return found

    def within(self, data: bytes) -> list[str]:
        """Which of them stand there: as they are, as they are in an address, or in Base64."""
        return [way for way, text in self._found.items() if any(f in data for f in _forms(text))]

    def __len__(self) -> int:
        return len(self._found)


def _forms(text: str) -> Iterator[bytes]:
    yield text.encode()
    yield str(httpx.QueryParams({"x": text})).removeprefix("x=").encode()
    for before in ("", "x", "xx"):
        # Without the ends, which depend on what stands beside it.
        yield base64.b64encode((before + text).encode())[4:-4]


async def by_password(one: Signing, shown: Shown) -> str:
    """The answer is an access token of a session that is not over."""
    await added(one, USER, password=PASSWORD)
    for user, password in ((USER, WORDS[2]), (PASSWORD, PASSWORD), ("nobody", PASSWORD)):
        assert (await login(one, user, password)).status_code == 401
    given = shown.of("login", await login(one, USER, PASSWORD), "access_token", "refresh_token")
    again = shown.of("refresh", await refreshed(one, given[1]), "access_token", "refresh_token")
    used = await refreshed(one, again[1])
    shown.of("refresh", used, "access_token", "refresh_token")
    for stolen in (given[1], WORDS[3]):
        assert (await refreshed(one, stolen)).status_code == 401
    old = await login(one, USER, PASSWORD)
    (access, _) = shown.of("login", old, "access_token", "refresh_token")
    async with one.http(access) as client:
        for password, new in ((WORDS[2], NEXT), (PASSWORD, "short"), (PASSWORD, NEXT)):
            body = {"old": password, "new": new}
            await client.post("/api/auth/password", json=body)
    async with one.http(
        shown.of("login", await login(one, USER, NEXT), "access_token")[0]
    ) as other:
        assert (await other.post("/api/auth/logout")).is_success
        assert (await other.get("/api/tasks")).status_code == 401
    return shown.of("login", await login(one, USER, NEXT), "access_token")[0]


async def by_cookie(one: Signing, shown: Shown) -> None:
    async with one.http(None) as page:
        body, ours = {"user": USER, "password": NEXT, "cookie": True}, {"Origin": one.url}
        answer = await page.post("/api/auth/login", json=body, headers=ours)
        (form, *_) = shown.of("cookie", answer, "csrf_token")
        shown.add("cookie", page.cookies[COOKIE])
        assert (await page.post("/api/tasks", json=TASK)).status_code == 403
        assert (await page.get("/api/users")).status_code == 403
        sent = ours | {"X-CSRF-Token": form}
        assert (await page.post("/api/tasks", json=TASK, headers=sent)).is_success
        assert (await page.post("/api/auth/logout", headers=sent)).is_success


async def by_device(one: Signing, shown: Shown, access: str) -> None:
    async with one.http(None) as program, one.http(access) as person:
        asked = await program.post("/api/auth/device")
        device, typed = shown.of("device", asked, "device_code", "user_code")
        allowed = await person.post("/api/auth/device/allow", json={"user_code": typed})
        assert allowed.is_success
        given = await program.post("/api/auth/device/token", json={"device_code": device})
        session = given.json()["data"]["session"]
        shown.add("device", session["access_token"], session["refresh_token"])
        for code in (device, WORDS[0]):
            again = await program.post("/api/auth/device/token", json={"device_code": code})
            assert not again.is_success


async def by_token(one: Signing, shown: Shown, access: str) -> None:
    """Tokens of one's own, and tickets, at every door there is."""
    async with one.http(access) as person, one.http(None) as nobody:
        made = await person.post("/api/tokens", json={"scopes": ["tasks:read"], "note": "mine"})
        (token,) = shown.of("token", made, "token")
        tickets = [
            shown.of("ticket", await person.post("/api/auth/ticket"), "ticket")[0] for _ in "123"
        ]
        async with one.stream(None, path=f"/api/stream?ticket={tickets[0]}") as stream:
            assert (await stream.ask("unsubscribe", sub="x"))["code"] == "not_found"
        for ticket in (tickets[0], WORDS[1]):
            async with one.stream(None, path=f"/api/stream?ticket={ticket}") as refused:
                assert await refused.closed() == 4401
            answer = await nobody.get("/api/events", params={"ticket": ticket})
            assert answer.status_code == 401
        answer = await nobody.get("/api/events", params={"ticket": tickets[1], "to": "nothing"})
        assert answer.status_code == 400
        for shape in ("Bearer {}", "Basic {}", "{}"):
            for secret in (token, *WORDS):
                headers = {"Authorization": shape.format(secret)}
                await nobody.get("/api/blobs", headers=headers)
                await nobody.post("/mcp", json={"jsonrpc": "2.0"}, headers=headers)
                await nobody.post("/api/tasks", json=TASK, headers=headers)
        for secret in (token, *WORDS):
            await nobody.get(f"/api/tasks/{secret}", params={"token": secret})
            await nobody.get(f"/{secret}", headers={"X-Request-Id": "r1"})
            await person.delete(f"/api/tokens/{secret}")
            await person.post("/api/users", json={"name": secret, "password": secret})
            async with one.stream(secret) as stream, one.stream(None) as other:
                await stream.ask("submit", task=TASK) if secret == token else None
                await other.ask("auth", token=secret)
                await other.ask("cancel", task=secret) if secret == token else None


async def by_oauth(one: Signing, shown: Shown) -> None:
    """A client that acts for a person, and one that acts for a service."""
    async with (
        browsing(USER, one.url) as person,
        httpx.AsyncClient(trust_env=False, timeout=30, verify=NO_TLS) as http,
        one.http(ADMIN) as admin,
    ):
        client = HandMade(http, one.url, ADDRESS)
        registered = await client.register(token_endpoint_auth_method="client_secret_post")
        shown.of("client", registered, "client_secret")
        answer = await http.get(client.asks(), follow_redirects=True)
        assert answer.status_code == 200
        page = await http.get(f"{one.url}/signin", params={"next": "/api/docs"})
        await person.sign_in(page, WORDS[2])
        await person.sign_in(await person.http.get(page.url), NEXT)
        code = query(await person.visit(client.asks()))["code"]
        shown.add("code", code)
        for wrong in ({"code_verifier": "w" * 64}, {"client_secret": WORDS[0]}):
            assert not (await client.fetches(code, **wrong)).is_success
        code = shown.add("code", query(await person.visit(client.asks()))["code"])
        given = await client.fetches(code)
        first = shown.of("oauth", given, "access_token", "refresh_token")
        more = await client.refreshes(first[1])
        second = shown.of("oauth", more, "access_token", "refresh_token")
        for token in (second[0], WORDS[0]):
            await http.post(f"{one.url}/mcp", headers={"Authorization": f"Bearer {token}"}, json={})
            headers = {"Authorization": f"Bearer {token}"}
            await http.get(f"{one.url}/api/tasks", headers=headers)
        form = {"client_id": client.id, "client_secret": client.secret, "token": second[1]}
        assert (await http.post(f"{one.url}/oauth/revoke", data=form)).is_success
        assert not (await client.refreshes(second[1])).is_success
        assert not (await client.fetches(code)).is_success
        assert (await admin.post("/api/users", json={"name": "svc", "service": True})).is_success
        body = {"name": "Reports", "user": "svc", "scopes": ["mcp:call"]}
        made = (await admin.post("/api/clients", json=body)).json()["data"]
        client.id, client.secret = made["id"], shown.add("client", made["secret"])
        shown.of("credentials", await client.token("client_credentials"), "access_token")
        assert not (await client.token("client_credentials", client_secret=WORDS[0])).is_success


async def by_provider(one: Signing, shown: Shown, name: str, start: str) -> None:
    async with browser(one) as ann:
        away = await ann.get(start)
        assert away.status_code == 303, away.text
        shown.add(f"{name} cookie", *dict(ann.client.cookies).values())
        back = await ann.consent(away.headers["location"])
        shown.add(f"{name} code", value(back, "code"), value(back, "state"))
        assert (await ann.get(back.replace("code=", "code=wrong"))).status_code in (403, 400, 503)
        away = await ann.get(start)
        shown.add(f"{name} cookie", *dict(ann.client.cookies).values())
        back = await ann.consent(away.headers["location"])
        shown.add(f"{name} code", value(back, "code"), value(back, "state"))
        assert (await ann.get(back)).status_code == 303
        shown.add(f"{name} session", ann.session)
        assert (await ann.get(back)).status_code != 303
        for odd in WORDS:
            await ann.get(f"/api/auth/{name}/callback?state={odd}&code={odd}")
            await ann.get(f"/api/auth/{name}/start?invite={odd}")


async def stored(server: NatsServer, one: Signing) -> AsyncIterator[tuple[str, bytes]]:
    """Every message of the stream and of the buckets of people, as it is."""
    for stream, subjects in (
        (ACCESS_STREAM, "access.>"),
        *(
            (f"KV_{bucket}", f"$KV.{bucket}.>")
            for bucket in (ACCOUNTS_BUCKET, TOKENS_BUCKET, TICKETS_BUCKET, LIMITS_BUCKET)
        ),
    ):
        found = await Stream(one.bus, stream).read(subjects, 1, 10_000)
        yield stream, b"\n".join(each.data for each in found)
    # And what was overwritten or deleted since.
    for path in sorted((server.data / "nats").rglob("*.blk")):
        if f"/{ACCESS_STREAM}/" in str(path) or "/KV_METAMCP" in str(path):
            yield str(path), path.read_bytes()


def ours_alone(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    for name in OTHERS:
        caplog.set_level(logging.CRITICAL, name)


async def test_no_secret_is_noted_logged_or_stored(
    fresh_nats: NatsServer,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    capsys: pytest.CaptureFixture[str],
) -> None:
    shown, derived = Shown(), pkce.derived
    shown.add("provider", github_sign_in.SECRET, oidc_support.SECRET)

    def noting(*given: Any) -> str:
        return shown.add("verifier", derived(*given))

    monkeypatch.setattr(pkce, "derived", noting)
    ours_alone(caplog)
    async with (
        github_oauth() as github,
        oidc_server() as company,
        fresh_nats.connected("gateway") as bus,
    ):
        chosen = of_github(github) | of_company(company, tmp_path) | {"admit_new_people": "all"}
        async with signing(tmp_path, bus, chosen) as one:
            access = await by_password(one, shown)
            await by_cookie(one, shown)
            await by_device(one, shown, access)
            await by_token(one, shown, access)
            await by_oauth(one, shown)
            await by_provider(one, shown, "github", "/api/auth/github/start")
            async with one.http(ADMIN) as admin:
                body = {"user": "invited"}
                made = (await admin.post("/api/auth/invitations", json=body)).json()["data"]
            shown.add("invitation", made["code"])
            company.codes.clear()
            await by_provider(one, shown, NAME, f"/api/auth/{NAME}/start?invite={made['code']}")
            for given in (github.tokens, company.tokens, company.refreshing):
                shown.add("provider", *given)
            one.site.parts.trail._denials._window_s = 0.0
            one.site.parts.trail.settle()
            await one.site.writer.flush()
            found = {name: shown.within(data) async for name, data in stored(fresh_nats, one)}
            kinds = await noted(one)
    told = capsys.readouterr()
    found |= {"out": shown.within((told.out + told.err).encode())}
    found |= {"log": shown.within(caplog.text.encode())}
    assert {name: ways for name, ways in found.items() if ways} == {}
    assert len(found) > 8, "the files were read"
    assert len(shown) > 50
    assert {"sign_in", "sign_out", "refresh", "denied", "token.issued", "consent.given"} <= kinds
    assert {"identity.linked", "invitation.added", "client.registered"} <= kinds


async def noted(one: Signing) -> set[str]:
    stored = await Stream(one.bus, ACCESS_STREAM).read("access.>", 1, 10_000)
    assert len(stored) > 20
    return {json.loads(each.data)["kind"] for each in stored}
