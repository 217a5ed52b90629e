"""What members of Alice's project see and do by each route, frame and tool, and others do not.

A new one that touches tasks, results or projects needs a `deed` in its row of the table of routes,
or a line in `FRAMES` or `TOOLS` here.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, get_args

import pytest

from contracts import wire
from services.gateway.mcp.own_list import OWN
from tests.unit.gateway.access.rows import Row
from tests.unit.gateway.access.table import OF_ALICE, OF_NOBODY, TABLE
from tests.unit.gateway.access.test_authorisation import ALICE, BOB, asked
from tests.unit.gateway.access.test_authorisation_mcp import METHODS, MODERN, agent, failed, result
from tests.unit.gateway.alices import DONE, MARK, NONE, SHOP, WAIT, Alices, seen, together
from tests.unit.gateway.world import TASK

VIEWER, EDITOR = "viewer-token", "editor-token"
MAY = {VIEWER: {"see"}, EDITOR: {"see", "submit"}, BOB: set[str]()}
DEEDS = {"see", "submit", "manage", "own"}
OF_PROJECTS = tuple(
    f"/api/{family}" for family in ("tasks", "results", "projects", "batches", "operations")
)
BATCHES = ("POST", "/api/batches")
INTO: dict[str, Any] = TASK | {"project": SHOP}
NOWHERE: dict[str, Any] = TASK | {"project": NONE}
FRAMES = {
    **dict.fromkeys(("auth", "subscribe", "unsubscribe", "cancel"), "own"),
    "submit": "submit",
}
TOOLS = {
    **dict.fromkeys(
        ("get_task", "cancel_task", "answer_task", "list_hosts", "list_tasks", "why", "audit_task"),
        "own",
    ),
    "read_result": "own",
    **dict.fromkeys(METHODS, "own"),
    "submit_task": "submit",
}


def rows() -> list[tuple[str, str, Row]]:
    return [(m, path, row) for (m, path), row in TABLE.items() if path.startswith(OF_PROJECTS)]


def test_everything_of_projects_says_what_members_do_by_it() -> None:
    unsaid = [f"{method} {path}" for method, path, row in rows() if row.deed not in DEEDS]
    assert unsaid == [], "say with `deed` in the table what members of a project do by these routes"
    outside = [key for key, row in TABLE.items() if row.deed and not key[1].startswith(OF_PROJECTS)]
    assert outside == []
    tags = {kind.__struct_config__.tag for kind in get_args(wire.ClientFrame)}
    assert set(FRAMES) == tags, "say in FRAMES what members of a project do by this frame"
    there = {*METHODS, *(tool.name for tool in OWN)}
    assert set(TOOLS) == there, "say in TOOLS what members of a project do by this"


def ways(row: Row, path: str) -> list[Mapping[str, Any]]:
    """How one asks for what is Alice's."""
    if "{project}" in path:
        return [row.given]
    if row.deed == "submit":
        return [{"json": INTO}]
    if "{task}" in path:
        return [row.given | OF_ALICE]
    return [{"params": {"project": SHOP}}] if row.deed == "see" else [row.given]


async def sees(one: Alices, token: str, path: str, row: Row) -> None:
    """A member is shown what she is, of the task that belongs to the project; of others nothing."""
    (sent,) = ways(row, path)
    name = DONE if "{task}" in path else row.on
    his, hers = [seen(await one.ask(who, "GET", path, name, **sent), "") for who in (token, ALICE)]
    assert (his.status, his) == (200, hers), path
    if "{task}" in path:
        await nothing(one, token, "GET", path, WAIT, OF_ALICE)


async def nothing(
    one: Alices, token: str, method: str, path: str, name: str, sent: Mapping[str, Any]
) -> None:
    """It is as if there were none."""
    his = await asked(one, token, method, path, name, **sent)
    assert his.status in (400, 404), path
    assert MARK not in repr(his), path
    for other, given in ((NONE, sent), (name, OF_NOBODY if sent == OF_ALICE else sent)):
        none = await asked(one, token, method, path, other, **given)
        assert his.text.replace("alice", "carol") == none.text.replace("alice", "carol"), path


async def batched(one: Alices, token: str) -> None:
    """A batch is taken; each of its tasks goes where it may, or nowhere."""
    hers, none = [
        (await one.ask(token, *BATCHES, json={"tasks": [task]})).json()["data"]
        for task in (INTO, NOWHERE)
    ]
    (refusal,) = none["refused"]
    assert refusal["reason"] == "not_found"
    if "submit" in MAY[token]:
        assert (hers["accepted"], hers["refused"]) == (1, [])
    elif token == BOB:
        assert repr(hers["refused"][0]).replace(SHOP, NONE) == repr(refusal)
    else:
        assert [one["reason"] for one in hers["refused"]] == ["forbidden"]


async def swept(one: Alices, token: str, method: str, path: str, row: Row) -> None:
    """What somebody gets, be they a member or not."""
    (sent,) = ways(row, path)
    if (method, path) == BATCHES:
        await batched(one, token)
    elif row.deed in MAY[token]:
        if row.deed == "see":
            await sees(one, token, path, row)
        else:
            answer = await one.ask(token, method, path, **sent)
            assert answer.status_code == row.status, (path, answer.text)
    elif row.deed in ("manage", "submit") and token != BOB:
        answer = await one.ask(token, method, path, row.on, **sent)
        assert (answer.status_code, answer.json()["error"]["reason"]) == (403, "forbidden"), path
    elif row.deed == "own" and not row.on:
        answer = await one.ask(token, method, path, **sent)
        assert answer.status_code == row.status, path
        if "results" in path:
            assert MARK not in answer.text, path
            await nothing(one, token, method, path, "", OF_ALICE)
    elif row.deed == "see" and not row.on:
        answer = await one.ask(token, method, path, **sent)
        none = await one.ask(token, method, path, params={"project": NONE})
        assert answer.status_code == 404
        assert seen(answer, SHOP) == seen(none, NONE), path
    elif row.deed == "submit":
        answer = await one.ask(token, method, path, json=INTO)
        none = await one.ask(token, method, path, json=NOWHERE)
        assert answer.status_code == 404
        assert seen(answer, SHOP) == seen(none, NONE), path
    else:
        await nothing(one, token, method, path, row.on, sent)


@pytest.mark.parametrize("token", MAY)
async def test_routes(one: Alices, token: str) -> None:
    members = "/api/projects/{project}/members"
    before = await one.has(ALICE, "GET", members, name=SHOP)
    # What is submitted stands in the lists.
    await together(*(swept(one, token, *each) for each in rows() if each[2].deed != "submit"))
    await together(*(swept(one, token, *each) for each in rows() if each[2].deed == "submit"))
    assert await one.has(ALICE, "GET", members, name=SHOP) == before
    view = await one.has(ALICE, "GET", "/api/tasks/{task}", name=WAIT)
    assert not view.get("cancel_requested")


@pytest.mark.parametrize("token", MAY)
async def test_frames(one: Alices, token: str) -> None:
    async with one.gateway.stream(token) as stream:
        answer = await stream.ask("submit", task=INTO)
        none = await stream.ask("submit", task=NOWHERE)
        if "submit" in MAY[token]:
            assert answer["op"] == "ack"
        else:
            assert answer["code"] == ("not_found" if token == BOB else "forbidden")
        assert none["code"] == "not_found"
        for task in (DONE, NONE):
            assert (await stream.ask("cancel", task=task))["code"] == "not_found"
            assert (await stream.follow(task, "task", task=task, after="start"))["op"] == "ack"
            assert stream.events(task) == []
        await stream.follow("t", "tasks", after="start")
        assert MARK not in json.dumps(stream.events("t")).replace(SHOP, "")


@pytest.mark.parametrize("token", MAY)
async def test_tools(one: Alices, token: str) -> None:
    async with agent(one.gateway, token, MODERN) as his:
        answer, none = [
            await his.ask("tools/call", {"name": "submit_task", "arguments": task})
            for task in (INTO, NOWHERE)
        ]
        assert failed(none)
        if "submit" in MAY[token]:
            assert result(answer)["structuredContent"]["project"] == SHOP
        elif token == BOB:
            assert seen(answer, SHOP) == seen(none, NONE)
        else:
            assert "you are a viewer of it" in answer.text
        for tool in ("get_task", "cancel_task"):
            hers, none = [
                await his.ask("tools/call", {"name": tool, "arguments": {"task": task}})
                for task in (DONE, NONE)
            ]
            assert failed(hers)
            assert seen(hers, DONE) == seen(none, NONE)
        for method in ("tasks/get", "tasks/cancel"):
            hers, none = [await his.ask(method, {"taskId": task}) for task in (DONE, NONE)]
            assert failed(hers)
            assert seen(hers, DONE) == seen(none, NONE)
