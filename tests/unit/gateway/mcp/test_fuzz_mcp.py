"""Made-up requests to `/mcp`: each is answered in order, and nobody gets at another user's things.

Nothing of it is random: the same requests are sent in each run.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
from collections import Counter
from collections.abc import AsyncIterator
from typing import Any

import httpx
import msgspec
import pytest
from hypothesis import strategies as st

from contracts.facts import TaskCreated
from contracts.result import inline
from services.gateway.mcp.asked import TASK_KEY
from services.log.port import START, AlreadyRecorded
from tests.support import facts
from tests.unit.gateway.fuzzing import (
    HER_HOST,
    HER_OPEN,
    HERS,
    HIS,
    HIS_OPEN,
    PUBLIC,
    SECRET,
    fill,
    holds,
    nobody_listens,
    nothing_unhandled,
    until,
)
from tests.unit.gateway.mcp.test_door import agent, echoed
from tests.unit.gateway.mcp_requests import (
    ACCEPT,
    EVENTS,
    GROUPS,
    HANDLES,
    HELLO,
    ID,
    JSON,
    SESSION,
    Request,
    envelope,
    header,
    plain,
)
from tests.unit.gateway.world import World

OURS = {-32603, 0}
"""Codes that say that something has gone wrong in the server itself."""
PLAIN = echoed("plain")


class Door:
    """Somebody at the door, and what of Alice's he can name."""

    def __init__(self, client: httpx.AsyncClient, hers: str) -> None:
        self.client = client
        self.hers = hers
        self.own: list[str] = []
        self.seen: Counter[str] = Counter()
        self._ids = itertools.count(10)

    async def ask(self, one: Request) -> list[dict[str, Any]]:
        """Send one request; the answer is what it holds, which is nothing of Alice's."""
        headers = {name: header(text) for name, text in one.headers.items()}
        named = {"own": next(iter(self.own), None), "hers": self.hers, "none": None}
        if (session := named.get(one.session, one.session)) is not None:
            headers[SESSION] = session.encode("latin-1")
        content = one.content.replace(b"%d" % ID, b"%d" % next(self._ids))
        async with self.client.stream(
            one.method, "/mcp", headers=headers, content=content
        ) as answer:
            # What a session is told besides its answers never ends.
            endless = one.method == "GET" and answer.status_code == 200
            text = "" if endless else (await answer.aread()).decode()
        return self.check(answer, text)

    def check(self, answer: httpx.Response, text: str) -> list[dict[str, Any]]:
        """See that an answer is in order."""
        self.seen[str(answer.status_code)] += 1
        assert answer.status_code < 500, text
        assert SECRET not in text + repr(answer.headers)
        assert self.hers not in text + repr(answer.headers)
        found = messages(answer, text)
        for message in found:
            assert message["jsonrpc"] == "2.0"
            code = message.get("error", {}).get("code")
            assert code not in OURS, message
            self.seen["result" if "result" in message else str(code)] += 1
        fresh = answer.headers.get(SESSION) if answer.is_success else None
        if fresh and fresh not in self.own:
            self.own.append(fresh)
        return found

    def open(self, gateway: World) -> set[str]:
        """The sessions that there are; those of ours that have ended are forgotten."""
        every = set(gateway.site.door._manager._server_instances)
        self.own = [session for session in self.own if session in every]
        return every

    async def leave(self) -> None:
        """Close what was opened."""
        for session in self.own:
            await self.client.delete("/mcp", headers={SESSION: session})
        self.own.clear()


def messages(answer: httpx.Response, text: str) -> list[dict[str, Any]]:
    """What an answer holds; it has to be what it is said to be."""
    kind = answer.headers.get("content-type", "").partition(";")[0]
    if not text:
        return []
    if kind == EVENTS:
        events = text.replace("\r\n", "\n").strip().split("\n\n")
        lines = [line for event in events for line in event.split("\n") if line[0] != ":"]
        assert {line.partition(": ")[0] for line in lines} <= {"event", "data"}
        return [json.loads(line[6:]) for line in lines if line.startswith("data: ")]
    if kind == JSON:
        found = json.loads(text)
        assert isinstance(found, dict)
        return [found]
    assert kind in ("", "text/plain")
    return []


async def initialize(client: httpx.AsyncClient) -> str:
    """Open a session of the older era."""
    message = {"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": HELLO}
    answer = await client.post("/mcp", headers=ACCEPT, json=message)
    return answer.headers[SESSION]  # type: ignore[no-any-return]


async def work(gateway: World, value: Any) -> None:
    """End Bob's tasks with this result, as router and executor would."""
    async for batch in gateway.log.follow((">",), START):
        for record in batch.records:
            fact = record.fact
            if isinstance(fact, TaskCreated) and fact.user == "bob" and fact.task != HIS_OPEN:
                result = inline(msgspec.json.encode(value))
                with contextlib.suppress(AlreadyRecorded):
                    await gateway.append(facts.done("bob", fact.task, result=result, host=PUBLIC))


@contextlib.asynccontextmanager
async def her_call(gateway: World) -> AsyncIterator[str]:
    """A call of Alice's is under way in her session; at the end she gets its result."""
    message = {"jsonrpc": "2.0", "id": 1, "method": "tools/call"}
    message["params"] = {"name": f"{HER_HOST}__echo", "arguments": {"text": SECRET}}
    async with gateway.http() as alice:
        session = await initialize(alice)
        headers = ACCEPT | {SESSION: session}
        calling = asyncio.create_task(alice.post("/mcp", headers=headers, json=message))
        await until(lambda: bool(gateway.site.feed._waiters))
        ((_, _, task),) = gateway.site.feed._waiters
        yield session
        result = inline(msgspec.json.encode(echoed(SECRET)))
        await gateway.append(facts.done("alice", task, result=result, host=HER_HOST))
        (answer,) = messages(await calling, (await calling).text)
        assert (answer["id"], answer["result"]["content"][0]["text"]) == (1, SECRET)
        await alice.delete("/mcp", headers=headers)


@contextlib.asynccontextmanager
async def at_the_door(
    gateway: World, token: str = "bob-token", *, value: Any = PLAIN
) -> AsyncIterator[Door]:
    """Somebody with a session, while Alice has a call under way in hers and Bob's tasks end."""
    await fill(gateway)
    working = asyncio.create_task(work(gateway, value))
    try:
        async with her_call(gateway) as hers, gateway.http(token) as client:
            # A connection that is kept waits 40 ms for each answer's second packet.
            client.headers["connection"] = "close"
            door = Door(client, hers)
            door.own.append(await initialize(client))
            yield door
            await door.leave()
            assert door.open(gateway) == {hers}
    finally:
        working.cancel()
        await asyncio.wait((working,))
    await until(lambda: nobody_listens(gateway))


async def test_made_up_requests(gateway: World) -> None:
    async with at_the_door(gateway) as door:

        async def play(script: list[list[Request]]) -> None:
            if not door.own:
                door.own.append(await initialize(door.client))
            for together in script:
                async with asyncio.TaskGroup() as asking:
                    for one in together:
                        asking.create_task(door.ask(one))
            assert door.open(gateway) <= {door.hers, *door.own}

        await holds(play, st.lists(GROUPS, min_size=1, max_size=8), 100)
        async with agent(gateway, "bob-token") as bob:
            assert (await bob.list_tools()).tools
            assert not (await bob.call_tool(f"{PUBLIC}__echo", {"text": "x"})).is_error
    assert door.seen.keys() >= {"200", "202", "400", "403", "404", "405", "406", "result"}
    assert door.seen.keys() >= {"-32600", "-32601", "-32602", "-32700"}


THINGS = [
    ("tools/list", {}),
    ("tools/call", {"name": "list_hosts", "arguments": {}}),
    ("tools/call", {"name": "get_task", "arguments": {"task": HERS}}),
    ("tools/call", {"name": "cancel_task", "arguments": {"task": HER_OPEN}}),
    ("tasks/get", {"taskId": HERS, "_meta": HANDLES}),
]


@pytest.mark.parametrize("modern", [True, False])
@pytest.mark.parametrize(("method", "params"), THINGS)
async def test_alice_is_told_what_would_be_noticed_if_bob_were_told(
    gateway: World, method: str, params: dict[str, Any], modern: bool
) -> None:
    asked = plain(method, params, modern=modern)
    async with at_the_door(gateway, "alice-token") as alice:
        with pytest.raises(AssertionError, match=SECRET):
            await alice.ask(asked)


@pytest.mark.parametrize("verb", ["POST", "GET", "DELETE"])
async def test_a_session_is_for_who_has_opened_it(gateway: World, verb: str) -> None:
    async with at_the_door(gateway) as bob:
        for method in ("tools/list", "notifications/cancelled", "initialize"):
            headers, message = envelope(method, {"requestId": 1}, modern=False)
            content = json.dumps(message | {"id": 1}).encode()
            (answer,) = await bob.ask(Request(verb, headers, content, "hers"))
            assert answer["error"]["message"] == "Session not found"
        assert bob.seen["404"] == 3


async def test_who_wants_to_resume_a_session_begins_anew(gateway: World) -> None:
    async with at_the_door(gateway) as bob:
        assert await bob.ask(Request("GET", ACCEPT | {"last-event-id": "1"}, b"", "own")) == []
        assert bob.seen["200"] == 1


@pytest.mark.parametrize(
    ("name", "given", "meta", "said"),
    [
        ("list_hosts", {"task_type": ["t.x"]}, {}, "task_type: expected a text"),
        ("get_task", {"task": HIS, "wait_s": 10**400}, {}, '"succeeded"'),
        ("submit_task", {"type": "t.x", "input": {"a": "\ud800"}}, {}, "not a task"),
        (f"{PUBLIC}__echo", {"a": "\ud800"}, {}, "not a task"),
        (f"{PUBLIC}__echo", {}, {TASK_KEY: "\ud800"}, "not a task"),
        ("get_task", {"task": "\ud800"}, {}, r"there is no task '\ud800'"),
    ],
)
async def test_what_python_takes_for_json_is_answered(
    gateway: World, name: str, given: dict[str, Any], meta: dict[str, Any], said: str
) -> None:
    params = {"name": name, "arguments": given, "_meta": meta}
    async with at_the_door(gateway) as bob:
        with nothing_unhandled():
            (answer,) = await bob.ask(plain("tools/call", params, modern=True))
    found = answer.get("error") or answer["result"]["content"][0]
    assert said in found.get("message", found.get("text"))


@pytest.mark.parametrize(
    ("value", "text", "structured"),
    [
        ({"content": [{"type": "text", "text": "one"}], "structured": [1]}, "one", {"result": [1]}),
        ({"content": [{"type": "smell", "of": "one"}]}, "smell", ...),
        ({"content": "one", "is_error": True}, "one", None),
    ],
    ids=["no object", "an unknown kind", "no list"],
)
async def test_what_a_host_says_in_its_own_way_is_passed_on(
    gateway: World, value: dict[str, Any], text: str, structured: Any
) -> None:
    params = {"name": f"{PUBLIC}__echo", "arguments": {}}
    async with at_the_door(gateway, value=value) as bob:
        for modern in (True, False):
            with nothing_unhandled():
                (answer,) = await bob.ask(plain("tools/call", params, modern=modern))
            result = answer["result"]
            assert text in result["content"][0]["text"]
            assert result.get("structuredContent", ...) == (structured or value)
            assert result["isError"] is value.get("is_error", False)
