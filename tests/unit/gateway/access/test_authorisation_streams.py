"""What others see of Alice's in websocket frames and server-sent events: nothing.

A frame about a thing of hers is answered, and followed by, exactly what one about no thing is.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, get_args, get_type_hints

import msgspec
import pytest

from contracts import facts as kinds
from contracts import wire
from contracts.facts import AnyFact, McpHealth, McpPreferred, McpRegistered, McpRemoved
from contracts.host import HealthStatus, Host, Noop
from contracts.result import inline
from services.bus.bus import Bus
from services.gateway.stream import connection
from services.process.ids import new_id
from tests.support import facts
from tests.unit.gateway.alices import DONE, HOST, MARK, MORE, NONE, PUBLIC_HOST, WAIT
from tests.unit.gateway.http.test_events import Events, events
from tests.unit.gateway.http.test_tokens import issued, issuing
from tests.unit.gateway.world import (
    SETTINGS,
    TASK,
    TOKENS,
    World,
    error_of,
    world,
    write_tokens,
)

ALICE, BOB, AUDITOR = "alice-token", "bob-token", "auditor-token"
TO = get_args(get_type_hints(wire.Subscribe)["to"])
AFTER = (None, "start", 1)
NAMED: dict[str, Any] = {"task": {"task": "NAME"}, "batch": {"batch": "NAME"}}
FRAMES: dict[str, list[dict[str, Any]]] = {
    "auth": [{"token": word} for word in ("wrong", "expired-token", "ticket_x", "")],
    "subscribe": [
        {"sub": "s", "to": to, "after": after} | NAMED.get(to, {}) for to in TO for after in AFTER
    ],
    "unsubscribe": [{"sub": "NAME"}],
    "submit": [{"task": TASK | {"id": "NAME"}}],
    "cancel": [{"task": "NAME"}],
}
"""Whatever a client may send; NAME stands for the id of a task."""


def registered(host: str, k: int, owner: str | None = None) -> McpRegistered:
    spec = Host(id=host, name=host, endpoint=Noop(), owner=owner)
    return McpRegistered(id=new_id(), by="registry-1", host=host, k=k, spec=spec)


def health(host: str, k: int) -> McpHealth:
    status = HealthStatus.HEALTHY
    return McpHealth(id=new_id(), by="registry-1", host=host, k=k, status=status)


def before() -> list[AnyFact]:
    """What has happened when somebody begins to follow."""
    return [
        registered(HOST, 1, "alice"),
        health(HOST, 1),
        registered(PUBLIC_HOST, 1),
        facts.created("alice", DONE),
        facts.done("alice", DONE, result=inline(b'"%b"' % MARK.encode()), host=HOST, attempt=1),
        facts.created("alice", WAIT),
        McpPreferred(id=new_id(), by="gateway-1", user="alice", host=HOST, k=1, weight=1.0),
    ]


def meanwhile() -> list[AnyFact]:
    """What happens then, all of it to Alice's things."""
    return [
        facts.signed("alice", WAIT, host=HOST),
        facts.cancelled("alice", WAIT),
        health(HOST, 2),
        registered(HOST, 2, "alice"),
        McpPreferred(id=new_id(), by="gateway-1", user="alice", host=HOST, k=2, weight=0.0),
        McpRemoved(id=new_id(), by="registry-1", host=HOST, k=1),
        facts.done("alice", WAIT, kinds.Outcome.CANCELLED, host=HOST, attempt=1),
    ]


def then() -> list[AnyFact]:
    """What everybody else sees as well, so that they know what they have missed."""
    bobs = [facts.cancelled("bob", task) for task in (DONE, WAIT, NONE)]
    return [*bobs, registered(PUBLIC_HOST, 2)]


def progress(gateway: World) -> None:
    for task in (DONE, WAIT):
        told = wire.Progress("alice", task, 1, 0.5, message=MARK)
        gateway.site.feed.progress("alice", task, msgspec.json.encode(told))


@pytest.fixture
async def gateway(request: pytest.FixtureRequest, tmp_path: Path, bus: Bus) -> AsyncIterator[World]:
    """A gateway that reads what was before from its memory, or from the log."""
    settings = msgspec.structs.replace(SETTINGS, recent_facts=getattr(request, "param", 10_000))
    async with world(tmp_path, bus, settings) as one:
        write_tokens(tmp_path, TOKENS | MORE)
        await one.append(*before())
        await one.settled()
        yield one


def about(fields: dict[str, Any], name: str) -> dict[str, Any]:
    return json.loads(json.dumps(fields).replace("NAME", name))  # type: ignore[no-any-return]


def without(name: str, frames: list[dict[str, Any]]) -> str:
    return json.dumps(frames).replace(name, "NAME")


def test_every_frame_has_a_case() -> None:
    for union in (wire.ClientFrame, connection.Frame):
        assert {kind.__struct_config__.tag for kind in get_args(union)} == set(FRAMES)
    every = {"tasks", "task", "batch", "operations", "hosts", "all"}
    assert {frame["to"] for frame in FRAMES["subscribe"]} == every


async def test_nothing_is_done_for_who_has_not_said_who_it_is(gateway: World) -> None:
    head = await gateway.log.head()
    async with gateway.stream(None) as one:
        for op, cases in FRAMES.items():
            for fields in cases if op != "auth" else ():
                answer = await one.ask(op, **about(fields, DONE))
                assert (answer["op"], answer["code"]) == ("error", "unauthorized"), fields
        assert (await one.ask("auth", token=ALICE))["user"] == "alice"
        assert [frame["op"] for frame in one.frames if frame["op"] not in ("hello", "ack")] == [
            "error"
        ] * sum(len(cases) for op, cases in FRAMES.items() if op != "auth")
    assert await gateway.log.head() == head


async def test_a_token_that_is_not_good_opens_nothing(gateway: World) -> None:
    async with issuing(gateway), gateway.http("admin-token") as admin:
        revoked = await issued(admin, "alice")
        await admin.delete(f"/api/tokens/{revoked['id']}")
    for token in (revoked["token"], *(frame["token"] for frame in FRAMES["auth"])):
        async with gateway.stream(None) as framed:
            answer = await framed.ask("auth", token=token)
            assert (answer["op"], answer["code"]) == ("error", "unauthorized")
            assert await framed.closed() == 4401
            assert framed.socket.close_reason == answer["message"], "at once, not after a while"
        async with gateway.stream(token) if token else contextlib.nullcontext() as headed:
            assert headed is None or await headed.closed() == 4401
        async with gateway.stream(BOB) as his:
            assert (await his.ask("auth", token=token))["code"] == "unauthorized"
            assert (await his.ask("auth", token=ALICE))["code"] == "forbidden"
            assert (await his.ask("cancel", task=WAIT))["code"] == "not_found"


def cases(*ops: str) -> list[tuple[str, dict[str, Any], str]]:
    """Frames with these ops, about each of Alice's tasks and about none."""
    return [
        (op, fields, name)
        for op in ops
        for fields in FRAMES[op]
        for name in ((DONE, WAIT, NONE) if "NAME" in json.dumps(fields) else ("",))
    ]


class Told:
    """What was told about things of several names, by what was asked."""

    def __init__(self) -> None:
        self._found: dict[str, dict[str, str]] = {}

    def add(self, asked: Any, name: str, found: list[dict[str, Any]]) -> None:
        """Note what came, but for what has to differ between one fact and another."""
        for came in found:
            fact = came.get("data", came)
            if "event" in fact:
                came["id"] = ""
                fact |= {"seq": 0, "at": 0, "event": fact["event"] | {"id": ""}}
        text = json.dumps(found)
        self._found.setdefault(repr(asked), {})[name] = text.replace(name, "NAME") if name else text

    def check(self) -> list[str]:
        """Whatever the name, the same; what is Alice's, never."""
        for asked, by_name in self._found.items():
            assert len(set(by_name.values())) == 1, (asked, by_name)
            for text in by_name.values():
                for word in ('"alice"', HOST, f'"{MARK}"', "progress"):
                    assert word not in text, (asked, text)
        return [text for by_name in self._found.values() for text in by_name.values()]


async def happens(gateway: World) -> int:
    """Let things happen to what is Alice's, then to others'; returns where the latter begins."""
    progress(gateway)
    seqs = await gateway.append(*meanwhile())
    await gateway.append(*then())
    await gateway.settled()
    return seqs[-1] + 1


@pytest.mark.parametrize("gateway", [10_000, 1], indirect=True, ids=["memory", "log"])
async def test_frames_about_hers_are_answered_as_those_about_nothing(gateway: World) -> None:
    told = Told()
    async with contextlib.AsyncExitStack() as stack:
        hers = await stack.enter_async_context(gateway.stream())
        await hers.follow("t", "tasks", after="start")
        await hers.follow("h", "hosts", after="start")
        his = []
        for op, fields, name in cases("cancel", "unsubscribe", "subscribe"):
            one = await stack.enter_async_context(gateway.stream(BOB))
            if (await one.ask(op, **about(fields, name)))["op"] == "ack":
                await one.until(op="caught_up")
            his.append((one, fields, name))
        begin = await happens(gateway)
        for one, fields, name in his:
            await one.ask("unsubscribe", sub="none")
            rest = [frame for frame in one.frames if frame["op"] != "events"]
            told.add(fields, name, [*rest, *one.events()])
        await hers.until(op="progress", message=MARK)
        await hers.through(await gateway.log.head(), "h")
        assert sorted([*hers.seqs("t"), *hers.seqs("h")])[:-1] == list(range(1, begin))
    texts = told.check()
    assert sum("task.cancelled" in text for text in texts) == 4 * len(AFTER), "his own came"
    assert sum(PUBLIC_HOST in text for text in texts) == len(AFTER)


async def test_a_task_of_bobs_with_her_id_is_his_own(gateway: World) -> None:
    desk = gateway.site.desk
    hers = {name: await desk.view("alice", name) for name in (DONE, WAIT)}
    async with gateway.stream(BOB) as one:
        for op, fields, name in (*cases("submit"), *cases("cancel")):
            answer = await one.ask(op, **about(fields, name))
            assert (answer["op"], answer["task"]) == ("ack", name)
            record = await gateway.log.at(answer["seq"])
            assert record is not None
            assert (record.fact.user, record.fact.task) == ("bob", name)  # type: ignore[union-attr]
    assert {name: await desk.view("alice", name) for name in hers} == hers


async def until(one: Events, seq: int | None) -> list[dict[str, Any]]:
    """The events before the fact at `seq`, and that; without one, until history has come."""
    found = [await one.next()]
    while found[-1]["data"].get("seq", 0) < seq if seq else found[-1]["event"] != "caught_up":
        found.append(await one.next())
    return found


@pytest.mark.parametrize("gateway", [10_000, 1], indirect=True, ids=["memory", "log"])
async def test_events_about_hers_are_those_about_nothing(gateway: World) -> None:
    told, epoch = Told(), gateway.log.epoch
    resumed = [{}, *({"Last-Event-ID": text} for text in ("start", f"1@{epoch}", "1@other"))]
    asked = [
        (to, name, headers)
        for to, names in (("tasks", ("",)), ("hosts", ("",)), ("task", (DONE, WAIT, NONE)))
        for name in names
        for headers in resumed
    ]
    async with contextlib.AsyncExitStack() as stack:
        hers = await stack.enter_async_context(events(gateway, "?after=start"))
        his = []
        for to, name, headers in asked:
            query = f"?to={to}&task={name}"
            one = await stack.enter_async_context(events(gateway, query, BOB, **headers))
            his.append((one, await until(one, None)))
        came = await until(hers, None)
        begin = await happens(gateway)
        for (to, name, headers), (one, found) in zip(asked, his, strict=True):
            found += await until(one, begin)
            told.add((to, headers), name, found)
        came += await until(hers, begin - 1)
    assert "progress" in {event["event"] for event in came}
    assert MARK in json.dumps(came)
    assert len(told.check()) == len(asked)
    async with gateway.http(BOB) as client:
        for headers in resumed:
            refused = await client.get("/api/events?to=all", headers=headers)
            assert error_of(refused).reason == "forbidden"


async def test_a_ticket_is_hers_once(gateway: World) -> None:
    async with gateway.http() as client:
        made = [(await client.post("/api/auth/ticket")).json()["data"]["ticket"] for _ in "12"]
    query = f"?ticket={made[0]}"
    path = f"/api/stream{query}"
    async with gateway.stream(BOB, path=path) as his, events(gateway, query, BOB) as also_his:
        assert (await his.ask("cancel", task=WAIT))["code"] == "not_found", "he is Bob"
        assert (await his.ask("auth", token=made[1]))["code"] == "forbidden"
        await until(also_his, None)
        async with gateway.stream(None, path=path) as hers:
            assert (await hers.ask("cancel", task=WAIT))["op"] == "ack", "it was not used up"
        ends = await gateway.append(facts.created("bob"))
        assert [event["data"]["seq"] for event in await until(also_his, ends[0])] == ends
    async with gateway.stream(None, path=path) as again:
        assert await again.closed() == 4401
    async with gateway.http(None) as nobody:
        for ticket in made:
            answer = await nobody.get("/api/events", params={"ticket": ticket})
            assert error_of(answer).reason == "unauthorized"
