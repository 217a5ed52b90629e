"""Who may do what, for every route there is: one without a row in the table fails.

Websocket frames, events and MCP tools are in `test_authorisation_streams` and `_mcp`.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterable, Mapping
from enum import Enum
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from litestar.routes import HTTPRoute

from services.gateway import app
from services.gateway.access.identity import digest
from services.gateway.openapi.document import PATH as SCHEMA
from tests.support.nats import NatsServer
from tests.unit.gateway.alices import (
    BLOB,
    DONE,
    HERS,
    HOST,
    IDLE,
    MARK,
    MORE,
    NONE,
    PUBLIC_HOST,
    SPACE,
    WAIT,
    Alices,
    Seen,
    alices,
    seen,
    together,
)
from tests.unit.gateway.http.test_tokens import issuing
from tests.unit.gateway.whole import ENTRY
from tests.unit.gateway.world import TASK, TOKENS, World, assert_is, error_of, write_tokens

ALICE, BOB, AUDITOR, ADMIN = "alice-token", "bob-token", "auditor-token", "admin-token"
METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE")


class Who(Enum):
    """Whose a route is."""

    PUBLIC = "nobody need say who is asking"
    OWN = "everybody has their own there"
    NAMED = "the thing's owner; to all others it does not exist"
    TAKEN = "everybody, but an id that somebody has is taken"
    ADMIN = "the role admin; all others are told so"
    HIDDEN = "the role admin; to all others there is nothing"
    ELSEWHERE = "somebody; the tests of streams and of the MCP door say what they see"


class Row(NamedTuple):
    """What holds for one route."""

    who: Who
    on: str = ""
    """The thing of Alice's that she asks for."""
    given: Mapping[str, Any] = {}
    """What is sent besides the path."""
    status: int = 200
    """What those are answered who may."""
    audited: Mapping[str, Any] | None = None
    """What an auditor sends to read what is Alice's; None: nobody else reads it."""
    more: tuple[Mapping[str, Any], ...] = ()
    """Other ways to ask, which find nothing of others' either."""


def named(on: str, given: dict[str, Any] | None = None, **fields: Any) -> Row:
    return Row(Who.NAMED, on, given or {}, **fields)


OF_ALICE: dict[str, Any] = {"params": {"user": "alice"}}
OF_NOBODY: dict[str, Any] = {"params": {"user": "carol"}}
AUDITED: dict[str, Any] = {"audited": OF_ALICE, "more": (OF_ALICE,)}
BYTES: tuple[dict[str, Any], ...] = (
    {"headers": {"Range": "bytes=0-9"}},
    {"headers": {"Range": "bytes=999999-"}},
    {"headers": {"If-None-Match": "*"}},
    {"headers": {"If-Range": '"x"', "Range": "bytes=0-9"}},
)
READ: dict[str, Any] = {"audited": OF_ALICE, "more": (OF_ALICE, *BYTES)}
PUBLIC = Row(Who.PUBLIC)
OWN = Row(Who.OWN)
REPO = "/api/spaces/{owner}/{name}"

TABLE: dict[tuple[str, str], Row] = {
    ("GET", "/"): PUBLIC,
    ("GET", "/api/health"): PUBLIC,
    ("GET", "/api/health/live"): PUBLIC,
    ("GET", "/api/health/ready"): PUBLIC,
    ("GET", "/api/docs"): PUBLIC,
    ("GET", "/api/limits"): PUBLIC,
    ("GET", SCHEMA): PUBLIC,
    ("GET", f"{SCHEMA}/openapi.json"): PUBLIC,
    ("GET", f"{SCHEMA}/{{path}}"): Row(Who.PUBLIC, status=404),
    ("GET", "/.well-known/jwks.json"): PUBLIC,
    ("GET", app.STREAM): Row(Who.PUBLIC, status=426),
    ("GET", app.EVENTS): Row(Who.ELSEWHERE),
    ("GET", app.MCP): Row(Who.ELSEWHERE),
    ("POST", app.MCP): Row(Who.ELSEWHERE),
    ("DELETE", app.MCP): Row(Who.ELSEWHERE),
    ("POST", f"{app.MCP}/"): Row(Who.ELSEWHERE),
    ("POST", "/api/auth/ticket"): Row(Who.OWN, status=201),
    ("PUT", "/api/blobs"): Row(Who.OWN, given={"content": "x"}, status=201),
    ("GET", "/api/tasks"): Row(Who.OWN, **AUDITED),
    ("POST", "/api/tasks"): Row(Who.OWN, given={"json": TASK}, status=201),
    ("GET", "/api/tasks/{task}"): named(DONE, **AUDITED),
    ("GET", "/api/tasks/{task}/events"): named(WAIT, **AUDITED),
    ("GET", "/api/tasks/{task}/why"): named(DONE, **AUDITED),
    ("GET", "/api/tasks/{task}/result"): named(DONE, **READ),
    ("POST", "/api/tasks/{task}/cancel"): named(WAIT),
    ("GET", "/api/results"): Row(Who.OWN, **AUDITED),
    ("GET", "/api/results/{task}"): named(BLOB, **AUDITED),
    ("GET", "/api/results/{task}/content"): named(BLOB, **READ),
    ("POST", "/api/results/{task}/verify"): named(BLOB),
    ("DELETE", "/api/results/{task}"): named(BLOB),
    ("GET", "/api/preferences"): OWN,
    ("PUT", "/api/preferences/{host}"): named(HOST, {"json": {"weight": 1}}),
    ("DELETE", "/api/preferences/{host}"): named(HOST),
    ("GET", "/api/mcps"): Row(Who.OWN, audited={}),
    ("POST", "/api/mcps/discover"): OWN,
    ("GET", "/api/mcps/{host}"): named(HOST, audited={}),
    ("POST", "/api/mcps"): Row(Who.TAKEN, HOST, {"json": ENTRY | {"id": HOST}}),
    ("POST", "/api/mcps/{host}"): Row(Who.TAKEN, HOST, {"json": ENTRY}),
    ("PUT", "/api/mcps/{host}"): named(HOST, {"json": ENTRY}),
    ("POST", "/api/mcps/{host}/probe"): named(HOST),
    ("POST", "/api/mcps/{host}/disable"): named(HOST),
    ("POST", "/api/mcps/{host}/enable"): named(IDLE),
    ("GET", "/api/mcps/{host}/log"): Row(Who.HIDDEN, HOST),
    ("DELETE", "/api/mcps/{host}"): named(HOST),
    ("GET", "/api/spaces"): OWN,
    ("POST", "/api/spaces"): Row(Who.OWN, given={"json": {"name": "USER"}}, status=201),
    ("GET", REPO): named(SPACE),
    ("POST", f"{REPO}/deploy"): named(SPACE),
    ("POST", f"{REPO}/restart"): named(SPACE),
    ("GET", "/api/accounts"): OWN,
    ("GET", "/api/accounts/{provider}"): Row(Who.OWN, more=({"params": {"check": "true"}},)),
    ("GET", "/api/accounts/huggingface/tasks"): OWN,
    ("PUT", "/api/accounts/{provider}"): Row(Who.OWN, given={"json": {"token": "hf_USER"}}),
    ("DELETE", "/api/accounts/{provider}"): OWN,
    ("GET", "/api/tokens"): Row(Who.ADMIN),
    ("POST", "/api/tokens"): Row(Who.ADMIN, given={"json": {"user": MARK}}, status=201),
    ("DELETE", "/api/tokens/{token}"): Row(Who.ADMIN),
}
"""In the order in which Alice asks: what takes away comes after what needs it."""


@pytest.fixture
async def one(fresh_nats: NatsServer, tmp_path: Path) -> AsyncIterator[Alices]:
    async with alices(fresh_nats, tmp_path) as ready:
        yield ready


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
    bearers = [{"Authorization": f"Bearer {word}"} for word in words]
    elsewhere = {"ticket": spent, "token": ALICE, "access_token": ALICE}
    return [
        *({"headers": headers} for headers in bearers),
        {"headers": {"Authorization": f"Basic {ALICE}"}},
        {"headers": bearers[0], "params": {"ticket": ticket}},
        {"headers": {"Cookie": f"token={ALICE}"}, "params": elsewhere},
    ]


async def test_every_route_has_a_row(gateway: World) -> None:
    routes = gateway.site.app._http.routes  # type: ignore[attr-defined]
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
    wrong = wrong_credentials(*made, issued["token"])
    async with gateway.http(None) as client:
        spending = await client.get(app.EVENTS, params={"ticket": made[0], "to": "nothing"})
        assert error_of(spending).code == 400

        good = {"params": {"ticket": made[1]}}
        ways = [
            (method, path, row.given | sent)
            for method, path, row in with_heads(*set(Who) - {Who.PUBLIC})
            for sent in (*wrong, good)
            if sent is not good or path != app.EVENTS
        ]

        async def answered(method: str, path: str, sent: Mapping[str, Any]) -> Seen:
            return seen(await client.request(method, path, **sent), path)

        found = await together(*(answered(*way) for way in ways))
    assert [way for way, one in zip(ways, found, strict=True) if one.status != 401] == []
    told: dict[tuple[bool, bool], set[str]] = {}
    for (method, path, sent), one in zip(ways, found, strict=True):
        if method != "HEAD":
            shown = "Authorization" in sent.get("headers", ())
            text = repr((one.headers["www-authenticate"], one.text))
            told.setdefault((shown, path in app.MCP_PATHS), set()).add(text)
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
        answer = await asked(one, token, method, path, **row.given)
        assert (answer.status, MARK in repr(answer)) == (row.status, False), path
        for more in row.more:
            answer = await asked(one, token, method, path, **more)
            if more == OF_ALICE:
                assert answer.status == 404
                assert answer == await asked(one, token, method, path, **OF_NOBODY)
            assert MARK not in repr(answer)
    assert await all_she_sees(one) == before


async def test_roles_read_what_the_table_says(one: Alices) -> None:
    head = await one.head()

    async def audited(path: str, row: Row, name: str) -> None:
        given = row.audited or {}
        found = seen(await one.ask(AUDITOR, "GET", path, name, **given), "")
        if row.audited is None:
            assert MARK not in repr(found), path
        else:
            assert found == seen(await one.ask(ALICE, "GET", path, name), ""), path
            assert MARK in found.text, path

    async def for_admins(method: str, path: str, row: Row) -> None:
        name = row.on or one.token
        for token in (BOB, ALICE, AUDITOR):
            refused = await asked(one, token, method, path, name, **row.given)
            assert refused.status == (403 if row.who is Who.ADMIN else 404), path
            none = "x" * len(name)
            assert refused == await asked(one, token, method, path, none, **row.given), path
        assert MARK in repr(await one.has(ADMIN, method, path, name=name, **row.given)), path

    read = [(path, row) for method, path, row in rows(Who.OWN, Who.NAMED) if method == "GET"]
    await together(
        *(
            audited(path, row, name)
            for path, row in read
            for name in things(path)
            if row.who is Who.OWN or row.audited is not None
        ),
        *(for_admins(*each) for each in rows(Who.ADMIN, Who.HIDDEN)),
    )
    assert await one.written(head) == []


async def test_alice_may(one: Alices) -> None:
    for method, path, row in rows(Who.OWN, Who.NAMED, Who.TAKEN):
        answer = await one.ask(ALICE, method, path, row.on, **row.given)
        assert answer.status_code == row.status, (path, answer.text)
        if row.on or row.audited is not None:
            assert MARK in answer.text, path


async def test_an_id_of_hers_is_free_for_others(one: Alices) -> None:
    before = await all_she_sees(one)

    async def his_own(task: str) -> None:
        view = await one.has(BOB, "POST", "/api/tasks", json=TASK | {"id": task}, status=201)
        assert (view["user"], view["status"], "result" in view) == ("bob", "pending", False)
        assert_is(await one.has(BOB, "GET", "/api/tasks/{task}", name=task), view)
        events = await one.has(BOB, "GET", "/api/tasks/{task}/events", name=task)
        assert [event["seq"] for event in events] == [view["seq"]]
        for path in ("/api/tasks/{task}/result", "/api/results/{task}"):
            assert (await one.ask(BOB, "GET", path, task)).status_code == 404
        await one.has(BOB, "POST", "/api/tasks/{task}/cancel", name=task)

    await together(*(his_own(task) for task in HERS["task"]))
    assert await all_she_sees(one) == before
    pointer = (await one.has(ALICE, "GET", "/api/tasks/{task}", name=BLOB))["result"]
    text = json.dumps({"type": "t.x", "input_pointer": pointer})
    for named in (text, text.replace("/alice/", "/bob/")):
        hers, none = [
            await asked(one, BOB, "POST", "/api/tasks", json=json.loads(body))
            for body in (named, named.replace(pointer["sha256"], "0" * 64))
        ]
        assert (hers.status, hers) == (400, none)
    await one.has(ALICE, "POST", "/api/tasks", json=json.loads(text))


async def test_of_a_host_id_that_is_taken_nothing_else_is_told(one: Alices) -> None:
    head, before = await one.head(), await all_she_sees(one)
    assert [path for _, path, _ in rows(Who.TAKEN)] == ["/api/mcps", "/api/mcps/{host}"]
    found = await together(
        *(
            asked(one, token, "POST", path, host, json=ENTRY | more | named_)
            for token in (BOB, AUDITOR)
            for host in (HOST, IDLE, PUBLIC_HOST)
            for path, named_ in (("/api/mcps", {"id": host}), ("/api/mcps/{host}", {}))
            for more in ({}, {"name": "Other"})
        )
    )
    assert found[0].status == 409
    assert "is taken: choose another one" in found[0].text
    texts = {one.text.replace("/api/mcps/NAME", "/api/mcps") for one in found}
    assert len(texts) == 1, "nor whether it is hers or everybody's"
    assert await one.written(head) == []
    assert await all_she_sees(one) == before
