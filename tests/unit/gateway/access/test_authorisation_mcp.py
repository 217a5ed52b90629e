"""What others see of Alice's through the MCP door, whatever method or tool they use: nothing.

Asked in both eras of the protocol, and compared byte for byte with what there is not.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import mcp_types as t
import msgspec
import pytest

from contracts.facts import TaskCreated
from contracts.reads import ReadAnswer, ReadRequest
from contracts.result import inline
from services.gateway.mcp.asked import TASK_KEY
from services.gateway.mcp.door import McpDoor
from services.gateway.mcp.own_list import OWN
from services.gateway.mcp.tasks import TASKS
from services.log.port import START
from tests.support import facts
from tests.support.nats import NatsServer
from tests.unit.gateway.alices import (
    AT_ONCE,
    DONE,
    HOST,
    MARK,
    MORE,
    NONE,
    PUBLIC_HOST,
    WAIT,
    Seen,
    seen,
    together,
)
from tests.unit.gateway.mcp.readers import ALL
from tests.unit.gateway.mcp.test_door import echoed, ended, register
from tests.unit.gateway.world import TASK, TOKENS, World, write_tokens

ALICE, BOB, AUDITOR = "alice-token", "bob-token", "auditor-token"
ALICES_OTHER = "alices-other-token"
ERAS = ("2025-11-25", "2026-07-28")
LEGACY, MODERN = ERAS
ACCEPT = {"Accept": "application/json, text/event-stream"}
ONE_TASK: list[dict[str, Any]] = [{"task": "NAME"}, {"task": "NAME", "wait_s": 0}]
TOOLS: dict[str, list[dict[str, Any]]] = {
    "get_task": ONE_TASK,
    "cancel_task": ONE_TASK,
    "answer_task": [{"task": "NAME", "q": 1, "action": "decline"}],
    "submit_task": [TASK | {"id": "NAME"}],
    "list_hosts": [{}, {"task_type": "t.x"}],
    "list_tasks": [{}, {"status": "succeeded", "limit": 5}],
    "why": [{"task": "NAME"}],
    "audit_task": [{"task": "NAME"}],
    "read_result": [{"task": "NAME"}, {"task": "NAME", "offset": 2, "encoding": "base64"}],
}
"""The orchestrator's own tools; NAME stands for a name of something of Alice's, or of nothing."""
OF_HOSTS = ("NAME__echo", "NAME__hidden", "NAME__none", "NAME__echo__none")
METHODS: dict[str, list[dict[str, Any]]] = {
    "ping": [{}],
    "server/discover": [{}],
    "tools/list": [{}, {"cursor": "a"}],
    "tools/call": [
        *({"name": tool, "arguments": given} for tool, every in TOOLS.items() for given in every),
        *({"name": tool, "arguments": {"text": "x"}} for tool in OF_HOSTS),
    ],
    "prompts/list": [{}, {"cursor": "a"}],
    "prompts/get": [{"name": "NAME__greet"}, {"name": "NAME__none", "arguments": {"x": "y"}}],
    "resources/list": [{}, {"cursor": "a"}],
    "resources/templates/list": [{}],
    "resources/read": [{"uri": "metamcp:NAME:mem://one"}],
    "resources/subscribe": [{"uri": "metamcp:NAME:mem://one"}],
    # Nothing is held for him, so there is nothing to end.
    "resources/unsubscribe": [],
    "completion/complete": [
        {"ref": ref, "argument": {"name": "x", "value": ""}}
        for ref in (
            {"type": "ref/prompt", "name": "NAME__greet"},
            {"type": "ref/resource", "uri": "metamcp:NAME:mem://{x}"},
        )
    ],
    "logging/setLevel": [{"level": "info"}],
    "tasks/get": [{"taskId": "NAME"}],
    "tasks/cancel": [{"taskId": "NAME"}],
    "tasks/update": [{"taskId": "NAME", "inputResponses": {}}],
    # A stream without an end, which names nothing: tests/unit/gateway/mcp/test_list_changed.py.
    "subscriptions/listen": [],
}
ONLY = {
    **dict.fromkeys(("ping", "logging/setLevel", "resources/subscribe"), LEGACY),
    "server/discover": MODERN,
}
"""Methods of one era alone."""
SILENT = (
    *("ping", "server/discover", "logging/setLevel", "tasks/cancel", "tasks/update"),
    "resources/subscribe",
)
"""Methods whose answers say nothing."""


class Agent:
    """A client that shows answers as they come; for the first era with a session."""

    def __init__(self, client: httpx.AsyncClient, era: str, session: str = "") -> None:
        self.client = client
        self.era = era
        self.session = session
        self.at = "/mcp"

    async def ask(self, method: str, params: dict[str, Any], id_: int = 7) -> httpx.Response:
        """Send a request."""
        body = {"jsonrpc": "2.0", "id": id_, "method": method, "params": params}
        headers = {**ACCEPT, "MCP-Protocol-Version": self.era}
        if self.era == MODERN:
            name = params.get("name") or params.get("taskId") or params.get("uri")
            headers |= {"Mcp-Method": method} | ({"Mcp-Name": name} if name else {})
            meta = {
                t.PROTOCOL_VERSION_META_KEY: MODERN,
                t.CLIENT_CAPABILITIES_META_KEY: {"extensions": {TASKS: {}}},
            }
            body["params"] = params | {"_meta": meta | params.get("_meta", {})}
        else:
            headers |= {"Mcp-Session-Id": self.session}
        return await self.client.post(self.at, json=body, headers=headers)

    async def use(self, tool: str, given: dict[str, Any]) -> Any:
        """Call a tool that must work; the answer is what it says."""
        answer = await self.ask("tools/call", {"name": tool, "arguments": given})
        return result(answer)["structuredContent"]


@contextlib.asynccontextmanager
async def agent(gateway: World, token: str, era: str) -> AsyncIterator[Agent]:
    async with gateway.http(token) as client:
        one = Agent(client, era)
        if era == LEGACY:
            who = {
                "protocolVersion": LEGACY,
                "capabilities": {"extensions": {TASKS: {}}},
                "clientInfo": {"name": "x", "version": "1"},
            }
            body = {"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": who}
            answer = await client.post("/mcp", json=body, headers=ACCEPT)
            one.session = answer.headers["mcp-session-id"]
            told = {"jsonrpc": "2.0", "method": "notifications/initialized"}
            headers = ACCEPT | {"Mcp-Session-Id": one.session}
            assert (await client.post("/mcp", json=told, headers=headers)).status_code == 202
        yield one


def result(answer: httpx.Response) -> dict[str, Any]:
    """The answer's result, which it must have."""
    assert answer.status_code == 200, answer.text
    message = json.loads(answer.text.strip().rpartition("data: ")[2])
    return message["result"]  # type: ignore[no-any-return]


def failed(answer: httpx.Response) -> bool:
    """Whether a tool or a method says that something is wrong."""
    return '"error":' in answer.text or '"isError":true' in answer.text


def about(params: dict[str, Any], name: str) -> dict[str, Any]:
    return json.loads(json.dumps(params).replace("NAME", name))  # type: ignore[no-any-return]


def cases(era: str, *, named: bool) -> list[tuple[str, dict[str, Any]]]:
    """Requests about something that has a name, or about nothing in particular."""
    return [
        (method, params)
        for method, every in METHODS.items()
        for params in every
        if ("NAME" in json.dumps(params)) == named and ONLY.get(method, era) == era
    ]


def names(params: dict[str, Any]) -> tuple[str, ...]:
    return (HOST,) if of_hosts(params) else (DONE, WAIT)


def of_hosts(params: dict[str, Any]) -> bool:
    """Whether NAME stands for a host in these."""
    return any(mark in json.dumps(params) for mark in ("NAME__", ":NAME:"))


async def said(payload: bytes) -> bytes:
    """What her host answers to everything that is no call, by way of an executor."""
    request = msgspec.json.decode(payload, type=ReadRequest)
    assert request.host in (HOST, PUBLIC_HOST)
    mark = MARK if request.host == HOST else "x"
    found = {
        "prompts": [{"name": "greet", "description": mark}],
        "resources": [{"uri": "mem://one", "name": mark}],
        "resourceTemplates": [{"uriTemplate": "mem://{x}", "name": mark}],
        "messages": [{"role": "user", "content": {"type": "text", "text": mark}}],
        "contents": [{"uri": "mem://one", "text": mark}],
        "completion": {"values": [mark]},
    }
    return msgspec.msgpack.encode(ReadAnswer(msgspec.json.encode(found)))


def server(door: McpDoor) -> Any:
    return door._manager.app


@pytest.fixture
async def one(gateway: World, nats_server: NatsServer, tmp_path: Path) -> AsyncIterator[World]:
    """A gateway where Alice has a task that is over, one that is not, and a host."""
    write_tokens(tmp_path, TOKENS | MORE | {ALICES_OTHER: {"user": "alice"}})
    done = inline(b'"%b"' % MARK.encode())
    await gateway.append(
        facts.created("alice", DONE),
        facts.done("alice", DONE, result=done, host=HOST, attempt=1),
        facts.created("alice", WAIT),
    )
    await register(gateway, HOST, owner="alice", features=ALL)
    await register(gateway, PUBLIC_HOST, features=ALL)
    async with nats_server.connected("executor") as bus:
        await bus.serve("executor", "1.0.0", {"read": said})
        yield gateway


async def test_every_method_and_tool_has_a_case(one: World) -> None:
    assert set(server(one.site.door)._request_handlers) == set(METHODS)
    assert server(one.site.door)._notification_handlers == {}
    assert {tool.name for tool in OWN} == set(TOOLS)
    async with agent(one, ALICE, MODERN) as hers, agent(one, BOB, MODERN) as his:
        tools = [result(await each.ask("tools/list", {}))["tools"] for each in (hers, his)]
    mine, others = ({tool["name"] for tool in found} for found in tools)
    assert mine - others == {f"{HOST}__echo"}
    assert others == {f"{PUBLIC_HOST}__echo", *TOOLS}


@pytest.mark.parametrize(("era", "token"), [(LEGACY, BOB), (MODERN, BOB), (MODERN, AUDITOR)])
async def test_what_is_alices_does_not_exist_for_others(one: World, era: str, token: str) -> None:
    head, desk = await one.log.head(), one.site.desk
    before = [await desk.view("alice", task) for task in (DONE, WAIT)]
    async with agent(one, token, era) as his:

        async def compared(method: str, params: dict[str, Any], name: str) -> None:
            answers = [await his.ask(method, about(params, each)) for each in (name, NONE)]
            assert all(failed(answer) for answer in answers), (method, params)
            assert seen(answers[0], name) == seen(answers[1], NONE), (method, params, name)

        async def shown(method: str, params: dict[str, Any]) -> None:
            answer = await his.ask(method, params)
            assert (MARK in answer.text, failed(answer)) == (False, False), (method, params)

        work = [
            *(
                compared(method, params, name)
                for method, params in cases(era, named=True)
                for name in (names(params) if params.get("name") != "submit_task" else ())
            ),
            *(shown(*each) for each in cases(era, named=False)),
        ]
        # A session takes one request of an id at a time.
        await together(*work, at_once=1 if era == LEGACY else AT_ONCE)
    assert await one.log.head() == head
    assert [await desk.view("alice", task) for task in (DONE, WAIT)] == before


@pytest.mark.parametrize("era", ERAS)
async def test_a_task_with_her_id_is_ones_own(one: World, era: str) -> None:
    desk = one.site.desk
    before = [await desk.view("alice", task) for task in (DONE, WAIT)]
    async with agent(one, BOB, era) as his:
        for task in (DONE, WAIT):
            made = await his.use("submit_task", TASK | {"id": task})
            assert (made["id"], made["user"], made["status"]) == (task, "bob", "pending")
            assert (await his.use("cancel_task", {"task": task}))["user"] == "bob"
    assert [await desk.view("alice", task) for task in (DONE, WAIT)] == before


async def test_a_call_that_names_her_task_is_ones_own(one: World) -> None:
    desk = one.site.desk
    before = await desk.view("alice", DONE)
    call = {"name": f"{PUBLIC_HOST}__echo", "arguments": {}, "_meta": {TASK_KEY: DONE}}
    async with agent(one, BOB, MODERN) as his:
        handle = result(await his.ask("tools/call", call))
        found = result(await his.ask("tasks/get", {"taskId": DONE}))
    assert (handle["taskId"], handle["status"], found["status"]) == (DONE, "working", "working")
    assert MARK not in json.dumps(found).replace(DONE, "")
    assert await desk.view("alice", DONE) == before


@pytest.mark.parametrize("era", ERAS)
async def test_alice_may(one: World, era: str) -> None:
    async with agent(one, ALICE, era) as hers:
        for method, params in (*cases(era, named=False), *cases(era, named=True)):
            if params.get("name") in ("cancel_task", "answer_task", "submit_task", *OF_HOSTS):
                continue
            answer = await hers.ask(method, about(params, names(params)[0]))
            assert not failed(answer), (method, answer.text)
            if method not in SILENT:
                # Nobody has decided anything about these tasks.
                nothing = params.get("cursor") or params.get("name") in ("why", "audit_task")
                assert MARK in answer.text or nothing, (method, params)
        assert (await hers.use("cancel_task", {"task": WAIT}))["cancel_requested"] is True
        if era == MODERN:
            call = {"name": f"{HOST}__echo", "arguments": {}}
            assert result(await hers.ask("tools/call", call))["status"] == "working"


async def called(gateway: World) -> TaskCreated:
    """Wait for the task of a call."""
    async with asyncio.timeout(20):
        async for batch in gateway.log.follow((">",), START):
            for record in batch.records:
                if isinstance(record.fact, TaskCreated) and record.fact.source == "mcp":
                    return record.fact
    raise AssertionError


async def refused(client: httpx.AsyncClient, session: str, task: str) -> list[Seen]:
    """What somebody is answered who knows the id of a session, for everything one can do there."""
    headers = ACCEPT | {"Mcp-Session-Id": session}
    get_task = {"name": "get_task", "arguments": {"task": task}}
    messages: list[dict[str, Any]] = [
        {"id": 7, "method": "tools/call", "params": get_task},
        {"id": 8, "method": "ping"},
        {"method": "notifications/cancelled", "params": {"requestId": 7}},
    ]
    asked = [("POST", {"jsonrpc": "2.0"} | message) for message in messages]
    found = []
    for method, body in (*asked, ("GET", None), ("DELETE", None)):
        # What is not refused may never end.
        async with client.stream(method, "/mcp", json=body, headers=headers) as answer:
            assert answer.status_code == 404, method
            await answer.aread()
        found.append(seen(answer, session))
    return found


async def test_a_session_is_its_users_alone(one: World) -> None:
    async with agent(one, ALICE, LEGACY) as hers, one.http(BOB) as bob:
        call = {"name": f"{PUBLIC_HOST}__echo", "arguments": {"text": MARK}}
        calling = asyncio.create_task(hers.ask("tools/call", call))
        created = await called(one)
        # Of a form that none of ours has: others are begun anew for whoever names them first.
        unknown = await refused(bob, "-" * len(hers.session), created.task)
        assert await refused(bob, hers.session, created.task) == unknown
        await ended(one, created, echoed(MARK))
        assert result(await calling)["content"] == [{"type": "text", "text": MARK}]
        async with one.http(ALICES_OTHER) as client:
            again = Agent(client, LEGACY, hers.session)
            assert "tools" in result(await again.ask("tools/list", {})), "whichever token is hers"
