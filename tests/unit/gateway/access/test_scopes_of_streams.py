"""Which scope frames, events, and the MCP door's methods and tools need.

A new frame needs one line in `FRAME_NEEDS`, a new method or tool one in `MCP_NEEDS`.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, get_args

import pytest

from contracts import wire
from contracts.result import inline
from contracts.scopes import (
    ADMIN,
    EVERY,
    HOSTS_READ,
    MCP_CALL,
    RESULTS_READ,
    TASKS_READ,
    TASKS_WRITE,
)
from services.gateway.stream import connection, rules
from tests.support import facts
from tests.unit.gateway.access import test_authorisation_mcp as agents
from tests.unit.gateway.access import test_authorisation_streams as streams
from tests.unit.gateway.access.test_authorisation_mcp import ERAS, MODERN, agent, failed, result
from tests.unit.gateway.access.test_authorisation_streams import until
from tests.unit.gateway.access.test_scopes import check_refused
from tests.unit.gateway.alices import DONE, HOST, MARK, NONE, WAIT
from tests.unit.gateway.http.test_events import events
from tests.unit.gateway.mcp.test_door import register
from tests.unit.gateway.scoped import take_scoped_tokens, token, without
from tests.unit.gateway.world import TASK, World, error_of

FRAME_NEEDS: dict[str, set[str]] = {
    "auth": set(),
    "subscribe": set(),
    "unsubscribe": set(),
    "submit": {TASKS_WRITE},
    "cancel": {TASKS_WRITE},
}
"""Of `subscribe`, those of what it follows."""
SUBJECT_NEEDS: dict[str, set[str]] = {
    "tasks": {TASKS_READ},
    "task": {TASKS_READ},
    "batch": {TASKS_READ},
    "operations": {TASKS_READ},
    "hosts": {HOSTS_READ},
    "all": {TASKS_READ, HOSTS_READ, ADMIN},
}
NAMED: dict[str, dict[str, str]] = {"task": {"task": WAIT}, "batch": {"batch": WAIT}}
"""What a subscription says besides."""
MCP_NEEDS: dict[str, str] = {
    **dict.fromkeys(("ping", "server/discover", "tools/list", "subscriptions/listen"), ""),
    **dict.fromkeys(("submit_task", "list_hosts"), ""),
    **dict.fromkeys(("prompts/list", "prompts/get", "completion/complete", "logging/setLevel"), ""),
    **dict.fromkeys(("resources/list", "resources/templates/list", "resources/read"), ""),
    **dict.fromkeys(("resources/subscribe", "resources/unsubscribe"), ""),
    **dict.fromkeys(("get_task", "tasks/get"), TASKS_READ),
    **dict.fromkeys(("list_tasks", "why", "audit_task"), TASKS_READ),
    "read_result": RESULTS_READ,
    **dict.fromkeys(("cancel_task", "answer_task", "tasks/cancel", "tasks/update"), TASKS_WRITE),
}
"""Besides `mcp:call`: for tasks that were not asked for with the same authority."""
ROLES = ("admin", "auditor")


@pytest.fixture
async def one(gateway: World, tmp_path: Path) -> World:
    """A gateway where Alice has a task that is over, one that is not, and a host."""
    take_scoped_tokens(gateway)
    done = inline(b'"%b"' % MARK.encode())
    await gateway.append(
        facts.created("alice", DONE),
        facts.done("alice", DONE, result=done, host=HOST, attempt=1),
        facts.created("alice", WAIT),
    )
    await register(gateway, HOST, owner="alice")
    return gateway


def test_every_frame_method_and_tool_says_which_scope_it_needs() -> None:
    tags = {kind.__struct_config__.tag for kind in get_args(wire.ClientFrame)}
    assert set(FRAME_NEEDS) == tags, "say in FRAME_NEEDS which scope a token needs for this frame"
    assert set(get_args(connection.Frame)) == set(rules.OF_FRAMES)
    named = {k.__struct_config__.tag: {s} - {""} for k, s in rules.OF_FRAMES.items()}
    assert named == FRAME_NEEDS
    assert set(SUBJECT_NEEDS) == set(streams.TO) == set(rules.OF_SUBJECTS)
    there = (set(agents.METHODS) | set(agents.TOOLS)) - {"tools/call"}
    assert set(MCP_NEEDS) == there, "say in MCP_NEEDS which scope a token needs for this"


async def test_frames_without_their_scope_do_nothing(one: World) -> None:
    head = await one.log.head()
    ways = [(op, {"task": task}, TASKS_WRITE) for op in ("cancel",) for task in (WAIT, DONE, NONE)]
    ways += [("submit", {"task": TASK | {"id": name}}, TASKS_WRITE) for name in (WAIT, "new")]
    for to, needed in SUBJECT_NEEDS.items():
        fields = {"sub": "s", "to": to, "after": "start"} | NAMED.get(to, {})
        ways += [("subscribe", fields, scope) for scope in needed]
    for op, fields, scope in ways:
        for narrow in (without("alice", scope, roles=ROLES), token("alice", roles=ROLES)):
            async with one.stream(narrow) as stream:
                answer = await stream.ask(op, **fields)
                assert (answer["op"], answer["code"]) == ("error", "insufficient_scope"), fields
                assert "scope `" in answer["message"]
                assert (await stream.ask("unsubscribe", sub="s"))["code"] == "not_found"
                assert MARK not in json.dumps(stream.frames).replace(DONE, "")
    assert await one.log.head() == head


async def test_frames_with_their_scope_alone_work(one: World) -> None:
    for to, needed in SUBJECT_NEEDS.items():
        async with one.stream(token("alice", *needed, roles=ROLES)) as stream:
            fields = NAMED.get(to, {})
            assert (await stream.follow("s", to, **fields))["op"] == "ack", to
    async with one.stream(token("alice", TASKS_WRITE)) as stream:
        assert (await stream.ask("submit", task=TASK))["op"] == "ack"
        assert (await stream.ask("cancel", task=WAIT))["op"] == "ack"


@pytest.mark.parametrize("after", ["start", None])
async def test_a_stream_shows_results_to_tokens_for_results(one: World, after: Any) -> None:
    narrow, whole = token("alice", TASKS_READ), token("alice", TASKS_READ, RESULTS_READ)
    async with one.stream(narrow) as his, one.stream(whole) as hers:
        for stream in (his, hers):
            await stream.follow("s", "tasks", after=after)
        done = inline(b'"%b"' % MARK.encode())
        seqs = await one.append(
            facts.created("alice", "t9"),
            facts.failed("alice", "t9", result=done),
            facts.done("alice", "t9", result=done),
        )
        for stream in (his, hers):
            assert (await stream.through(seqs[-1]))[-1] == seqs[-1]
        shown, full = (
            [e["event"] for e in s.events() if e["event"]["type"] in ("job.done", "job.failed")]
            for s in (his, hers)
        )
        assert len(shown) == len(full) == (3 if after else 2)
        assert all("result" in event for event in full)
        assert shown == [{k: v for k, v in event.items() if k != "result"} for event in full]


async def test_a_narrower_token_ends_what_it_is_not_for(one: World) -> None:
    async with one.stream(token("alice", *EVERY, roles=ROLES)) as stream:
        for to in ("all", "hosts", "tasks"):
            await stream.follow(to, to)
        answer = await stream.ask("auth", token=token("alice", TASKS_READ, roles=ROLES))
        assert answer["op"] == "ack"
        for name in ("all", "hosts"):
            assert (await stream.ask("unsubscribe", sub=name))["code"] == "not_found"
        done = facts.done("alice", WAIT, result=inline(b'"%b"' % MARK.encode()))
        (seq,) = await one.append(done)
        await stream.through(seq, "tasks")
        assert '"result"' not in json.dumps(stream.events("tasks"))
        assert (await stream.ask("submit", task=TASK))["code"] == "insufficient_scope"


async def test_events_need_the_scope_of_what_is_followed(one: World) -> None:
    for to, needed in SUBJECT_NEEDS.items():
        params = {"to": to} | NAMED.get(to, {})
        for scope in needed:
            async with one.http(without("alice", scope, roles=ROLES)) as client:
                check_refused(await client.get("/api/events", params=params), scope)
    async with one.http(token("alice", TASKS_WRITE)) as client:
        for query in ({}, {"nothing": "known"}):
            check_refused(await client.get("/api/events", params=query), TASKS_READ)
    async with events(one, "?after=start", token("alice", TASKS_READ)) as shown:
        came = await until(shown, None)
    assert '"result"' not in json.dumps(came)
    assert "job.done" in json.dumps(came)


async def test_a_ticket_is_good_for_what_its_token_was(one: World) -> None:
    async with one.http(token("alice", TASKS_READ)) as client:
        ticket = (await client.post("/api/auth/ticket")).json()["data"]["ticket"]
    async with one.stream(None, path=f"/api/stream?ticket={ticket}") as stream:
        assert (await stream.follow())["op"] == "ack"
        assert (await stream.ask("cancel", task=WAIT))["code"] == "insufficient_scope"


async def test_the_mcp_door_is_shut_without_its_scope(one: World) -> None:
    head = await one.log.head()
    async with one.http(without("alice", MCP_CALL, roles=ROLES)) as client:
        for path in ("/mcp", "/mcp/"):
            for method in ("GET", "POST", "DELETE"):
                answer = await client.request(method, path, headers=agents.ACCEPT, content=b"{")
                check_refused(answer, MCP_CALL)
                assert error_of(answer).details == {"scope": MCP_CALL}
    assert await one.log.head() == head


@pytest.mark.parametrize("era", ERAS)
async def test_agents_see_tasks_of_others_authority_with_the_scope_alone(
    one: World, era: str
) -> None:
    before = [await one.site.desk.view("alice", task) for task in (DONE, WAIT)]
    for method, params in agents.cases(era, named=True):
        scope = MCP_NEEDS.get(params.get("name", method), "")
        if not scope:
            continue
        async with agent(one, without("alice", scope), era) as narrow:
            texts = set()
            for name in (DONE, WAIT, NONE):
                answer = await narrow.ask(method, agents.about(params, name))
                assert failed(answer), params
                texts.add(answer.text.replace(name, "NAME"))
            assert len(texts) == 1, "nor whether it is there"
            assert f"`{scope}`" in texts.pop()
    assert [await one.site.desk.view("alice", task) for task in (DONE, WAIT)] == before


async def test_agents_see_results_with_the_scope_alone(one: World) -> None:
    async with agent(one, token("alice", MCP_CALL, TASKS_READ), MODERN) as narrow:
        assert "result" not in await narrow.use("get_task", {"task": DONE})
        answer = await narrow.ask("tasks/get", {"taskId": DONE})
        assert f"`{RESULTS_READ}`" in answer.text
    both = token("alice", MCP_CALL, TASKS_READ, RESULTS_READ)
    async with agent(one, both, MODERN) as whole:
        assert (await whole.use("get_task", {"task": DONE}))["result"]["value"] == MARK


@pytest.mark.parametrize("era", ERAS)
async def test_with_mcp_call_alone_an_agent_has_what_it_has_asked_for(one: World, era: str) -> None:
    async with agent(one, token("alice", MCP_CALL), era) as mine:
        listed = {tool["name"] for tool in result(await mine.ask("tools/list", {}))["tools"]}
        assert listed == {f"{HOST}__echo", *agents.TOOLS}
        made = await mine.use("submit_task", TASK | {"id": "t9"})
        assert made["asked_by"] == "client:agent"
        await one.append(facts.done("alice", "t9", result=inline(b'"%b"' % MARK.encode())))
        assert (await mine.use("get_task", {"task": "t9"}))["result"]["value"] == MARK
        await mine.use("submit_task", TASK | {"id": "t10"})
        assert (await mine.use("cancel_task", {"task": "t10"}))["cancel_requested"] is True
        if era == MODERN:
            call = {"name": f"{HOST}__echo", "arguments": {}}
            handle = result(await mine.ask("tools/call", call))
            called = handle["taskId"]
            await one.append(facts.done("alice", called, result=inline(b'{"content":[]}')))
            got = result(await mine.ask("tasks/get", {"taskId": called}))
            assert got["status"] == "completed"
    async with agent(one, token("alice", MCP_CALL, by="client:other"), era) as other:
        assert failed(await other.ask("tasks/get", {"taskId": "t9"}))
        again = {"name": "submit_task", "arguments": TASK | {"id": "t9"}}
        assert "result" not in result(await other.ask("tools/call", again))["structuredContent"]


async def test_cancelling_shows_no_task_to_a_token_that_reads_none(one: World) -> None:
    async with agent(one, token("alice", MCP_CALL, TASKS_WRITE), MODERN) as narrow:
        told = await narrow.use("cancel_task", {"task": WAIT})
    assert told == {"id": WAIT, "cancel_requested": True}
