"""Whoever is kept out is noted, at every door, and nothing they have shown is."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import pytest
from websockets.exceptions import InvalidStatus

from contracts.access import AccessEvent
from contracts.scopes import HOSTS_READ, MCP_CALL, TASKS_READ, TASKS_WRITE
from services.bus.bus import Bus
from services.gateway.access.identity import Principal
from services.gateway.people import denials
from services.gateway.people.records import Project
from tests.unit.gateway.access.test_authorisation_mcp import ERAS, agent, failed
from tests.unit.gateway.peopled import PASSWORD, added, peopled
from tests.unit.gateway.scoped import take_scoped_tokens, token
from tests.unit.gateway.world import TASK, World, world

WRONG = "mtm_wrong-SECRET-one"


def noted(gateway: World) -> list[AccessEvent]:
    trail = gateway.site.parts.trail
    found = list(trail.waiting)
    trail.waiting.clear()
    return found


async def test_no_token_and_a_wrong_one_are_noted(tmp_path: Path, bus: Bus) -> None:
    async with world(tmp_path, bus) as gateway, gateway.http(None) as nobody:
        await nobody.get("/api/tasks")
        (first,) = noted(gateway)
        assert (first.kind, first.outcome, first.reason) == ("denied", "refused", "unauthorized")
        assert (first.subject, first.address, first.user) == ("GET /api/tasks", "127.0.0.1", "")
        assert first.method == ""
        assert first.request_id
        assert first.by == "gateway-1"
        await nobody.get("/api/tasks", headers={"Authorization": f"Bearer {WRONG}"})
        assert noted(gateway) == []


async def test_the_same_again_is_counted(
    tmp_path: Path, bus: Bus, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with world(tmp_path, bus) as gateway, gateway.http(None) as nobody:
        for _ in range(5):
            await nobody.get("/api/tasks")
        assert len(noted(gateway)) == 1
        gateway.site.parts.trail.settle()
        assert noted(gateway) == []
        monkeypatch.setattr(gateway.site.parts.trail._denials, "_window_s", 0.0)
        gateway.site.parts.trail.settle()
        (again,) = noted(gateway)
        assert again.details == {"count": "4"}
    assert denials.WINDOW_S == 60


async def test_somebody_without_the_right_is_noted_by_name(tmp_path: Path, bus: Bus) -> None:
    async with world(tmp_path, bus) as gateway, gateway.http() as alice:
        assert (await alice.get("/api/users/bob/quota")).status_code == 403
        (one,) = noted(gateway)
        assert (one.user, one.reason) == ("alice", "forbidden")
        assert one.subject == "GET /api/users/{user}/quota"
        assert one.method == "token"
        assert (await alice.get("/api/tasks")).status_code == 200
        assert (await alice.get("/api/tasks/nothing")).status_code == 404
        assert noted(gateway) == []


async def test_the_door_of_agents_notes_too(tmp_path: Path, bus: Bus) -> None:
    async with world(tmp_path, bus) as gateway, gateway.http(None) as nobody:
        assert (await nobody.post("/mcp", json={})).status_code == 401
        (one,) = noted(gateway)
        assert (one.reason, one.subject) == ("unauthorized", "POST /mcp")
        foreign = await nobody.post("/mcp", json={}, headers={"Origin": "https://evil.example"})
        assert foreign.status_code == 403
        (one,) = noted(gateway)
        assert (one.reason, one.subject) == ("forbidden", "POST /mcp")


async def test_websockets_note_too(tmp_path: Path, bus: Bus) -> None:
    async with world(tmp_path, bus) as gateway:
        with pytest.raises(InvalidStatus):
            async with gateway.stream(origin="https://evil.example"):
                pass
        (one,) = noted(gateway)
        assert (one.reason, one.subject) == ("forbidden", "GET /api/stream")
        async with gateway.stream(WRONG) as stream:
            assert await stream.closed() == 4401
        async with gateway.http(None) as nobody:
            # Answered after the end of that websocket was noted.
            await nobody.get("/api/health/live")
        (one,) = noted(gateway)
        assert (one.reason, one.subject) == ("unauthorized", "GET /api/stream")
        assert one.method == "token"


class Told(NamedTuple):
    """What of a denial says who was kept out, how they had come, and why."""

    user: str
    subject: str
    reason: str
    method: str
    missing: str = ""


def told(gateway: World) -> list[Told]:
    """All that was noted, and forget it: whatever is denied next is the first of its kind."""
    gateway.site.parts.trail._denials = denials.Denials()
    assert {one.kind for one in gateway.site.parts.trail.waiting} <= {"denied"}
    return [
        Told(one.user, one.subject, one.reason, one.method, one.details.get("missing", ""))
        for one in noted(gateway)
    ]


async def test_what_is_refused_on_an_open_websocket_is_noted(
    gateway: World, tmp_path: Path
) -> None:
    take_scoped_tokens(gateway)
    stream_of = "GET /api/stream"
    async with gateway.stream(None) as nobody:
        await nobody.ask("cancel", task="t1")
        assert told(gateway) == [Told("", f"{stream_of} cancel", "unauthorized", "")]
        await nobody.ask("auth", token=WRONG)
        assert told(gateway) == [Told("", f"{stream_of} auth", "unauthorized", "token")]
    narrow = token("alice", TASKS_READ)
    async with gateway.stream(narrow) as alice:
        for op, fields, missing in (
            ("submit", {"task": TASK}, f"scope {TASKS_WRITE}"),
            ("cancel", {"task": "t1"}, f"scope {TASKS_WRITE}"),
            ("subscribe", {"sub": "h", "to": "hosts"}, f"scope {HOSTS_READ}"),
        ):
            for _ in range(2):
                assert (await alice.ask(op, **fields))["code"] == "insufficient_scope"
            wanted = Told("alice", f"{stream_of} {op}", "insufficient_scope", "oauth", missing)
            assert told(gateway) == [wanted]
        await alice.ask("subscribe", sub="a", to="all")
        assert told(gateway) == [
            Told("alice", f"{stream_of} subscribe", "forbidden", "oauth", "role auditor")
        ]
        await alice.ask("auth", token="bob-token")
        assert told(gateway) == [Told("alice", f"{stream_of} auth", "forbidden", "oauth")]
        await alice.ask("auth", token=WRONG)
        assert told(gateway) == [Told("alice", f"{stream_of} auth", "unauthorized", "oauth")]
        await alice.ask("subscribe", sub="t", to="tasks")
        await alice.ask("unsubscribe", sub="none")
        await alice.ask("nothing")
        assert told(gateway) == []


async def test_what_a_viewer_submits_is_noted_at_every_door(gateway: World) -> None:
    projects = gateway.site.parts.projects
    project = (await projects.create("bob", Project(id="", name="shop", members=()))).id
    await projects.put_member(project, Principal("bob", frozenset()), "alice", "viewer")
    task = TASK | {"project": project}
    missing = f"right to submit in project {project}"
    async with gateway.stream() as stream, gateway.http() as http:
        for sent in (task, task | {"input": {"text": "x" * 60_000}}):
            assert (await stream.ask("submit", task=sent))["code"] == "forbidden"
            subject = "GET /api/stream submit"
            assert told(gateway) == [Told("alice", subject, "forbidden", "token", missing)]
        assert (await http.post("/api/tasks", json=task)).status_code == 403
        assert told(gateway) == [Told("alice", "POST /api/tasks", "forbidden", "token", missing)]
    for era in ERAS:
        async with agent(gateway, "alice-token", era) as mine:
            answer = await mine.ask("tools/call", {"name": "submit_task", "arguments": task})
            assert failed(answer)
        subject = "POST /mcp tools/call"
        assert told(gateway) == [Told("alice", subject, "forbidden", "token", missing)]


@pytest.mark.parametrize("era", ERAS)
async def test_what_an_agent_is_told_it_may_not_is_noted(gateway: World, era: str) -> None:
    take_scoped_tokens(gateway)
    async with agent(gateway, token("alice", MCP_CALL), era) as narrow:
        for method, params, scope in (
            ("tools/call", {"name": "get_task", "arguments": {"task": WRONG}}, TASKS_READ),
            ("tools/call", {"name": "cancel_task", "arguments": {"task": WRONG}}, TASKS_WRITE),
            ("tasks/get", {"taskId": WRONG}, TASKS_READ),
            ("tasks/cancel", {"taskId": WRONG}, TASKS_WRITE),
            ("tasks/update", {"taskId": WRONG, "inputResponses": {}}, TASKS_WRITE),
        ):
            assert failed(await narrow.ask(method, params))
            subject, missing = f"POST /mcp {method}", f"scope {scope}"
            wanted = Told("alice", subject, "insufficient_scope", "oauth", missing)
            assert told(gateway) == [wanted]
        assert failed(await narrow.ask("tools/call", {"name": "none", "arguments": {}}))
        assert told(gateway) == []


async def test_http_says_what_was_missing(gateway: World) -> None:
    take_scoped_tokens(gateway)
    for shown, path, wanted in (
        ("alice-token", "/api/users", ("forbidden", "token", "role admin")),
        (
            token("alice", by="token:x"),
            "/api/tasks",
            ("insufficient_scope", "token", "scope tasks:read"),
        ),
        (token("alice"), "/mcp", ("insufficient_scope", "oauth", "scope mcp:call")),
    ):
        async with gateway.http(shown) as client:
            assert (await client.get(path)).status_code == 403
        assert told(gateway) == [Told("alice", f"GET {path}", *wanted)]


async def test_whoever_comes_with_a_cookie_is_said_to(tmp_path: Path, bus: Bus) -> None:
    async with peopled(tmp_path, bus) as gateway, gateway.http(None) as client:
        user = await added(gateway)
        body = {"user": user, "password": PASSWORD, "cookie": True}
        answer = await client.post("/api/auth/login", json=body, headers={"Origin": gateway.url})
        assert answer.status_code == 200
        noted(gateway)
        assert (await client.get("/api/users")).status_code == 403
        assert told(gateway) == [Told(user, "GET /api/users", "forbidden", "cookie", "role admin")]
        assert (await client.post("/api/tasks", json=TASK)).status_code == 403
        assert told(gateway) == [Told(user, "POST /api/tasks", "forbidden", "cookie")]
        (name,) = client.cookies
        client.cookies.clear()
        for cookie, method in ((f"{name}=ended", "cookie"), ("other=1", "")):
            await client.get("/api/tasks", headers={"Cookie": cookie})
            assert told(gateway) == [Told("", "GET /api/tasks", "unauthorized", method)]
