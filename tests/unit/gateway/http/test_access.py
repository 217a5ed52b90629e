"""What was noted, read back: by auditors all of it, by everybody their own."""

from __future__ import annotations

import asyncio
import itertools
import json
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from services.bus.bus import Bus
from services.gateway.http import access
from services.gateway.people import access_log
from services.up.nats_config import OPERATOR
from tests.support.nats import NatsServer
from tests.unit.gateway.alices import MORE
from tests.unit.gateway.peopled import added, peopled, signed_in
from tests.unit.gateway.world import TOKENS, World, error_of, world, write_tokens

AUDITOR = "auditor-token"


@pytest.fixture
async def gateway(fresh_nats: NatsServer, tmp_path: Path) -> AsyncIterator[World]:
    async with fresh_nats.connected("gateway") as bus, world(tmp_path, bus) as one:
        write_tokens(tmp_path, TOKENS | MORE)
        yield one


async def note(gateway: World, *kinds: str, **fields: Any) -> None:
    for kind in kinds:
        gateway.site.parts.trail.note(kind, **fields)
    await gateway.site.writer.flush()


async def listed(client: httpx.AsyncClient, path: str = "/api/access", **params: Any) -> Any:
    answer = await client.get(path, params=params)
    assert answer.status_code == 200, answer.text
    return answer.json()


async def test_a_line_has_every_field_and_a_time_for_people(gateway: World) -> None:
    await note(gateway, "sign_in", user="alice", method="password", address="192.0.2.1")
    async with gateway.http(AUDITOR) as auditor:
        (line,) = (await listed(auditor))["data"]
    assert set(line) == {
        *("id", "at", "by", "kind", "outcome", "user", "asked_by", "subject", "address"),
        *("method", "reason", "request_id", "details", "seq", "time"),
    }
    assert line["time"].endswith("Z")
    assert (line["outcome"], line["asked_by"], line["details"]) == ("ok", "", {})
    assert abs(line["at"] - time.time()) < 60


async def test_it_is_filtered_and_paged(gateway: World) -> None:
    await note(gateway, "sign_in", "token.issued", "sign_in", user="alice")
    await note(gateway, "sign_in", user="bob", outcome="refused", reason="unauthorized")
    async with gateway.http(AUDITOR) as auditor:
        every = (await listed(auditor))["data"]
        assert [line["kind"] for line in every] == ["sign_in", "token.issued", "sign_in", "sign_in"]
        for params, wanted in (
            ({"user": "alice"}, [0, 1, 2]),
            ({"kind": "sign_in"}, [0, 2, 3]),
            ({"kind": "token.issued", "user": "alice"}, [1]),
            ({"outcome": "refused"}, [3]),
            ({"since": every[1]["at"]}, [1, 2, 3]),
            ({"until": every[1]["at"]}, [0]),
            ({"since": time.time() + 3600}, []),
            ({"user": "nobody"}, []),
        ):
            found = await listed(auditor, **params)
            assert found["data"] == [every[n] for n in wanted], params
            found = await listed(auditor, order="newest", **params)
            assert found["data"] == [every[n] for n in reversed(wanted)], params
        first = await listed(auditor, limit=3)
        rest = await listed(auditor, limit=3, cursor=first["next_cursor"])
        assert first["data"] + rest["data"] == every
        assert rest["next_cursor"] is None


async def test_newest_first_is_the_same_turned_round(
    gateway: World, fresh_nats: NatsServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Page by page, whatever is read at once, and though the oldest are gone already."""
    await note(gateway, *["sign_in", "denied", "sign_in"] * 3, user="alice")
    async with fresh_nats.connected(OPERATOR) as operator:
        config = json.loads(await operator.request("$JS.API.STREAM.INFO.ACCESS"))["config"]
        wanted = json.dumps(config | {"max_msgs": 7}).encode()
        assert b'"error"' not in await operator.request("$JS.API.STREAM.UPDATE.ACCESS", wanted)
    async with gateway.http(AUDITOR) as auditor:
        for page, limit, (asked, many) in itertools.product(
            (1, 2, 3, 500), (1, 2, 7), (({}, 7), ({"kind": "denied"}, 2))
        ):
            monkeypatch.setattr(access_log, "PAGE", page)
            every = (await listed(auditor, **asked))["data"]
            turned = await paged(auditor, order="newest", limit=limit, **asked)
            assert (turned, len(turned)) == (every[::-1], many), (page, limit)
            far = await listed(auditor, order="newest", cursor=2**63 - 1, **asked)
            assert far["data"] == every[::-1]


async def paged(client: httpx.AsyncClient, **asked: Any) -> list[Any]:
    """All pages together."""
    found: list[Any] = []
    while True:
        part = await listed(client, **asked)
        found += part["data"]
        if part["next_cursor"] is None:
            return found
        asked["cursor"] = part["next_cursor"]


async def test_one_page_looks_at_so_much_and_says_where_to_go_on(
    gateway: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(access_log, "PAGE", 2)
    monkeypatch.setattr(access_log, "MOST_SCANNED", 4)
    await note(gateway, *["sign_in"] * 9, user="alice")
    await note(gateway, "sign_in", user="alice", outcome="refused")
    async with gateway.http(AUDITOR) as auditor:
        page, pages = await listed(auditor, outcome="refused"), 1
        while page["next_cursor"] is not None:
            assert page["data"] == []
            page = await listed(auditor, outcome="refused", cursor=page["next_cursor"])
            pages += 1
    assert (len(page["data"]), pages) == (1, 3)


async def test_everybody_sees_what_is_about_themselves_and_no_more(gateway: World) -> None:
    await note(gateway, "sign_in", user="alice")
    await note(gateway, "sign_in", user="bob")
    await note(gateway, "denied")
    async with gateway.http() as alice:
        for path in ("/api/access", "/api/access/follow"):
            error = error_of(await alice.get(path, params={"user": "alice"}))
            assert (error.code, error.reason) == (403, "forbidden")
            assert "/api/me/access" in error.message
        mine = (await listed(alice, "/api/me/access"))["data"]
        assert [(line["kind"], line["user"]) for line in mine] == [("sign_in", "alice")]
    async with gateway.http(None) as nobody:
        for path in ("/api/access", "/api/access/follow", "/api/me/access", "/api/me"):
            assert error_of(await nobody.get(path)).code == 401


async def test_admins_read_it_as_auditors_do(gateway: World) -> None:
    await note(gateway, "sign_in", user="alice")
    async with gateway.http(AUDITOR) as auditor, gateway.http("admin-token") as admin:
        assert await listed(auditor) == await listed(admin)


async def test_a_token_without_the_scope_reads_none_of_it(
    gateway: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    whose = gateway.site.app._whose

    async def narrow(token: str) -> Any:
        found = await whose(token)
        return found and found._replace(scopes=frozenset({"tasks:read"}))

    monkeypatch.setattr(gateway.site.app, "_whose", narrow)
    async with gateway.http("admin-token") as admin:
        for path in (
            *("/api/access", "/api/access/follow", "/api/me/access"),
            "/api/users/alice/quota",
        ):
            error = error_of(await admin.get(path))
            assert (error.code, error.reason) == (403, "insufficient_scope"), path
            assert "`admin`" in error.message
        me = (await admin.get("/api/me")).json()["data"]
        assert me["scopes"] == ["tasks:read"]


@pytest.mark.parametrize(
    "params", [{"kind": "a>b"}, {"user": "*"}, {"kind": "x" * 65}, {"since": "soon"}, {"limit": 0}]
)
async def test_what_can_be_no_filter_is_refused(gateway: World, params: dict[str, Any]) -> None:
    async with gateway.http(AUDITOR) as auditor:
        error = error_of(await auditor.get("/api/access", params=params))
    assert error.code == 400
    assert next(iter(params)) in error.message


async def test_following_shows_what_is_new_and_goes_on_after_a_cut(gateway: World) -> None:
    await note(gateway, "sign_in", user="before")
    async with gateway.http(AUDITOR) as auditor:
        async with auditor.stream("GET", "/api/access/follow") as answer:
            assert answer.headers["content-type"] == "application/x-ndjson"
            begins = int(answer.headers[access.PLACE])
            await note(gateway, "sign_in", "sign_out", user="alice")
            lines = answer.aiter_lines()
            got = [json.loads(await anext(lines)) for _ in "12"]
        assert [line["kind"] for line in got] == ["sign_in", "sign_out"]
        async with auditor.stream(
            "GET", "/api/access/follow", params={"cursor": begins, "kind": "sign_out"}
        ) as answer:
            assert json.loads(await anext(answer.aiter_lines())) == got[1]


async def test_who_follows_is_cut_off_when_the_token_ends(gateway: World) -> None:
    async with gateway.http("admin-token") as admin:
        body = {"user": "watson", "roles": ["auditor"]}
        issued = (await admin.post("/api/tokens", json=body)).json()["data"]
        async with (
            gateway.http(issued["token"]) as auditor,
            auditor.stream("GET", "/api/access/follow") as answer,
        ):
            await admin.delete(f"/api/tokens/{issued['id']}")
            async with asyncio.timeout(20):
                assert [line async for line in answer.aiter_lines()] == []
    assert gateway.site.parts.access.followers == 0


async def test_only_so_many_follow_at_once(gateway: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(access, "MOST_FOLLOWERS", 1)
    async with gateway.http(AUDITOR) as auditor, auditor.stream("GET", "/api/access/follow"):
        async with asyncio.timeout(20):
            while not gateway.site.parts.access.followers:
                await auditor.get("/api/health/live")
        assert error_of(await auditor.get("/api/access/follow")).code == 503


async def test_a_gateway_that_stops_sends_its_followers_elsewhere(
    fresh_nats: NatsServer, tmp_path: Path
) -> None:
    async with fresh_nats.connected("gateway") as bus, world(tmp_path, bus) as one:
        write_tokens(tmp_path, TOKENS | MORE)
        async with (
            one.http(AUDITOR) as auditor,
            auditor.stream("GET", "/api/access/follow") as answer,
        ):
            one.site.parts.access.over.set()
            async with asyncio.timeout(20):
                assert [line async for line in answer.aiter_lines()] == []


async def test_a_line_that_nobody_can_read_is_passed_over(gateway: World, bus: Bus) -> None:
    await gateway.bus.request("access.sign_in.alice", b"not json")
    await gateway.bus.request(
        "access.sign_in.alice", b'{"id":"1","at":1e300,"by":"g","kind":"sign_in","user":"alice"}'
    )
    await note(gateway, "sign_out", user="alice")
    async with gateway.http(AUDITOR) as auditor:
        assert [line["kind"] for line in (await listed(auditor))["data"]] == ["sign_out"]


async def test_me_says_who_one_is_and_the_same_as_limits(gateway: World) -> None:
    async with gateway.http(AUDITOR) as auditor:
        me = (await listed(auditor, "/api/me"))["data"]
        limits = (await listed(auditor, "/api/limits"))["data"]
    assert (me["user"], me["roles"]) == ("watson", ["auditor", "user"])
    assert "admin" in me["scopes"]
    assert me["expires"] is None
    assert (me["budgets"], me["used"]) == (limits["budgets"], limits["used"])
    assert (me["used"]["hosts"], me["used"]["tokens"]) == (0, 0)
    assert me["exceptions"] == {}


async def test_who_is_signed_in_follows_until_the_account_is_disabled(
    fresh_nats: NatsServer, tmp_path: Path
) -> None:
    async with fresh_nats.connected("gateway") as bus, peopled(tmp_path, bus) as one:
        user = await added(one, roles=["auditor"])
        token = (await signed_in(one, user))["access_token"]
        async with (
            one.http(token) as auditor,
            auditor.stream("GET", "/api/access/follow") as answer,
        ):
            await note(one, "sign_out", user=user)
            async with asyncio.timeout(20):
                lines = answer.aiter_lines()
                while json.loads(await anext(lines))["kind"] != "sign_out":
                    pass
                async with one.http("admin-token") as admin:
                    assert (
                        await admin.patch(f"/api/users/{user}", json={"disabled": True})
                    ).is_success
                async for _ in lines:
                    pass
    assert one.site.parts.access.followers == 0
