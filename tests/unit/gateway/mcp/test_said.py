"""Log messages of hosts at `/mcp`: at the level that was asked for, in both eras, or not at all."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import mcp_types as t
import msgspec
import pytest
from mcp import Client

from contracts.facts import TaskCreated
from contracts.said import LOG_LEVELS, LogLevel, LogMessage, reaches
from contracts.wire import Progress
from services.gateway.mcp.news import MOST_SAID, News
from tests.unit.gateway.mcp.test_door import ERAS, Mode, agent, echoed, ended, next_fact, register
from tests.unit.gateway.world import World

Told = list[tuple[str, Any, str | None]]


def message(task: str, level: LogLevel, data: Any = None, user: str = "alice") -> bytes:
    raw = msgspec.Raw(msgspec.json.encode(data))
    return msgspec.json.encode(LogMessage(user, task, 1, level, raw, "l"))


async def ask_for(client: Client, level: LogLevel, mode: Mode) -> Any:
    """The `_meta` with which this client wants messages from this level on."""
    if mode == "auto":
        return {t.LOG_LEVEL_META_KEY: level}
    wanted = t.SetLevelRequest(params=t.SetLevelRequestParams(level=level))
    await client.session.send_request(wanted, t.EmptyResult)
    return None


def hearing() -> tuple[Told, Callable[[t.LoggingMessageNotificationParams], Any]]:
    told: Told = []

    async def hear(params: t.LoggingMessageNotificationParams) -> None:
        told.append((params.level, params.data, params.logger))

    return told, hear


@pytest.mark.parametrize("mode", ERAS)
async def test_a_client_hears_what_it_has_asked_for(gateway: World, mode: Mode) -> None:
    await register(gateway)
    told, hear = hearing()
    async with agent(gateway, mode=mode, logging_callback=hear) as client:
        assert client.server_capabilities.logging is not None
        meta = await ask_for(client, "warning", mode)
        calling = asyncio.create_task(client.call_tool("h1__echo", {"text": "hi"}, meta=meta))
        task = (created := await next_fact(gateway, TaskCreated)).task
        feed = gateway.site.feed.said
        feed.tell("alice", task, message(task, "notice", "too quiet"))
        feed.tell("alice", task, message(task, "warning", {"n": [1]}))
        feed.tell("alice", "other", message("other", "error", "another task"))
        feed.tell("bob", task, message(task, "error", "another user", "bob"))
        feed.tell("alice", task, message(task, "error", "last"))
        await ended(gateway, created, echoed("hi"))
        await calling
    assert told == [("warning", {"n": [1]}, "l"), ("error", "last", "l")]
    assert not gateway.site.feed.said._hearers


@pytest.mark.parametrize("mode", ERAS)
async def test_who_asks_for_nothing_hears_nothing(gateway: World, mode: Mode) -> None:
    await register(gateway)
    told, hear = hearing()
    async with agent(gateway, mode=mode, logging_callback=hear) as client:
        calling = asyncio.create_task(client.call_tool("h1__echo", {"text": "hi"}))
        task = (created := await next_fact(gateway, TaskCreated)).task
        gateway.site.feed.said.tell("alice", task, message(task, "emergency"))
        await ended(gateway, created, echoed("hi"))
        await calling
    assert told == []


@pytest.mark.parametrize("mode", ERAS)
async def test_what_is_said_in_the_last_moment_is_heard(
    gateway: World, mode: Mode, monkeypatch: pytest.MonkeyPatch
) -> None:
    await register(gateway)
    heard: list[float] = []
    told, hear = hearing()
    feed, view = gateway.site.feed, gateway.site.desk.view

    async def progress(done: float, total: float | None, text: str | None) -> None:
        heard.append(done)

    async def late(user: str, task: str) -> Any:
        found = await view(user, task)
        feed.progress(user, task, msgspec.json.encode(Progress(user, task, 1, 7.0, 7.0)))
        feed.said.tell(user, task, message(task, "info", "last"))
        return found

    async with agent(gateway, mode=mode, logging_callback=hear) as client:
        meta = await ask_for(client, "info", mode)
        calling = asyncio.create_task(
            client.call_tool("h1__echo", {"text": "hi"}, progress_callback=progress, meta=meta)
        )
        created = await next_fact(gateway, TaskCreated)
        monkeypatch.setattr(gateway.site.desk, "view", late)
        await ended(gateway, created, echoed("hi"))
        await calling
    assert heard == [7.0]
    assert told == [("info", "last", "l")]


def test_levels_rise_in_severity() -> None:
    assert [reaches(level, "error") for level in LOG_LEVELS] == [False] * 4 + [True] * 4


def test_what_nobody_takes_is_left_out_and_counted() -> None:
    one = News("debug")
    said = msgspec.json.decode(message("t", "info"), type=LogMessage)
    for _ in range(MOST_SAID + 3):
        one.hear(said)
    *kept, last = one.take_said()
    assert kept == [said] * MOST_SAID
    assert b"left out here: 3" in bytes(last.data)
    assert one.take_said() == []
    assert News().level is None
