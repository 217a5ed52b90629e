"""Accounts over HTTP: who keeps them, what ends when one is disabled, and who is the last admin."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from contracts.errors import Reason, Rejected
from services.bus.bus import Bus
from services.gateway.people.ports import Came
from services.gateway.people.records import User
from services.gateway.people.state import Gone
from services.gateway.people.users import Users, changed
from tests.support.facts import name
from tests.support.nats import NatsServer
from tests.unit.gateway.peopled import (
    ADMIN,
    PASSWORD,
    added,
    good,
    kinds,
    login,
    peopled,
    refreshed,
    signed_in,
)
from tests.unit.gateway.world import World, error_of


@pytest.fixture
async def one(tmp_path: Path, bus: Bus) -> AsyncIterator[World]:
    async with peopled(tmp_path, bus) as running:
        yield running


async def test_an_account_is_made_shown_changed_and_deleted(one: World) -> None:
    user = name("u")
    async with one.http(ADMIN) as admin:
        body = {"name": user, "display": "Ann", "email": "ann@example.com", "roles": ["auditor"]}
        made = (await admin.post("/api/users", json=body)).json()["data"]
        assert (made["roles"], made["has_password"], made["disabled"]) == (
            ["auditor"],
            False,
            False,
        )
        path = f"/api/users/{user}"
        assert (await admin.get(path)).json()["data"] == made
        again = await admin.post("/api/users", json=body)
        assert error_of(again).code == 409
        answer = await admin.patch(path, json={"email": "", "roles": ["user"]})
        assert (answer.json()["data"]["email"], answer.json()["data"]["roles"]) == ("", [])
        assert (await admin.delete(path)).status_code == 200
        assert error_of(await admin.get(path)).code == 404
        assert error_of(await admin.delete(path)).code == 404
        assert error_of(await admin.patch(path, json={})).code == 404
    assert [kind for kind, _, _ in kinds(one, user)] == [
        "user.created",
        "user.changed",
        "user.deleted",
    ]


async def test_the_name_of_somebody_deleted_is_not_given_away_by_accident(one: World) -> None:
    user = await added(one)
    old = await signed_in(one, user)
    async with one.http(ADMIN) as admin:
        token = (await admin.post("/api/tokens", json={"user": user})).json()["data"]["token"]
        assert (await admin.delete(f"/api/users/{user}")).status_code == 200
        assert not await good(one, token)
        body = {"name": user, "password": PASSWORD}
        answer = await admin.post("/api/users", json=body)
        assert error_of(answer).code == 409
        assert "again" in error_of(answer).message
        assert (await admin.post("/api/users", json=body | {"again": True})).status_code == 201
    # What the first one was given is not the second one's.
    assert not await good(one, token)
    assert not await good(one, old["access_token"])
    assert (await refreshed(one, old["refresh_token"])).status_code == 401
    assert await good(one, (await signed_in(one, user))["access_token"])


async def test_accounts_are_listed_in_pages(one: World) -> None:
    users = [await added(one, password=None) for _ in range(3)]
    found: list[str] = []
    async with one.http(ADMIN) as admin:
        cursor: int | None = 0
        while cursor is not None:
            answer = (await admin.get(f"/api/users?limit=2&cursor={cursor}")).json()
            assert len(answer["data"]) <= 2
            assert "password" not in answer["data"][0]
            found += [entry["name"] for entry in answer["data"]]
            cursor = answer["next_cursor"]
    assert [user for user in found if user in users] == users


async def test_a_disabled_user_is_out_at_every_gateway_within_a_second(
    one: World, tmp_path: Path
) -> None:
    user = await added(one)
    async with peopled(tmp_path / "other", one.bus) as other, one.http(ADMIN) as admin:
        session = await signed_in(one, user)
        access = session["access_token"]
        token = (await admin.post("/api/tokens", json={"user": user})).json()["data"]["token"]
        assert await good(other, access)
        assert await good(other, token)
        async with other.stream(access) as first, other.stream(token) as second:
            async with asyncio.timeout(20):
                body = {"disabled": True}
                assert (await admin.patch(f"/api/users/{user}", json=body)).status_code == 200
                assert await first.closed() == 4401
                assert await second.closed() == 4401
        for gateway in (one, other):
            assert not await good(gateway, access)
            assert not await good(gateway, token)
            assert (await login(gateway, user)).status_code == 401
            assert (await refreshed(gateway, session["refresh_token"])).status_code == 401
        answer = await admin.post("/api/tokens", json={"user": user})
        assert error_of(answer).code == 409
        # What was ended stays ended.
        await admin.patch(f"/api/users/{user}", json={"disabled": False})
        assert not await good(one, access)
        assert not await good(one, token)
        assert (await login(one, user)).status_code == 200


async def test_everything_of_a_user_can_be_ended(one: World) -> None:
    user = await added(one)
    session = await signed_in(one, user)
    async with one.http(ADMIN) as admin:
        token = (await admin.post("/api/tokens", json={"user": user})).json()["data"]["token"]
        answer = await admin.patch(f"/api/users/{user}", json={"end_everything": True})
        assert answer.status_code == 200
    assert not await good(one, session["access_token"])
    assert not await good(one, token)
    assert (await refreshed(one, session["refresh_token"])).status_code == 401
    assert (await login(one, user)).status_code == 200


async def test_an_open_stream_ends_with_a_role_and_the_session_goes_on_without(
    one: World,
) -> None:
    user, _other = [await added(one, roles=["admin"]) for _ in "12"]
    session = await signed_in(one, user)
    async with one.http(ADMIN) as admin, one.http(session["access_token"]) as client:
        assert (await client.get("/api/users?limit=1")).status_code == 200
        async with one.stream(session["access_token"]) as stream:
            assert (await admin.patch(f"/api/users/{user}", json={"roles": []})).status_code == 200
            assert await stream.closed() == 4401
        assert error_of(await client.get("/api/users?limit=1")).code == 403
    assert await good(one, session["access_token"])


async def test_a_ticket_has_no_role_that_its_owner_has_lost(one: World) -> None:
    user, _other = [await added(one, roles=["admin"]) for _ in "12"]
    session = await signed_in(one, user)
    async with one.http(ADMIN) as admin, one.http(session["access_token"]) as client:
        ticket = (await client.post("/api/auth/ticket")).json()["data"]["ticket"]
        assert (await admin.patch(f"/api/users/{user}", json={"roles": []})).status_code == 200
        async with one.http(None) as nobody:
            answer = await nobody.get("/api/events", params={"ticket": ticket})
        assert error_of(answer).code == 401


async def test_neither_a_service_nor_a_disabled_user_can_begin_a_session(one: World) -> None:
    service, off = await added(one, password=None, service=True), await added(one)
    async with one.http(ADMIN) as admin:
        await admin.patch(f"/api/users/{off}", json={"disabled": True})
    for user in (service, off):
        account = one.site.parts.users.account(user)
        assert account is not None
        with pytest.raises(Rejected) as refused:
            await one.site.parts.signed_in.begin(account, Came("github"))
        assert refused.value.reason is Reason.FORBIDDEN


async def test_people_see_and_change_themselves_and_nobody_else(one: World) -> None:
    user, other = await added(one), await added(one)
    session = await signed_in(one, user)
    async with one.http(session["access_token"]) as client:
        own, theirs = f"/api/users/{user}", f"/api/users/{other}"
        assert (await client.get(own)).json()["data"]["name"] == user
        answer = await client.patch(own, json={"display": "Me", "email": "me@example.com"})
        assert answer.json()["data"]["display"] == "Me"
        for body in ({"roles": ["admin"]}, {"disabled": True}, {"end_everything": True}):
            assert error_of(await client.patch(own, json=body)).code == 403
        missing = f"/api/users/{name('u')}"
        for path in (theirs, missing):
            assert error_of(await client.get(path)).code == 404
            assert error_of(await client.patch(path, json={"display": "x"})).code == 404
        answers = [
            await client.get("/api/users"),
            await client.post("/api/users", json={"name": name("u")}),
            *[await client.delete(path) for path in (own, theirs, missing)],
            *[
                await client.post(f"{path}/password", json={"password": "a new password 1"})
                for path in (own, theirs, missing)
            ],
        ]
    assert {error_of(answer).code for answer in answers} == {403}
    assert len({error_of(answer).message for answer in answers}) == 1


@pytest.mark.parametrize(
    "fields",
    [
        {"name": "a b"},
        {"name": "-"},
        {"name": "x" * 65},
        {"roles": ["root"]},
        {"email": "no address"},
        {"display": "x" * 201},
        {"password": "short"},
        {"service": True, "password": PASSWORD},
        {"service": True, "roles": ["admin"]},
        {"epoch": 7},
    ],
)
async def test_what_makes_no_sense_is_refused(one: World, fields: dict[str, Any]) -> None:
    async with one.http(ADMIN) as admin:
        answer = await admin.post("/api/users", json={"name": name("u")} | fields)
    assert error_of(answer).code == 400


async def test_local_is_the_data_folders(one: World) -> None:
    async with one.http(ADMIN) as admin:
        assert error_of(await admin.post("/api/users", json={"name": "local"})).code == 409


async def test_a_service_has_tokens_and_no_password(one: World) -> None:
    user = await added(one, password=None, service=True)
    async with one.http(ADMIN) as admin:
        answer = await admin.post(f"/api/users/{user}/password", json={"password": PASSWORD})
        assert error_of(answer).code == 409
        token = (await admin.post("/api/tokens", json={"user": user})).json()["data"]["token"]
    assert await good(one, token)


async def test_the_last_admin_stays(fresh_nats: NatsServer, tmp_path: Path) -> None:
    async with fresh_nats.connected("gateway") as bus, peopled(tmp_path, bus) as one:
        first, second = await added(one, roles=["admin"]), await added(one, roles=["admin"])
        third = await added(one, roles=["admin"], password=None)
        async with one.http(ADMIN) as admin:
            await admin.patch(f"/api/users/{third}", json={"disabled": True})
            gone = await admin.patch(f"/api/users/{first}", json={"roles": []})
            assert gone.status_code == 200
            path = f"/api/users/{second}"
            answers = [
                await admin.patch(path, json={"roles": []}),
                await admin.patch(path, json={"disabled": True}),
                await admin.delete(path),
            ]
            assert {error_of(answer).code for answer in answers} == {409}
            assert "last admin" in error_of(answers[0]).message
            left = (await admin.get(path)).json()["data"]
            assert (left["roles"], left["disabled"]) == (["admin"], False)


async def test_two_gateways_that_take_the_last_two_admins_leave_one_at_least(
    fresh_nats: NatsServer, tmp_path: Path
) -> None:
    async with (
        fresh_nats.connected("gateway") as bus,
        peopled(tmp_path / "a", bus) as one,
        peopled(tmp_path / "b", bus) as other,
    ):
        for _ in range(5):
            names = [await added(one, roles=["admin"]) for _ in "12"]
            users: list[Users] = [w.site.parts.users for w in (one, other)]
            for each in (one, other):
                await each.site.parts.state.refresh()
            await asyncio.gather(
                *(
                    each.change(who, changed({"roles": ()}), "")
                    for each, who in zip(users, names, strict=True)
                ),
                return_exceptions=True,
            )
            await one.site.parts.state.refresh()
            assert users[0]._admins() >= 1


async def test_of_two_gateways_that_make_one_user_one_is_told(one: World, tmp_path: Path) -> None:
    user = name("u")
    async with peopled(tmp_path / "other", one.bus) as other:
        found = await asyncio.gather(
            *(each.site.parts.users.create(User(name=user), "") for each in (one, other)),
            return_exceptions=True,
        )
    assert {type(each) for each in found} == {User, Rejected}


async def test_changes_at_two_gateways_at_once_are_both_kept(one: World, tmp_path: Path) -> None:
    user = await added(one)
    async with peopled(tmp_path / "other", one.bus) as other:
        await asyncio.gather(
            one.site.parts.users.change(user, changed({"display": "Ann"}), ""),
            other.site.parts.users.change(user, changed({"email": "a@example.com"}), ""),
        )
        await one.site.parts.state.refresh()
    found = one.site.parts.users.get(user)
    assert found is not None
    assert (found.display, found.email) == ("Ann", "a@example.com")


async def test_hooks_hear_only_of_users_who_may_less(one: World) -> None:
    users = one.site.parts.users
    told: list[str] = []
    users.on_less.append(told.append)
    ann = User(name="ann", roles=("admin",))
    later = User(name="ann", roles=("admin",), seen=1.0)
    for before, after in ((None, ann), (ann, later)):
        users._changed(Gone("ann", before, after))
    assert told == []
    for before, after in (
        (ann, User(name="ann")),
        (ann, User(name="ann", roles=("admin",), epoch=1)),
        (ann, User(name="ann", roles=("admin",), disabled=True)),
        (ann, None),
    ):
        users._changed(Gone("ann", before, after))
    assert told == ["ann"] * 4
