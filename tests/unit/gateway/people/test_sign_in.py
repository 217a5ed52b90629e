"""Signing in with a password over HTTP: what it opens, what is refused, and how it ends."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import jwt
import pytest
import structlog

from services.bus.bus import Bus
from services.gateway.people import rotation
from services.gateway.people.entrance import WRONG
from services.gateway.people.passwords import MOST_WAITING, THREADS, HashTurns
from services.gateway.people.throttle import PAIR_FREE
from tests.support.facts import name
from tests.unit.gateway.peopled import (
    ADMIN,
    PASSWORD,
    added,
    good,
    kinds,
    login,
    noted,
    peopled,
    refreshed,
    signed_in,
)
from tests.unit.gateway.world import TASK, World, error_of


@pytest.fixture
async def one(tmp_path: Path, bus: Bus) -> AsyncIterator[World]:
    async with peopled(tmp_path, bus) as running:
        yield running


async def test_a_password_opens_what_its_user_has(one: World) -> None:
    user = await added(one)
    session = await signed_in(one, user)
    assert session["user"] == user
    assert session["token_type"] == "Bearer"
    assert (session["expires_in"], session["csrf_token"]) == (1800, "")
    assert 604_700 < session["refresh_expires_in"] <= 604_800
    async with one.http(session["access_token"]) as client:
        made = await client.post("/api/tasks", json=TASK)
        assert made.json()["data"]["user"] == user
        assert (await client.get(f"/api/users/{user}")).json()["data"]["seen"] > 0
    assert kinds(one, user) == [("user.created", "ok", ""), ("sign_in", "ok", "")]


async def test_an_access_token_says_whose_it_is_and_until_when(one: World) -> None:
    user = await added(one)
    session = await signed_in(one, user)
    claims = jwt.decode(session["access_token"], options={"verify_signature": False})
    assert (claims["sub"], claims["sid"], claims["aud"]) == (
        user,
        session["session"],
        "metamcp api",
    )
    assert claims["exp"] - claims["iat"] == 1800
    assert jwt.get_unverified_header(session["access_token"])["alg"] == "EdDSA"


@pytest.mark.parametrize("case", ["unknown", "wrong", "none", "service", "disabled", "no name"])
async def test_whoever_may_not_come_in_is_told_one_thing(one: World, case: str) -> None:
    user, password = name("u"), PASSWORD
    match case:
        case "wrong":
            await added(one, user)
            password = "another password"
        case "none":
            await added(one, user, password=None)
        case "service":
            await added(one, user, password=None, service=True)
        case "disabled":
            await added(one, user)
            async with one.http(ADMIN) as admin:
                answer = await admin.patch(f"/api/users/{user}", json={"disabled": True})
                assert answer.status_code == 200
        case "no name":
            user = "no name at all"
    answer = await login(one, user, password)
    error = error_of(answer)
    assert (error.code, error.message) == (401, WRONG)
    noted = [event for event in one.site.parts.trail.waiting if event.kind == "sign_in"]
    assert noted[-1].outcome == "refused"


async def test_whoever_guesses_waits_and_others_do_not(one: World) -> None:
    user, other = await added(one), await added(one)
    for _ in range(PAIR_FREE):
        assert (await login(one, user, "not the password")).status_code == 401
    answer = await login(one, user, "not the password")
    assert error_of(answer).code == 429
    assert int(answer.headers["retry-after"]) >= 1
    # The right one doesn't help, either: else it would be known by that.
    assert (await login(one, user)).status_code == 429
    assert kinds(one, user)[-1] == ("throttled", "refused", "rate_limited")
    assert (await login(one, other)).status_code == 200
    # Unknown users are throttled alike.
    unknown = name("u")
    statuses = [(await login(one, unknown)).status_code for _ in range(PAIR_FREE + 1)]
    assert statuses == [401] * PAIR_FREE + [429]


async def test_a_refresh_token_is_good_once_and_gives_the_next(one: World) -> None:
    user = await added(one)
    first = await signed_in(one, user)
    second = (await refreshed(one, first["refresh_token"])).json()["data"]
    assert second["session"] == first["session"]
    assert second["refresh_token"] != first["refresh_token"]
    assert await good(one, second["access_token"])
    third = (await refreshed(one, second["refresh_token"])).json()["data"]
    # The first one is two behind: it was stolen, or its owner's successor was.
    answer = await refreshed(one, first["refresh_token"])
    assert error_of(answer).code == 401
    assert error_of(await refreshed(one, third["refresh_token"])).code == 401
    assert not await good(one, third["access_token"])
    assert kinds(one, user)[-2:] == [
        ("refresh", "refused", "reuse"),
        ("session.ended", "ok", "reuse"),
    ]


async def test_a_lost_answer_is_given_again(one: World) -> None:
    first = await signed_in(one, await added(one))
    lost = (await refreshed(one, first["refresh_token"])).json()["data"]
    again = (await refreshed(one, first["refresh_token"])).json()["data"]
    assert again["refresh_token"] == lost["refresh_token"]
    assert (await refreshed(one, again["refresh_token"])).status_code == 200


async def test_but_not_for_long(one: World, monkeypatch: pytest.MonkeyPatch) -> None:
    first = await signed_in(one, await added(one))
    second = (await refreshed(one, first["refresh_token"])).json()["data"]
    monkeypatch.setattr(rotation, "AGAIN_S", -1.0)
    assert (await refreshed(one, first["refresh_token"])).status_code == 401
    assert (await refreshed(one, second["refresh_token"])).status_code == 401


async def test_what_was_not_given_out_here_is_nobodys(one: World) -> None:
    session = await signed_in(one, await added(one))
    prefix, _, mark = session["refresh_token"].rpartition(".")
    id_, _, _ = prefix.rpartition(".")
    wrong = [
        "",
        "x",
        f"{prefix}.",
        f"{prefix}.{mark[:-1]}",
        f"{id_}.1.{mark}",
        f"{id_}.-1.{mark}",
        f"{id_}.x.{mark}",
        session["refresh_token"] + ".x",
        session["access_token"],
    ]
    for token in wrong:
        assert error_of(await refreshed(one, token)).code == 401, token
    # Nor is one for the other.
    assert not await good(one, session["refresh_token"])
    assert (await refreshed(one, session["refresh_token"])).status_code == 200


def forged(token: str, **claims: Any) -> list[str]:
    """The same claims, but for some, as others would sign them."""
    whole = jwt.decode(token, options={"verify_signature": False}) | claims
    public = "the public key of nobody, as long as it has to be"
    return [
        jwt.encode(whole, public, "HS256", headers={"typ": "at+jwt"}),
        jwt.encode(whole, None, "none"),
    ]


async def test_an_access_token_of_others_is_nobodys(one: World) -> None:
    user = await added(one)
    token = (await signed_in(one, user))["access_token"]
    head, body, mark = token.split(".")
    keys = one.site.parts.signed_in.keys.known
    assert keys is not None
    claims = jwt.decode(token, options={"verify_signature": False})
    wrong = [
        *forged(token),
        f"{head}.{body}.{mark[:-4]}AAAA",
        f"{head}.{body}.",
        keys.sign("another audience", claims | {"aud": "another audience"}),
        keys.sign("metamcp api", claims | {"iss": "somebody"}),
        keys.sign("metamcp api", claims | {"exp": 1}),
        keys.sign("metamcp api", claims | {"sub": "root"}),
        keys.sign("metamcp api", claims | {"sid": "x"}),
        keys.sign("metamcp api", {k: v for k, v in claims.items() if k != "exp"}),
        "ey" + "." * 2,
        "eyJ" + "." * 3,
    ]
    for each in wrong:
        assert not await good(one, each), each
    assert await good(one, token)


async def test_signing_out_ends_what_the_session_gave(one: World) -> None:
    user = await added(one)
    session = await signed_in(one, user)
    async with (
        one.http(session["access_token"]) as client,
        one.stream(session["access_token"]) as stream,
    ):
        answer = await client.post("/api/auth/logout")
        assert answer.json()["data"] == {"id": session["session"], "ended": True}
        assert await stream.closed() == 4401
    assert not await good(one, session["access_token"])
    assert (await refreshed(one, session["refresh_token"])).status_code == 401
    assert ("sign_out", "ok", "") in kinds(one, user)


async def test_a_token_of_the_api_can_not_sign_out(one: World) -> None:
    async with one.http() as client:
        assert error_of(await client.post("/api/auth/logout")).code == 400
        assert error_of(await client.get("/api/auth/csrf")).code == 403


async def test_sessions_are_listed_and_ended_by_their_owner_and_admins(one: World) -> None:
    user, other = await added(one), await added(one)
    first, second = await signed_in(one, user), await signed_in(one, user)
    theirs = await signed_in(one, other)
    async with one.http(second["access_token"]) as client, one.http(ADMIN) as admin:
        listed = (await client.get("/api/auth/sessions")).json()["data"]
        assert [entry["id"] for entry in listed] == [second["session"], first["session"]]
        assert [entry["current"] for entry in listed] == [True, False]
        assert listed[0]["method"] == "password"
        assert listed[0]["address"] == "127.0.0.1"
        assert "mtr_" not in repr(listed)
        path = "/api/auth/sessions"
        assert (await client.delete(f"{path}/{first['session']}")).status_code == 200
        assert error_of(await client.delete(f"{path}/{theirs['session']}")).code == 404
        assert error_of(await client.delete(f"{path}/nothing")).code == 404
        assert error_of(await client.get(path, params={"user": other})).code == 403
        assert len((await admin.get(path, params={"user": other})).json()["data"]) == 1
        assert (await admin.delete(f"{path}/{theirs['session']}")).status_code == 200
    assert not await good(one, first["access_token"])
    assert not await good(one, theirs["access_token"])
    assert await good(one, second["access_token"])


async def test_the_oldest_session_makes_room(one: World) -> None:
    user = await added(one)
    async with one.http("admin-token") as admin:
        quota = {"limits": {"sign_ins": 2}}
        (await admin.put(f"/api/users/{user}/quota", json=quota)).raise_for_status()
    sessions = [await signed_in(one, user) for _ in range(3)]
    assert [await good(one, each["access_token"]) for each in sessions] == [False, True, True]


async def test_another_password_ends_the_other_sessions(one: World) -> None:
    user = await added(one)
    other, own = await signed_in(one, user), await signed_in(one, user)
    async with one.http(own["access_token"]) as client:
        path, new = "/api/auth/password", "a much longer one 7"
        wrong = await client.post(path, json={"old": "not that one", "new": new})
        assert error_of(wrong).code == 403
        weak = await client.post(path, json={"old": PASSWORD, "new": "password12345"})
        assert error_of(weak).code == 400
        done = await client.post(path, json={"old": PASSWORD, "new": new})
        assert done.json()["data"] == {"user": user}
    assert not await good(one, other["access_token"])
    assert await good(one, own["access_token"])
    assert (await login(one, user)).status_code == 401
    assert (await login(one, user, new)).status_code == 200
    assert ("password.changed", "ok", "") in kinds(one, user)


async def test_an_admin_sets_a_password_or_takes_it_away(one: World) -> None:
    user = await added(one)
    session = await signed_in(one, user)
    async with one.http(ADMIN) as admin:
        path = f"/api/users/{user}/password"
        assert (await admin.post(path, json={"password": "quite another one"})).status_code == 200
        assert not await good(one, session["access_token"])
        assert (await login(one, user, "quite another one")).status_code == 200
        assert (await admin.post(path, json={"password": None})).status_code == 200
        assert (await login(one, user, "quite another one")).status_code == 401
        assert error_of(await admin.post(path, json={"password": "short"})).code == 400
        nobody = f"/api/users/{name('u')}/password"
        answer = await admin.post(nobody, json={"password": "quite another one"})
        assert error_of(answer).code == 404


async def test_a_password_that_changes_while_it_is_compared_lets_nobody_in(
    one: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    user = await added(one)
    begin = one.site.parts.signed_in.begin

    async def meanwhile(*of: Any) -> Any:
        async with one.http(ADMIN) as admin:
            body = {"password": "quite another one"}
            await admin.post(f"/api/users/{user}/password", json=body)
        return await begin(*of)

    monkeypatch.setattr(one.site.parts.signed_in, "begin", meanwhile)
    assert (await login(one, user)).status_code == 401
    assert one.site.parts.signed_in.of_user(user) == []


async def test_many_may_sign_in_at_once(one: World) -> None:
    user = await added(one)
    found = await asyncio.gather(*(login(one, user) for _ in range(PAIR_FREE)))
    assert {answer.status_code for answer in found} == {200}


async def test_neither_logs_nor_events_have_what_lets_somebody_in(one: World) -> None:
    with structlog.testing.capture_logs() as lines:
        user = await added(one)
        session = await signed_in(one, user, cookie=True)
        await login(one, user, "wrong but secret")
        await login(one, "wrong-but-secret")
        await refreshed(one, session["refresh_token"])
    texts = (PASSWORD, "wrong but secret", session["access_token"], session["refresh_token"])
    for text in (*texts, session["csrf_token"], "wrong-but-secret"):
        assert text not in repr(lines)
        assert text not in noted(one)


@pytest.mark.parametrize(
    "body",
    [b"", b"[]", b'{"user": "a"}', b'{"user": 1, "password": "x"}', b'{"user": "a", "x": 1}'],
)
async def test_what_makes_no_sense_is_refused(one: World, body: bytes) -> None:
    async with one.http(None) as client:
        assert error_of(await client.post("/api/auth/login", content=body)).code == 400


async def test_without_nats_nobody_is_sure(one: World, bus: Bus) -> None:
    user = await added(one)
    session = await signed_in(one, user)
    await bus.close()
    assert (await login(one, user)).status_code == 503
    assert (await refreshed(one, session["refresh_token"])).status_code == 503
    # Whoever is in stays in.
    assert await good(one, session["access_token"])


async def test_who_finds_no_place_is_told_when_their_turn_is(
    one: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    passwords = one.site.parts.entrance.passwords
    monkeypatch.setattr(passwords, "_waiting", MOST_WAITING)
    monkeypatch.setattr(passwords, "_turns", HashTurns(each_s=THREADS * 10.0))
    async with one.http(None) as client:
        body = {"user": "somebody", "password": "a password"}
        answers = [await client.post("/api/auth/login", json=body) for _ in range(3)]
    assert [answer.status_code for answer in answers] == [503] * 3
    told = [int(answer.headers["retry-after"]) for answer in answers]
    assert told[0] in (10, 11)
    assert told[0] < told[1] < told[2] <= 31, "each another time"
