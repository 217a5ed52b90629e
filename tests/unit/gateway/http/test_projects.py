"""Projects over the HTTP API: members see and send what their role allows, strangers see nothing.

Two gateways share the bucket of people and the log.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import pytest

from contracts.facts import Outcome
from contracts.result import inline
from tests.support import facts
from tests.support.facts import name
from tests.support.nats import NatsServer
from tests.unit.gateway.whole import whole
from tests.unit.gateway.world import TASK, TOKENS, World, error_of, made, world, write_tokens

PEOPLE = ("owner", "editor", "viewer", "stranger")
ROLES = {"auditor": ["auditor"], "admin": ["admin"]}


class Scene(NamedTuple):
    """A project, who is in it, and a gateway."""

    at: World
    project: str
    clients: dict[str, httpx.AsyncClient]
    users: dict[str, str]


@contextlib.asynccontextmanager
async def clients(one: World, folder: Path, users: dict[str, str]) -> AsyncIterator[Any]:
    """A client for each of these users; their names are made up for this test alone."""
    entries: dict[str, dict[str, Any]] = {
        f"{who}-token": {"user": user, "roles": ROLES.get(who, [])} for who, user in users.items()
    }
    write_tokens(folder, TOKENS | entries)
    async with contextlib.AsyncExitStack() as stack:
        yield {who: await stack.enter_async_context(one.http(f"{who}-token")) for who in (*users,)}


@contextlib.asynccontextmanager
async def scene(one: World, folder: Path) -> AsyncIterator[Scene]:
    users = {who: name(who) for who in (*PEOPLE, *ROLES)}
    async with clients(one, folder, users) as each:
        answer = await each["owner"].post("/api/projects", json={"name": "shop"})
        assert answer.status_code == 201, answer.text
        project = answer.json()["data"]["id"]
        for who in ("editor", "viewer"):
            path = f"/api/projects/{project}/members/{users[who]}"
            assert (await each["owner"].put(path, json={"role": who})).status_code == 200
        yield Scene(one, project, each, users)


@pytest.fixture
async def shop(gateway: World, tmp_path: Path) -> AsyncIterator[Scene]:
    async with scene(gateway, tmp_path) as ready:
        yield ready


async def statuses(shop: Scene, method: str, path: str, **given: Any) -> dict[str, int]:
    """What each is answered."""
    url = f"/api/projects/{shop.project}{path}"
    asked = {
        who: (await client.request(method, url, **given)) for who, client in shop.clients.items()
    }
    return {who: answer.status_code for who, answer in asked.items()}


SEE = {"owner": 200, "editor": 200, "viewer": 200, "stranger": 404, "auditor": 200, "admin": 200}
MANAGE = {"owner": 200, "editor": 403, "viewer": 403, "stranger": 404, "auditor": 403, "admin": 200}


@pytest.mark.parametrize(
    ("method", "path", "given", "expected"),
    [
        ("GET", "", {}, SEE),
        ("GET", "/members", {}, SEE),
        ("GET", "/tasks", {}, SEE),
        ("GET", "/results", {}, SEE),
        ("PATCH", "", {"json": {"description": "new"}}, MANAGE),
        ("PUT", "/members/somebody", {"json": {"role": "viewer"}}, MANAGE),
        ("POST", "/archive", {}, MANAGE),
    ],
)
async def test_each_may_what_their_role_says(
    shop: Scene, method: str, path: str, given: dict[str, Any], expected: dict[str, int]
) -> None:
    assert await statuses(shop, method, path, **given) == expected


async def test_to_a_stranger_a_project_is_as_one_that_is_not_there(shop: Scene) -> None:
    stranger = shop.clients["stranger"]
    there = error_of(await stranger.get(f"/api/projects/{shop.project}"))
    missing = error_of(await stranger.get("/api/projects/none"))
    assert there.message.replace(shop.project, "none") == missing.message
    sent = {"json": TASK | {"project": shop.project}}
    sent_there = error_of(await stranger.post("/api/tasks", **sent))
    assert (sent_there.code, sent_there.message) == (404, there.message)
    listed = await stranger.get("/api/tasks", params={"project": shop.project})
    assert (listed.status_code, error_of(listed).message) == (404, there.message)
    assert (await stranger.get("/api/projects")).json()["data"] == []
    assert error_of(await stranger.get("/api/projects/no.token")).code == 404


async def test_editors_submit_and_all_members_see_the_task(shop: Scene) -> None:
    codes = {"owner": 201, "editor": 201, "viewer": 403, "auditor": 404, "admin": 404}
    for who, code in codes.items():
        answer = await shop.clients[who].post("/api/tasks", json=TASK | {"project": shop.project})
        assert answer.status_code == code, (who, answer.text)
    editor = shop.users["editor"]
    (mine,) = (await shop.clients["editor"].get("/api/tasks")).json()["data"]
    assert mine["project"] == shop.project
    url = f"/api/tasks/{mine['id']}"
    for who in (*PEOPLE, *ROLES):
        client = shop.clients[who]
        seen = who != "stranger"
        for path in (url, f"{url}/events", f"{url}/why"):
            answer = await client.get(path, params={"user": editor})
            assert answer.status_code == (200 if seen else 404), (who, path)
        listed = await client.get("/api/tasks", params={"project": shop.project})
        assert len(listed.json().get("data", [])) == (2 if seen else 0), who
        # Without saying whose it is, it is one's own that is meant.
        assert (await client.get(url)).status_code == (200 if who == "editor" else 404)
        # To see is not to cancel.
        if who != "editor":
            assert (await client.post(f"{url}/cancel", params={"user": editor})).status_code in (
                400,
                404,
            )
    stranger = shop.clients["stranger"]
    there = error_of(await stranger.get(url, params={"user": editor})).message
    assert there == error_of(await stranger.get(url, params={"user": "nobody"})).message
    one = await shop.clients["viewer"].get(
        "/api/tasks", params={"project": shop.project, "user": editor}
    )
    assert [row["id"] for row in one.json()["data"]] == [mine["id"]]


async def test_who_is_put_out_sees_nothing_from_the_next_request_on(shop: Scene) -> None:
    task = await made(shop.clients["editor"], project=shop.project)
    url, params = f"/api/tasks/{task['id']}", {"user": shop.users["editor"]}
    viewer, member = shop.clients["viewer"], f"/api/projects/{shop.project}/members/"
    async with shop.at.stream("viewer-token") as stream:
        await stream.follow()
        assert (await viewer.get(url, params=params)).status_code == 200
        gone = await shop.clients["owner"].delete(member + shop.users["viewer"])
        assert gone.status_code == 200
        for path in (url, f"{url}/events", f"{url}/why", f"{url}/result"):
            assert (await viewer.get(path, params=params)).status_code == 404
        assert (await viewer.get(f"/api/projects/{shop.project}/tasks")).status_code == 404
        more = await made(shop.clients["editor"], project=shop.project)
        mine = await made(viewer)
        await stream.through((await viewer.get(f"/api/tasks/{mine['id']}")).json()["data"]["seq"])
        seen = {event["event"]["task"] for event in stream.events()}
        assert seen == {mine["id"]}, f"others' tasks come on no stream: {more['id']}"
    # An editor who leaves keeps what was theirs, and sends nothing more.
    assert (await shop.clients["editor"].delete(member + shop.users["editor"])).status_code == 200
    assert (await shop.clients["editor"].get(url)).status_code == 200
    sent = await shop.clients["editor"].post("/api/tasks", json=TASK | {"project": shop.project})
    assert sent.status_code == 404


async def test_the_last_owner_stays_one(shop: Scene) -> None:
    owner, users = shop.clients["owner"], shop.users
    mine = f"/api/projects/{shop.project}/members/{users['owner']}"
    for answer in (await owner.delete(mine), await owner.put(mine, json={"role": "viewer"})):
        assert (answer.status_code, error_of(answer).reason) == (409, "conflict")
        assert "would have no owner" in error_of(answer).message
    other = f"/api/projects/{shop.project}/members/{users['editor']}"
    assert (await owner.put(other, json={"role": "owner"})).status_code == 200
    assert (await owner.delete(mine)).status_code == 200
    assert (await owner.get(f"/api/projects/{shop.project}")).status_code == 404


async def test_an_archived_project_takes_no_task_and_shows_what_was_done(shop: Scene) -> None:
    owner, url = shop.clients["owner"], f"/api/projects/{shop.project}"
    task = await made(owner, project=shop.project)
    assert (await owner.post(f"{url}/archive")).json()["data"]["archived"] is True
    refused = await owner.post("/api/tasks", json=TASK | {"project": shop.project})
    assert (refused.status_code, error_of(refused).reason) == (409, "conflict")
    assert "is archived" in error_of(refused).message
    assert [row["id"] for row in (await owner.get(f"{url}/tasks")).json()["data"]] == [task["id"]]
    listed = {"params": {"archived": "true"}}
    assert [one["id"] for one in (await owner.get("/api/projects", **listed)).json()["data"]] == [  # type: ignore[arg-type]
        shop.project
    ]
    assert (await owner.patch(url, json={"archived": False})).status_code == 200
    await made(owner, project=shop.project)


async def test_quotas_of_a_project_name_themselves_and_ends_make_room(shop: Scene) -> None:
    owner, editor = shop.clients["owner"], shop.clients["editor"]
    url = f"/api/projects/{shop.project}"
    await owner.patch(url, json={"limits": {"open_tasks": 1}})
    first = await made(owner, project=shop.project, id="first")
    over = await editor.post("/api/tasks", json=TASK | {"project": shop.project})
    assert over.status_code == 429
    assert "quota open_tasks of project" in error_of(over).message
    assert int(over.headers["retry-after"]) > 0
    # What is there already is sent again all the same, and other work is not held up.
    assert (await made(owner, project=shop.project, id="first"))["seq"] == first["seq"]
    await made(editor)
    await shop.at.append(facts.done(shop.users["owner"], "first", Outcome.FAILED))
    await shop.at.settled()
    await made(editor, project=shop.project)
    await owner.patch(url, json={"limits": {"tasks_a_day": 2}})
    over = await owner.post("/api/tasks", json=TASK | {"project": shop.project})
    assert over.status_code == 429
    assert "quota tasks_a_day of project" in error_of(over).message
    view = (await owner.get(url)).json()["data"]
    assert (view["open_tasks"], view["tasks_today"]) == (1, 2)
    wrong = await owner.patch(url, json={"limits": {"hosts": 1}})
    assert (wrong.status_code, error_of(wrong).reason) == (400, "bad_request")


async def test_the_same_id_in_another_project_is_other_content(shop: Scene) -> None:
    owner = shop.clients["owner"]
    await made(owner, project=shop.project, id="one")
    answer = await owner.post("/api/tasks", json=TASK | {"id": "one"})
    assert (answer.status_code, error_of(answer).reason) == (409, "conflict")


async def test_on_the_websocket_the_same_holds(shop: Scene) -> None:
    async with shop.at.stream("editor-token") as mine, shop.at.stream("viewer-token") as theirs:
        task = TASK | {"project": shop.project}
        ack = await mine.ask("submit", task=task)
        assert ack["op"] == "ack"
        view = (await shop.clients["editor"].get(f"/api/tasks/{ack['task']}")).json()["data"]
        assert view["project"] == shop.project
        assert (await theirs.ask("submit", task=task))["code"] == "forbidden"
        other = await theirs.ask("subscribe", sub="s", to="task", task=ack["task"])
        assert other["op"] == "ack"
        await theirs.until(op="caught_up")
        assert theirs.events() == [], "another's task of the same name is not there"


async def test_lists_go_on_from_page_to_page(shop: Scene) -> None:
    owner = shop.clients["owner"]
    names = [f"n{n}" for n in range(5)]
    for one in names:
        assert (await owner.post("/api/projects", json={"name": one})).status_code == 201
    found: list[str] = []
    cursor: int | None = None
    while True:
        params = {"limit": 2} | ({"cursor": cursor} if cursor else {})
        page = (await owner.get("/api/projects", params=params)).json()
        found += [one["name"] for one in page["data"]]
        if (cursor := page["next_cursor"]) is None:
            break
    assert found == [*reversed(names), "shop"]
    named = await owner.get("/api/projects", params={"name": "n3"})
    assert [one["name"] for one in named.json()["data"]] == ["n3"]
    every = {"params": {"every": "true", "limit": 500}}
    assert (await owner.get("/api/projects", **every)).status_code == 403  # type: ignore[arg-type]
    all_ = (await shop.clients["auditor"].get("/api/projects", **every)).json()["data"]  # type: ignore[arg-type]
    assert shop.project in {one["id"] for one in all_}
    ids = [(await made(owner, project=shop.project))["id"] for _ in range(3)]
    first = (await owner.get(f"/api/projects/{shop.project}/tasks", params={"limit": 2})).json()
    more = {"limit": 2, "cursor": first["next_cursor"]}
    rest = (await owner.get(f"/api/projects/{shop.project}/tasks", params=more)).json()
    assert [row["id"] for row in (*first["data"], *rest["data"])] == [*reversed(ids)]
    assert rest["next_cursor"] is None


@pytest.mark.parametrize(
    "body",
    [
        {"name": ""},
        {"name": "a\nb"},
        {"name": "x", "repository": "no-owner"},
        {"name": "x", "repository": "../../etc"},
        {"name": "x", "limits": {"open_tasks": -1}},
        {"name": "x", "members": []},
    ],
)
async def test_what_is_no_project_is_refused(shop: Scene, body: dict[str, Any]) -> None:
    answer = await shop.clients["owner"].post("/api/projects", json=body)
    assert (answer.status_code, error_of(answer).reason) == (400, "bad_request")


@pytest.fixture
async def second(gateway: World, tmp_path: Path, nats_server: NatsServer) -> AsyncIterator[World]:
    """Another gateway of the same deployment."""
    folder = tmp_path / "second"
    async with (
        nats_server.connected("gateway") as bus,
        world(folder, bus, log=gateway.log) as other,
    ):
        yield other


async def test_of_two_owners_who_put_each_other_out_at_two_gateways_one_stays(
    shop: Scene, second: World, tmp_path: Path
) -> None:
    users = {who: shop.users[who] for who in ("owner", "editor")}
    url = f"/api/projects/{shop.project}/members/"
    async with clients(second, tmp_path / "second", users) as there:
        for _ in range(5):
            sent = await shop.clients["admin"].put(url + users["editor"], json={"role": "owner"})
            assert sent.status_code == 200
            # A gateway that knows of neither yet: it was told nothing since it started.
            answers = await asyncio.gather(
                shop.clients["owner"].delete(url + users["editor"]),
                there["editor"].delete(url + users["owner"]),
            )
            codes = sorted(answer.status_code for answer in answers)
            assert codes in ([200, 404], [200, 403], [200, 409]), [a.text for a in answers]
            members = (await shop.clients["admin"].get(url[:-1])).json()["data"]
            assert sum(one["role"] == "owner" for one in members) == 1
            left = next(one["user"] for one in members if one["role"] == "owner")
            if left != users["owner"]:
                again = {"json": {"role": "owner"}}
                assert (
                    await shop.clients["admin"].put(url + users["owner"], **again)  # type: ignore[arg-type]
                ).status_code == 200


async def test_many_changes_at_two_gateways_are_all_made(
    shop: Scene, second: World, tmp_path: Path
) -> None:
    url = f"/api/projects/{shop.project}/members/"
    async with clients(second, tmp_path / "second", {"owner": shop.users["owner"]}) as there:
        doors = (shop.clients["owner"], there["owner"])
        answers = await asyncio.gather(
            *(doors[n % 2].put(f"{url}u{n}", json={"role": "viewer"}) for n in range(8))
        )
        retried = [n for n, answer in enumerate(answers) if answer.status_code == 409]
        for n in retried:
            again = await doors[0].put(f"{url}u{n}", json={"role": "viewer"})
            assert again.status_code == 200
        members = (await there["owner"].get(url[:-1])).json()["data"]
    assert {f"u{n}" for n in range(8)} <= {one["user"] for one in members}


async def test_results_of_a_project_are_listed_and_read_by_its_members(
    fresh_nats: NatsServer, tmp_path: Path
) -> None:
    async with whole(fresh_nats, tmp_path) as one, scene(one, tmp_path) as shop:
        editor, viewer = shop.users["editor"], shop.clients["viewer"]
        await made(shop.clients["editor"], id="t1", project=shop.project)
        await made(shop.clients["editor"], id="t2", project=shop.project)
        await made(shop.clients["editor"], id="t3")
        for task in ("t1", "t3"):
            await one.append(
                facts.signed(editor, task, 1),
                facts.done(editor, task, attempt=1, host="h", result=inline(b'{"a":1}')),
            )
        await one.append(facts.done(editor, "t2", Outcome.FAILED))
        await one.written()
        url = f"/api/projects/{shop.project}/results"
        listed = (await viewer.get(url)).json()
        assert [(kept["task"], kept["user"]) for kept in listed["data"]] == [("t1", editor)]
        assert (await shop.clients["stranger"].get(url)).status_code == 404
        params = {"user": editor}
        for path in ("/api/tasks/t1/result", "/api/results/t1", "/api/results/t1/content"):
            assert (await viewer.get(path, params=params)).status_code == 200, path
            assert (await shop.clients["stranger"].get(path, params=params)).status_code == 404
        assert (await viewer.get("/api/tasks/t1/result", params=params)).json() == {"a": 1}
        other = await viewer.get("/api/results/t3", params=params)
        assert other.status_code == 404, "it belongs to no project"
        gone = f"/api/projects/{shop.project}/members/{shop.users['viewer']}"
        assert (await shop.clients["owner"].delete(gone)).status_code == 200
        for path in ("/api/tasks/t1/result", "/api/results/t1", "/api/results/t1/content"):
            assert (await viewer.get(path, params=params)).status_code == 404
