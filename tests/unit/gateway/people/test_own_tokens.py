"""Personal tokens: everybody has their own, and nobody gives more than they have."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from services.bus.bus import Bus
from tests.support.facts import name
from tests.unit.gateway.peopled import ADMIN, added, good, kinds, peopled, signed_in
from tests.unit.gateway.world import World, error_of

PATH = "/api/tokens"


@pytest.fixture
async def one(tmp_path: Path, bus: Bus) -> AsyncIterator[World]:
    async with peopled(tmp_path, bus) as running:
        yield running


async def issued(client: httpx.AsyncClient, **fields: Any) -> dict[str, Any]:
    answer = await client.post(PATH, json=fields)
    assert answer.status_code == 201, answer.text
    return answer.json()["data"]  # type: ignore[no-any-return]


async def test_people_make_list_and_end_their_own(one: World) -> None:
    user, other = await added(one), await added(one)
    session, theirs = await signed_in(one, user), await signed_in(one, other)
    async with (
        one.http(session["access_token"]) as client,
        one.http(theirs["access_token"]) as second,
    ):
        made = await issued(client, note="laptop", ttl_s=3600)
        assert (made["user"], made["roles"], made["note"]) == (user, [], "laptop")
        assert await good(one, made["token"])
        listed = (await client.get(PATH)).json()["data"]
        assert [entry["id"] for entry in listed] == [made["id"]]
        assert (await second.get(PATH)).json()["data"] == []
        none = await second.delete(f"{PATH}/nothing")
        hers = await second.delete(f"{PATH}/{made['id']}")
        assert error_of(none).message == error_of(hers).message
        assert error_of(hers).code == 404
        assert (await client.delete(f"{PATH}/{made['id']}")).status_code == 200
    assert not await good(one, made["token"])
    assert [kind for kind, _, _ in kinds(one, user)][-2:] == ["token.issued", "token.revoked"]


async def test_nobody_gives_roles_that_they_do_not_have(one: World) -> None:
    user = await added(one, roles=["auditor"])
    session = await signed_in(one, user)
    async with one.http(session["access_token"]) as client:
        assert (await issued(client, roles=["auditor"]))["roles"] == ["auditor"]
        for fields in ({"roles": ["admin"]}, {"user": "alice"}, {"user": name("u")}):
            assert error_of(await client.post(PATH, json=fields)).code == 403


async def test_a_token_has_no_more_scopes_than_what_asks_for_it(one: World) -> None:
    session = await signed_in(one, await added(one))
    async with one.http(session["access_token"]) as client:
        unknown = await client.post(PATH, json={"scopes": ["tasks:everything"]})
        assert error_of(unknown).code == 400
        assert error_of(await client.post(PATH, json={"scopes": []})).code == 400
        reader = await issued(client, scopes=["tasks:read"])
        keeper = await issued(client, scopes=["admin", "tasks:read"])
    assert reader["scopes"] == ["tasks:read"]
    async with one.http(reader["token"]) as client:
        answers = [
            await client.post(PATH, json={}),
            await client.get(PATH),
            await client.delete(f"{PATH}/{keeper['id']}"),
            await client.get("/api/auth/sessions"),
            await client.delete(f"/api/auth/sessions/{session['session']}"),
            await client.post("/api/auth/password", json={"old": "x", "new": "y"}),
            await client.get(f"/api/users/{reader['user']}"),
        ]
        for answer in answers:
            assert answer.json()["error"]["reason"] == "insufficient_scope"
            assert answer.status_code == 403
    async with one.http(keeper["token"]) as client:
        # Without a word about scopes it has the same ones.
        assert (await issued(client))["scopes"] == ["admin", "tasks:read"]
        answer = await client.post(PATH, json={"scopes": ["tasks:write"]})
        assert answer.json()["error"]["reason"] == "insufficient_scope"


async def test_an_admins_token_without_the_scope_keeps_no_accounts(one: World) -> None:
    async with one.http(ADMIN) as admin:
        made = await issued(admin, user=name("u"), roles=["admin"], scopes=["tasks:read"])
    async with one.http(made["token"]) as client:
        for answer in (await client.get("/api/users"), await client.get(PATH)):
            assert answer.json()["error"]["reason"] == "insufficient_scope"


async def test_a_token_that_ends_gives_none_that_lives_on(one: World) -> None:
    session = await signed_in(one, await added(one))
    async with one.http(session["access_token"]) as client:
        brief = await issued(client, ttl_s=600)
    async with one.http(brief["token"]) as client:
        for fields in ({}, {"ttl_s": 3600}):
            assert error_of(await client.post(PATH, json=fields)).code == 403
        assert (await issued(client, ttl_s=300))["expires"] < brief["expires"]


async def test_a_token_may_what_its_account_may(one: World) -> None:
    user = name("u")
    async with one.http(ADMIN) as admin:
        # Before there is an account, as ever.
        made = await issued(admin, user=user, roles=["admin"])
        async with one.http(made["token"]) as client:
            assert (await client.get("/api/users?limit=1")).status_code == 200
            await added(one, user, roles=["auditor"])
            assert error_of(await client.get("/api/users?limit=1")).code == 403
        answer = await admin.post(PATH, json={"user": user, "roles": ["admin"]})
        assert error_of(answer).code == 409
        assert (await issued(admin, user=user, roles=["auditor"]))["by"] == "root"


async def test_there_are_not_more_than_so_many_each(
    one: World,
) -> None:
    user = await added(one)
    session = await signed_in(one, user)
    async with one.http("admin-token") as admin:
        (
            await admin.put(f"/api/users/{user}/quota", json={"limits": {"tokens": 2}})
        ).raise_for_status()
    async with one.http(session["access_token"]) as client:
        first = await issued(client)
        await issued(client)
        assert error_of(await client.post(PATH, json={})).code == 429
        await client.delete(f"{PATH}/{first['id']}")
        await issued(client)
