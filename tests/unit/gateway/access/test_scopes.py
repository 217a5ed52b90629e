"""Which scope each route needs, and that without it nothing is shown and nothing is done.

A new route needs one line in `NEEDS` here, besides its row in `test_authorisation`.
"""

from __future__ import annotations

from typing import Any

import httpx
import pytest
from litestar import Litestar, get
from litestar.di import Provide

from contracts.scopes import (
    ADMIN,
    EVERY,
    HOSTS_READ,
    HOSTS_WRITE,
    MCP_CALL,
    RESULTS_READ,
    TASKS_READ,
    TASKS_WRITE,
)
from services.gateway import app
from services.gateway.http.parts import Asking, principal
from services.gateway.http.scoped import check_declared
from services.gateway.openapi.document import PATH as SCHEMA
from tests.unit.gateway.access.rows import Who
from tests.unit.gateway.access.table import GITHUB, ID, OF_ALICE, PROJECT, REPO, TABLE
from tests.unit.gateway.access.test_authorisation import things
from tests.unit.gateway.alices import BLOB, DONE, MARK, NONE, Alices, seen, together
from tests.unit.gateway.scoped import token, without
from tests.unit.gateway.world import World

NEEDS: dict[str, list[str]] = {
    TASKS_READ: [
        *("GET /api/tasks", "GET /api/tasks/counts", "GET /api/tasks/export"),
        *(f"GET /api/{one}" for one in ("batches", "batches/{batch}")),
        *(f"GET /api/{one}" for one in ("operations", "operations/{operation}")),
        "GET /api/tasks/{task}",
        "GET /api/tasks/{task}/events",
        "GET /api/tasks/{task}/why",
        "GET /api/tasks/{task}/trace",
        "GET /api/tasks/{task}/recompute",
        *("GET /api/overview", "GET /api/queue", "GET /api/workers"),
        "GET /api/asks",
        "GET /api/blobs",
        "GET /api/accounts/huggingface/tasks",
        "GET /api/projects",
        *(f"GET {PROJECT}{of}" for of in ("", "/members", "/tasks")),
    ],
    TASKS_WRITE: [
        "POST /api/tasks",
        "POST /api/tasks/{task}/cancel",
        "POST /api/tasks/{task}/answer",
        *("PUT /api/tasks/{task}/tags", "POST /api/tasks/{task}/again"),
        *("POST /api/batches", "POST /api/operations", "POST /api/operations/{operation}/stop"),
        "PUT /api/blobs",
        "DELETE /api/blobs/{sha256}",
        "DELETE /api/results/{task}",
        "POST /api/projects",
        f"PATCH {PROJECT}",
        f"POST {PROJECT}/archive",
    ],
    RESULTS_READ: [
        "GET /api/results",
        "GET /api/results/{task}",
        "GET /api/results/{task}/content",
        "GET /api/tasks/{task}/result",
        "GET /api/tasks/{task}/audit",
        "POST /api/results/{task}/verify",
        f"GET {PROJECT}/results",
    ],
    HOSTS_READ: [
        "GET /api/mcps",
        "GET /api/mcps/{host}",
        f"GET /api/mcps/{ID}",
        "GET /api/preferences",
        "GET /api/profiles",
        "GET /api/profiles/{profile}",
        "GET /api/accounts",
        "GET /api/links",
        "GET /api/mcps/{host}/link",
        f"GET /api/mcps/{ID}/link",
        *(f"GET /api/mcps/{one}/history" for one in ("{host}", ID)),
        "GET /api/connect",
        "GET /api/load",
        "GET /api/accounts/{provider}",
        "GET /api/spaces",
        f"GET {REPO}",
    ],
    HOSTS_WRITE: [
        "POST /api/mcps",
        "POST /api/mcps/discover",
        "POST /api/mcps/import",
        *(
            f"{verb} /api/mcps/{path}"
            for verb in ("POST", "PUT", "DELETE")
            for path in ("{host}", ID)
        ),
        *(
            f"POST /api/mcps/{path}/{verb}"
            for verb in ("check", "probe", "enable", "disable")
            for path in ("{host}", ID)
        ),
        "PUT /api/profiles/{profile}",
        "DELETE /api/profiles/{profile}",
        *(
            f"{verb} /api/preferences/{path}"
            for verb in ("PUT", "DELETE")
            for path in ("{host}", ID)
        ),
        "PUT /api/accounts/{provider}",
        *(f"{verb} /api/mcps/{one}/link" for verb in ("POST", "DELETE") for one in ("{host}", ID)),
        "DELETE /api/accounts/{provider}",
        "POST /api/spaces",
        f"POST {REPO}/deploy",
        f"POST {REPO}/restart",
        "GET /api/github/user",
        "GET /api/github/repos",
        "POST /api/github/repos",
        *(f"GET {GITHUB}{of}" for of in ("", "/branches", "/contents", "/file")),
        f"PUT {GITHUB}/file",
    ],
    MCP_CALL: [f"{verb} {app.MCP}" for verb in ("GET", "POST", "DELETE")] + [f"POST {app.MCP}/"],
    ADMIN: [
        *("GET /api/access", "GET /api/access/follow", "GET /api/me/access"),
        *("GET /api/auth/grants", "DELETE /api/auth/grants/{grant}"),
        *("GET /api/auth/identities", "DELETE /api/auth/identities/{key}"),
        *("GET /api/auth/invitations", "POST /api/auth/invitations"),
        "DELETE /api/auth/invitations/{key}",
        *("GET /api/auth/sessions", "DELETE /api/auth/sessions/{session}"),
        *("POST /api/auth/password", "POST /api/auth/device/allow", "POST /api/auth/console-links"),
        *("GET /api/clients", "POST /api/clients", "DELETE /api/clients/{client}"),
        *(f"{verb} {PROJECT}/members/{{user}}" for verb in ("PUT", "DELETE")),
        *("GET /api/users", "POST /api/users", "POST /api/users/{person}/password"),
        *(f"{verb} /api/users/{{person}}" for verb in ("GET", "PATCH", "DELETE")),
        *(f"{verb} /api/users/{{user}}/quota" for verb in ("GET", "PUT", "DELETE")),
        "GET /api/mcps/{host}/log",
        f"GET /api/mcps/{ID}/log",
        *("GET /api/restored", "POST /api/restored", "GET /api/settings", "GET /api/keys"),
        "GET /api/publishers",
        "GET /api/tokens",
        "POST /api/tokens",
        "DELETE /api/tokens/{token}",
    ],
}
ANY = ["POST /api/auth/ticket", "POST /api/auth/logout", "GET /api/auth/csrf", "GET /api/me"]
"""For which any token will do."""
OWN_RULES = {f"GET {app.EVENTS}": {TASKS_READ, HOSTS_READ}}
"""Of these scopes one, by what is asked for: `test_scopes_of_streams`."""
OTHERWISE = {
    "GET /api/access/follow": "it has no end",
    "POST /api/auth/password": "the old password is wrong",
    "POST /api/tasks/{task}/again": "it shows the input of the task: that needs tasks:read as well",
    "POST /api/auth/console-links": "clients make none: `test_console_links`",
    "POST /api/auth/device/allow": "what is good for all is given by what is good for all",
}
"""Routes that answer somebody with the scope otherwise than the table says, or refuse them."""
OF = {route: scope for scope, routes in NEEDS.items() for route in routes}
ROLES = ("admin", "auditor")


def test_every_route_says_which_scope_it_needs() -> None:
    asked = {f"{m} {path}" for (m, path), row in TABLE.items() if row.who is not Who.PUBLIC}
    said = {*OF, *ANY, *OWN_RULES}
    missing = sorted(asked - said)
    assert missing == [], "say in NEEDS, or in ANY, which scope a token needs for these routes"
    assert sorted(said - asked) == [], "there are no such routes in the table of authorisation"


def test_a_route_that_asks_who_is_there_and_says_no_scope_stops_the_start() -> None:
    @get("/api/new")
    async def new(principal: Asking) -> None: ...

    with pytest.raises(ValueError, match=r"GET /api/new$"):
        check_declared(Litestar([new], dependencies={"principal": Provide(principal)}))


async def test_the_description_says_the_same(gateway: World) -> None:
    async with gateway.http(None) as client:
        paths = (await client.get(f"{SCHEMA}/openapi.json")).json()["paths"]
    for path, operations in paths.items():
        for method, operation in operations.items():
            route = f"{method.upper()} {path}"
            given = [scopes for one in operation["security"] for scopes in one.values()]
            found = {scope for scopes in given for scope in scopes}
            wanted = OWN_RULES.get(route, {OF[route]} if route in OF else set())
            assert found == wanted, route
            assert not wanted or "403" in operation["responses"], route


def check_refused(answer: httpx.Response, scope: str) -> None:
    assert answer.status_code == 403, (answer.request.url, answer.text)
    challenge = f'Bearer error="insufficient_scope", scope="{scope}"'
    told, _, more = answer.headers["www-authenticate"].partition(", resource_metadata=")
    assert (told, bool(more)) == (challenge, answer.request.url.path.startswith(app.MCP))
    if answer.request.method != "HEAD":
        error = answer.json()["error"]
        assert (error["reason"], error["details"]) == ("insufficient_scope", {"scope": scope})
        assert f"`{scope}`" in error["message"]


def names(one: Alices, path: str) -> tuple[str, ...]:
    """What a path may name; all of it is as long as `NONE`, or known to be there."""
    if "{token}" in path:
        return (one.token,)
    found = things(path)
    return (f"{MARK}-some",) if found == ("",) and "{" in path else found


async def test_without_its_scope_nothing_is_shown_and_nothing_is_done(one: Alices) -> None:
    head = await one.head()

    async def refused(route: str, scope: str, name: str, sent: dict[str, Any]) -> None:
        method, _, path = route.partition(" ")
        narrow = without("alice", scope, roles=ROLES)
        answer = await one.ask(narrow, method, path, name, **sent)
        check_refused(answer, scope)
        none = await one.ask(narrow, method, path, NONE, **sent)
        assert seen(answer, name) == seen(none, NONE), f"{route}: nor whether it is there"
        nothing = await one.ask(token("alice"), method, path, name, **sent)
        check_refused(nothing, scope)

    work = []
    for route, scope in OF.items():
        method, _, path = route.partition(" ")
        row = TABLE[method, path]
        # As it must be nothing to what is asked for whether that is there, one thing is enough.
        name = names(one, path)[0]
        work.append(refused(route, scope, name, dict(row.given)))
        if method == "GET" and scope != MCP_CALL:
            work.append(refused(f"HEAD {path}", scope, name, {}))
        work.extend(refused(route, scope, name, dict(more)) for more in row.more)
    await together(*work)
    assert await one.written(head) == []


async def test_with_its_scope_alone_each_route_works(own: Alices) -> None:
    for (method, path), row in TABLE.items():
        scope = OF.get(f"{method} {path}")
        if scope in (None, MCP_CALL) or f"{method} {path}" in OTHERWISE:
            continue
        theirs = row.who in (Who.ADMIN, Who.HIDDEN, Who.ELSEWHERE)
        user, roles = ("root", ROLES) if theirs else ("alice", ())
        name = row.on or names(own, path)[0]
        answer = await own.ask(token(user, scope, roles=roles), method, path, name, **row.given)
        assert answer.status_code != 403, (path, answer.text)
        if row.who not in (Who.FREE, Who.HERS, Who.ELSEWHERE):
            assert answer.status_code == row.status, (path, answer.text)


async def test_any_token_gets_a_ticket_that_is_good_for_as_much(one: Alices) -> None:
    made = (await one.has(token("alice"), "POST", "/api/auth/ticket", status=201))["ticket"]
    answer = await one.ask("", "GET", app.EVENTS, params={"ticket": made})
    check_refused(answer, TASKS_READ)


async def test_roles_are_worth_nothing_without_the_scope_admin(one: Alices) -> None:
    narrow = without("watson", ADMIN, roles=ROLES)
    read = [(path, row) for (method, path), row in TABLE.items() if method == "GET"]
    for path, row in read:
        if row.audited == OF_ALICE:
            name = row.on or things(path)[0]
            for sent in (OF_ALICE, {"params": {"user": "nobody"}}):
                check_refused(await one.ask(narrow, "GET", path, name, **sent), ADMIN)
        elif row.audited == {}:
            answer = await one.ask(narrow, "GET", path, row.on)
            assert MARK not in seen(answer, row.on).text, path
    for path in ("/api/blobs",):
        check_refused(await one.ask(narrow, "GET", path, **OF_ALICE), ADMIN)
    whole = token("watson", *EVERY, roles=ROLES)
    assert MARK in (await one.ask(whole, "GET", "/api/tasks", **OF_ALICE)).text


async def test_a_token_that_is_not_for_results_sees_tasks_without_them(one: Alices) -> None:
    narrow, whole = token("alice", TASKS_READ), token("alice", TASKS_READ, RESULTS_READ)
    for task in (DONE, BLOB):
        for path in ("/api/tasks/{task}", "/api/tasks/{task}/events"):
            shown = (await one.ask(narrow, "GET", path, task)).text
            full = (await one.ask(whole, "GET", path, task)).text
            assert ('"result":' in full, '"result":' in shown) == (True, False), path
            assert '"sha256":' in full
            assert '"sha256":' not in shown
            assert '"status":"succeeded"' in shown or '"outcome":"succeeded"' in shown
