"""Tokens over HTTP: who may issue them, what they open, and that they are shown once."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import structlog

from services.bus.bus import Bus
from services.gateway.http.tokens import Made
from services.store.kv import Bucket
from tests.support.facts import name
from tests.unit.gateway.world import World, error_of, made, world

ADMIN = "admin-token"


@contextlib.asynccontextmanager
async def issuing(one: World) -> AsyncIterator[World]:
    """Follow the tokens, as a gateway's service does."""
    tokens = one.site.parts.tokens
    await tokens.refresh()
    following = asyncio.create_task(tokens.follow())
    try:
        yield one
    finally:
        following.cancel()
        await asyncio.wait((following,))


@pytest.fixture
async def one(gateway: World) -> AsyncIterator[World]:
    async with issuing(gateway) as running:
        yield running


async def issued(client: httpx.AsyncClient, user: str, **fields: Any) -> dict[str, Any]:
    answer = await client.post("/api/tokens", json={"user": user} | fields)
    assert answer.status_code == 201, answer.text
    return answer.json()["data"]  # type: ignore[no-any-return]


async def test_a_token_opens_what_its_user_has_and_no_more(one: World) -> None:
    user = name("u")
    async with one.http(ADMIN) as admin:
        token = await issued(admin, user, note="laptop")
    assert token["token"].startswith("mtm_")
    assert (token["user"], token["roles"], token["expires"]) == (user, [], None)
    async with one.http(token["token"]) as client, one.http() as alice:
        mine = await made(client)
        assert mine["user"] == user
        hers = await made(alice)
        assert (await client.get(f"/api/tasks/{hers['id']}")).status_code == 404
        assert (await alice.get(f"/api/tasks/{mine['id']}")).status_code == 404
        assert error_of(await client.get("/api/tokens?user=alice")).code == 403


async def test_tokens_are_listed_without_their_text_and_in_pages(one: World) -> None:
    user = name("u")
    async with one.http(ADMIN) as admin:
        three = [
            await issued(admin, user, note=str(n), roles=["user", "auditor"]) for n in (1, 2, 3)
        ]
        texts = [entry.pop("token") for entry in three]
        assert all(entry["roles"] == ["auditor"] for entry in three)
        first = (await admin.get(f"/api/tokens?user={user}&limit=2")).json()
        assert first["data"] == three[:2]
        rest = (
            await admin.get(f"/api/tokens?user={user}&limit=2&cursor={first['next_cursor']}")
        ).json()
        assert (rest["data"], rest["next_cursor"]) == (three[2:], None)
        every = await admin.get("/api/tokens?limit=1000")
        assert not any(text in every.text for text in texts)


async def test_a_revoked_token_is_nobodys(one: World) -> None:
    async with one.http(ADMIN) as admin:
        token = await issued(admin, name("u"), ttl_s=3600)
        path = f"/api/tokens/{token['id']}"
        async with one.http(token["token"]) as client:
            assert (await client.get("/api/tasks")).status_code == 200
            ticket = (await client.post("/api/auth/ticket")).json()["data"]["ticket"]
            answer = await admin.delete(path)
            assert answer.json()["data"]["id"] == token["id"]
            assert token["token"] not in answer.text
            assert error_of(await client.get("/api/tasks")).code == 401
            assert (await client.post("/mcp", json={})).status_code == 401
            # Not by a ticket that was made before, either.
            assert (await client.get(f"/api/events?ticket={ticket}")).status_code == 401
        async with one.stream(token["token"]) as stream:
            assert await stream.closed() == 4401
        assert error_of(await admin.delete(path)).code == 404


async def test_a_token_revoked_at_one_gateway_ends_at_the_other(one: World, tmp_path: Path) -> None:
    async with (
        world(tmp_path / "other", one.bus) as second,
        issuing(second) as other,
        one.http(ADMIN) as admin,
    ):
        token = await issued(admin, name("u"))
        async with other.http(token["token"]) as client, asyncio.timeout(30):
            while (await client.get("/api/tasks")).status_code != 200:
                pass
            await admin.delete(f"/api/tokens/{token['id']}")
            while (await client.get("/api/tasks")).status_code != 401:
                pass


async def test_an_expired_token_is_nobodys(one: World) -> None:
    async with one.http(ADMIN) as admin:
        token = await issued(admin, name("u"), ttl_s=0.000001)
        assert token["expires"] < time.time()
    async with one.http(token["token"]) as client:
        assert error_of(await client.get("/api/tasks")).code == 401


async def test_the_role_of_a_token_counts(one: World) -> None:
    async with one.http(ADMIN) as admin:
        token = await issued(admin, name("u"), roles=["admin"])
    async with one.http(token["token"]) as second:
        third = await issued(second, name("u"))
        assert (await second.delete(f"/api/tokens/{third['id']}")).status_code == 200
        # Even its own: whoever gave it away can end it.
        assert (await second.delete(f"/api/tokens/{token['id']}")).status_code == 200
        assert error_of(await second.get("/api/tokens")).code == 401


@pytest.mark.parametrize("token", ["alice-token", None])
async def test_others_issue_and_revoke_nothing(one: World, token: str | None) -> None:
    async with one.http(token) as client:
        answers = [
            await client.post("/api/tokens", json={"user": "alice", "roles": ["admin"]}),
            await client.post("/api/tokens", json={"user": "bob"}),
            await client.get("/api/tokens?user=bob"),
            await client.delete("/api/tokens/x"),
        ]
    codes = [403, 403, 403, 404] if token else [401] * 4
    assert [error_of(answer).code for answer in answers] == codes


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b'{"user": "a b"}',
        b'{"user": "a.b"}',
        b'{"user": "-"}',
        b'{"user": "a", "roles": ["root"]}',
        b'{"user": "a", "ttl_s": 0}',
        b'{"user": "a", "ttl_s": 1e12}',
        b'{"user": "a", "token": "mtm_mine"}',
        b'{"user": "a", "note": "%s"}' % (b"x" * 201),
        b'{"user": "\xff"}',
    ],
)
async def test_what_makes_no_sense_is_refused(one: World, body: bytes) -> None:
    async with one.http(ADMIN) as admin:
        assert error_of(await admin.post("/api/tokens", content=body)).code == 400


async def test_neither_the_log_nor_a_repr_has_the_token(one: World) -> None:
    with structlog.testing.capture_logs() as lines:
        async with one.http(ADMIN) as admin:
            token = await issued(admin, name("u"))
            await admin.delete(f"/api/tokens/{token['id']}")
    assert [line["event"] for line in lines if line["event"].startswith("token")] == [
        "token_added",
        "token_revoked",
    ]
    assert token["token"] not in repr(lines)
    assert token["token"] not in repr(Made("i", "u", token=token["token"]))


async def test_a_gateway_without_nats_says_so(gateway: World, bus: Bus) -> None:
    await bus.close()
    async with gateway.http(ADMIN) as admin:
        assert error_of(await admin.post("/api/tokens", json={"user": "a"})).code == 503


async def test_a_bucket_that_does_not_answer_is_said(gateway: World, bus: Bus) -> None:
    gateway.site.parts.tokens._bucket = Bucket(bus, "METAMCP_NOT_THERE")
    async with gateway.http(ADMIN) as admin:
        assert error_of(await admin.get("/api/tokens")).code == 503
