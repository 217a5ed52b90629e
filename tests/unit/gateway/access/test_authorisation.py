"""Who may do what, for every route there is: one without a row in the table fails.

Websocket frames, events and MCP tools are in `test_authorisation_streams` and `_mcp`.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import httpx
from litestar.routes import HTTPRoute

from services.gateway import app
from services.gateway.access.identity import digest
from services.gateway.openapi.document import PATH as SCHEMA
from tests.support.oauth_browser import PASSWORD, HandMade
from tests.unit.gateway.access.rows import Row, Who
from tests.unit.gateway.access.table import OF_ALICE, OF_NOBODY, TABLE
from tests.unit.gateway.alices import (
    BLOB,
    HERS,
    HOST,
    IDLE,
    MARK,
    MORE,
    NONE,
    PUBLIC_HOST,
    SHA256,
    Alices,
    Seen,
    seen,
    together,
)
from tests.unit.gateway.http.test_tokens import issuing
from tests.unit.gateway.oauth.acting import person
from tests.unit.gateway.whole import ENTRY
from tests.unit.gateway.world import NO_TLS, TASK, TOKENS, World, assert_is, error_of, write_tokens

ALICE, BOB, AUDITOR, ADMIN = "alice-token", "bob-token", "auditor-token", "admin-token"
BEN = "ben-token"
METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE")


def rows(*who: Who) -> list[tuple[str, str, Row]]:
    return [(*route, row) for route, row in TABLE.items() if row.who in who]


def with_heads(*who: Who) -> list[tuple[str, str, Row]]:
    """The same; whatever can be got, its head can."""
    heads = [("HEAD", path, row) for method, path, row in rows(*who) if method == "GET"]
    return rows(*who) + heads


def things(path: str) -> tuple[str, ...]:
    """What Alice has that a path may name."""
    return next((names for key, names in HERS.items() if f"{{{key}}}" in path), ("",))


async def asked(
    one: Alices, token: str, method: str, path: str, name: str = "", **given: Any
) -> Seen:
    return seen(await one.ask(token, method, path, name, **given), name)


async def all_she_sees(one: Alices) -> dict[str, Seen]:
    """What Alice reads, everywhere she can."""
    wanted = [
        (path, name)
        for method, path, _ in rows(Who.OWN, Who.NAMED)
        for name in things(path)
        if method == "GET"
    ]
    found = await together(*(asked(one, ALICE, "GET", *each) for each in wanted))
    return dict(zip(map(repr, wanted), found, strict=True))


def wrong_credentials(spent: str, ticket: str, revoked: str) -> list[dict[str, Any]]:
    """Ways to come without a good token."""
    words = ("expired-token", revoked, ticket, digest(ALICE))
    bearers = [bearing(word) for word in words]
    elsewhere = {"ticket": spent, "token": ALICE, "access_token": ALICE}
    return [
        *bearers,
        {"headers": {"Authorization": f"Basic {ALICE}"}},
        bearers[0] | {"params": {"ticket": ticket}},
        {"headers": {"Cookie": f"token={ALICE}"}, "params": elsewhere},
    ]


def bearing(token: str) -> dict[str, Any]:
    return {"headers": {"Authorization": f"Bearer {token}"}}


async def disabled(gateway: World) -> list[dict[str, Any]]:
    """What an account had that is disabled now, of each kind, all of it good before."""
    async with (
        person(gateway) as browser,
        httpx.AsyncClient(trust_env=False, verify=NO_TLS) as http,
        gateway.http(ADMIN) as admin,
    ):
        body = {"user": browser.user, "password": PASSWORD, "cookie": True}
        ours = {"Origin": gateway.url}
        session = await http.post(f"{gateway.url}/api/auth/login", json=body, headers=ours)
        access = session.json()["data"]["access_token"]
        async with gateway.http(access) as theirs:
            made = (await theirs.post("/api/tokens", json={})).json()["data"]["token"]
        client = HandMade(http, gateway.url)
        await client.register()
        # Without cookies, so that what was shown is all there is.
        cookie = "; ".join(f"{name}={value}" for name, value in http.cookies.items())
        oauth = (await client.granted(browser))["access_token"]
        ways = [{"headers": {"Cookie": cookie}}, *(bearing(one) for one in (access, made, oauth))]
        async with gateway.http(None) as nobody:
            for sent in ways:
                assert (await nobody.get("/api/me", **sent)).status_code in (200, 403), sent
            change = {"disabled": True}
            answer = await admin.patch(f"/api/users/{browser.user}", json=change)
            assert answer.status_code == 200, answer.text
    return ways


async def test_every_route_has_a_row(gateway: World) -> None:
    routes = gateway.site.app._http.app.routes  # type: ignore[attr-defined]
    assert {type(route) for route in routes} == {HTTPRoute}
    served = {(m, r.path_format) for r in routes for m in r.route_handler_map if m != "OPTIONS"}
    async with gateway.http(None) as client:
        document = (await client.get(f"{SCHEMA}/openapi.json")).json()["paths"]
        links = (await client.get("/")).json()["data"]["links"].values()
    served |= {(method.upper(), path) for path, found in document.items() for method in found}
    constants = [value for name, value in vars(app).items() if name.isupper()]
    groups = [[one] if isinstance(one, str) else one for one in constants]
    texts = {text for one in groups if isinstance(one, Iterable) for text in one}
    outside = {str(text) for text in texts if str(text).startswith("/")}
    assert {app.STREAM, app.EVENTS, app.MCP} <= outside, "what the outermost layer takes"
    assert set(TABLE) == served | {key for key in TABLE if key[1] in outside}
    assert outside <= {path for _, path in TABLE}
    assert set(links) <= {path for _, path in TABLE}


async def test_without_a_good_token_nobody_gets_in(gateway: World, tmp_path: Path) -> None:
    write_tokens(tmp_path, TOKENS | MORE)
    async with issuing(gateway), gateway.http() as alice, gateway.http(ADMIN) as admin:
        made = [(await alice.post("/api/auth/ticket")).json()["data"]["ticket"] for _ in "12"]
        issued = (await admin.post("/api/tokens", json={"user": "alice"})).json()["data"]
        await admin.delete(f"/api/tokens/{issued['id']}")
    ended = await disabled(gateway)
    wrong = [*wrong_credentials(*made, issued["token"]), {"params": {"ticket": made[1]}}]
    async with gateway.http(None) as client:
        spending = await client.get(app.EVENTS, params={"ticket": made[0], "to": "nothing"})
        assert error_of(spending).code == 400

        # Who is asking is found out before the route is: at each anonymous, and one way in turn of
        # those that are no good and of those that a disabled account had.
        ways = [
            (method, path, row.given | sent)
            for number, (method, path, row) in enumerate(with_heads(*set(Who) - {Who.PUBLIC}))
            for sent in ({}, wrong[number % len(wrong)], ended[number % len(ended)])
            if path != app.EVENTS or sent is not wrong[-1]
        ]

        async def answered(method: str, path: str, sent: Mapping[str, Any]) -> Seen:
            return seen(await client.request(method, path, **sent), path)

        found = await together(*(answered(*way) for way in ways))
    assert [way for way, one in zip(ways, found, strict=True) if one.status != 401] == []
    told: dict[tuple[bool, bool], set[str]] = {}
    for (method, path, sent), one in zip(ways, found, strict=True):
        if method != "HEAD":
            shown = "Authorization" in sent.get("headers", ())
            # The address of the metadata ends with the name of one of the two paths.
            asked = one.headers["www-authenticate"].replace("NAME", app.MCP)
            text = repr((asked, one.text))
            told.setdefault((shown, app.is_mcp(path)), set()).add(text)
    assert {len(texts) for texts in told.values()} == {1}, "why it is not good is told to nobody"
    assert await gateway.log.head() == 0


async def test_what_is_alices_does_not_exist_for_others(one: Alices) -> None:
    before, head = await all_she_sees(one), await one.head()
    ways = [
        (token, method, path, name, row.given | more)
        for method, path, row in with_heads(Who.NAMED)
        for more in ({}, *row.more)
        for token in (BOB, AUDITOR)
        if token == BOB or row.audited not in (more, {})
        for name in ((row.on,) if more or method == "HEAD" else things(path))
    ]

    async def both(
        token: str, method: str, path: str, name: str, sent: Mapping[str, Any]
    ) -> tuple[Seen, Seen]:
        hers = await asked(one, token, method, path, name, **sent)
        return hers, await asked(one, token, method, path, NONE, **sent)

    found = await together(*(both(*way) for way in ways))
    assert [way for way, (hers, none) in zip(ways, found, strict=True) if hers != none] == []
    assert [way for way, (hers, _) in zip(ways, found, strict=True) if hers.status != 404] == []
    assert all("not_found" in hers.text or not hers.text for hers, _ in found)
    assert await one.written(head) == []
    assert await all_she_sees(one) == before


async def test_everybody_has_their_own(one: Alices) -> None:
    before = await all_she_sees(one)
    for method, path, row in rows(Who.PUBLIC, Who.OWN):
        token = BOB if row.who is Who.OWN else ""
        answer = await asked(one, token, method, path, row.on, **row.given)
        assert (answer.status, MARK in repr(answer)) == (row.status, False), path
        for more in row.more:
            answer = await asked(one, token, method, path, **more)
            if more == OF_ALICE:
                assert answer.status == 404
                assert answer == await asked(one, token, method, path, **OF_NOBODY)
            assert MARK not in repr(answer)
    assert await all_she_sees(one) == before


async def test_roles_read_what_the_table_says(own: Alices) -> None:
    one, head = own, await own.head()

    async def audited(path: str, row: Row, name: str) -> None:
        given = row.audited or {}
        found = seen(await one.ask(AUDITOR, "GET", path, name, **given), "")
        if row.audited is None:
            assert MARK not in repr(found), path
        else:
            assert found == seen(await one.ask(ALICE, "GET", path, name), ""), path
            assert MARK in found.text, path

    async def refused(method: str, path: str, row: Row) -> None:
        name = row.on or one.token
        for token in (BOB, ALICE, AUDITOR):
            answer = await asked(one, token, method, path, name, **row.given)
            assert answer.status == (403 if row.who is Who.ADMIN else 404), path
            none = "x" * len(name)
            assert answer == await asked(one, token, method, path, none, **row.given), path

    read = [(path, row) for method, path, row in rows(Who.OWN, Who.NAMED) if method == "GET"]
    for_admins = rows(Who.ADMIN, Who.HIDDEN)
    await together(
        *(
            audited(path, row, name)
            for path, row in read
            for name in things(path)
            if row.who is Who.OWN or row.audited is not None
        ),
        *(refused(*each) for each in for_admins),
    )
    for method, path, row in for_admins:
        # In the table's order: the last takes away what the others read.
        name = row.on or one.token
        assert MARK in repr(await one.has(ADMIN, method, path, name=name, **row.given)), path
    assert await one.written(head) == []


async def test_alice_may(own: Alices) -> None:
    for method, path, row in rows(Who.OWN, Who.NAMED, Who.FREE, Who.HERS):
        answer = await own.ask(ALICE, method, path, row.on, **row.given)
        assert answer.status_code == row.status, (path, answer.text)
        if row.on or row.audited is not None:
            assert MARK in answer.text or row.on == SHA256 in answer.text, path


async def test_an_id_of_hers_is_free_for_others(one: Alices) -> None:
    before = await all_she_sees(one)

    async def his_own(task: str) -> None:
        view = await one.has(BEN, "POST", "/api/tasks", json=TASK | {"id": task}, status=201)
        assert (view["user"], view["status"], "result" in view) == ("ben", "pending", False)
        assert_is(await one.has(BEN, "GET", "/api/tasks/{task}", name=task), view)
        events = await one.has(BEN, "GET", "/api/tasks/{task}/events", name=task)
        assert [event["seq"] for event in events] == [view["seq"]]
        for path in ("/api/tasks/{task}/result", "/api/results/{task}"):
            assert (await one.ask(BEN, "GET", path, task)).status_code == 404
        await one.has(BEN, "POST", "/api/tasks/{task}/cancel", name=task)

    await together(*(his_own(task) for task in HERS["task"]))
    assert await all_she_sees(one) == before
    pointer = (await one.has(ALICE, "GET", "/api/tasks/{task}", name=BLOB))["result"]
    text = json.dumps({"type": "t.x", "input_pointer": pointer})
    for each in (text, text.replace("/alice/", "/ben/")):
        hers, none = [
            await asked(one, BEN, "POST", "/api/tasks", json=json.loads(body))
            for body in (each, each.replace(pointer["sha256"], "0" * 64))
        ]
        assert (hers.status, hers) == (400, none)
    await one.has(ALICE, "POST", "/api/tasks", json=json.loads(text))


async def test_a_name_of_hers_is_free_for_others_hosts(one: Alices) -> None:
    before = await all_she_sees(one)
    assert [path for _, path, _ in rows(Who.FREE)] == ["/api/mcps", "/api/mcps/{host}"]
    for path, name in (("/api/mcps", HOST), ("/api/mcps/{host}", IDLE)):
        entry = ENTRY | ({"id": name} if path == "/api/mcps" else {})
        made = await one.has(BOB, "POST", path, name=name, json=entry, status=201)
        assert (made["id"], made["owner"]) == (f"bob/{name}", "bob")
        found = await one.has(BOB, "GET", "/api/mcps/{host}", name=name)
        assert found["id"] == f"bob/{name}"
        await one.has(BOB, "DELETE", "/api/mcps/{host}", name=name)
    assert await all_she_sees(one) == before


async def test_under_her_name_nobody_registers_and_nothing_is_told(one: Alices) -> None:
    head, before = await one.head(), await all_she_sees(one)
    for _, path, _ in rows(Who.HERS):
        found = await together(
            *(
                asked(one, token, "POST", path, host, json=ENTRY)
                for token in (BOB, AUDITOR)
                for host in (HOST, IDLE, PUBLIC_HOST, NONE)
            )
        )
        assert found[0].status == 403
        assert len({one.text for one in found}) == 1, "nor whether she has one of that name"
    assert await one.written(head) == []
    assert await all_she_sees(one) == before
