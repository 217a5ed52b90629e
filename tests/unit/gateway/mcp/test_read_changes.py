"""Who listens is told when prompts, resources or one resource of a host are others than before."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import mcp_types as t
import pytest
from mcp import Client, MCPError
from mcp.shared.subscriptions import PromptsListChanged, ResourceUpdated

from services.gateway.mcp import subscribing
from tests.support.nats import NatsServer
from tests.support.system import until
from tests.unit.gateway.mcp.readers import Readers, readers
from tests.unit.gateway.mcp.test_door import ERAS, Mode, agent
from tests.unit.gateway.world import World

URI, OWN = "metamcp:h1:mem://one", "mem://one"
ALONE = "/mcp?hosts=h1"


@pytest.fixture
async def one(gateway: World, nats_server: NatsServer, tmp_path: Path) -> AsyncIterator[Readers]:
    async with readers(gateway, nats_server, tmp_path) as found:
        found.pool.news._pause_s = 0.0
        await found.add("h1")
        yield found


async def subscribe(client: Client, uri: str) -> None:
    """As a client of the older era does."""
    params = t.SubscribeRequestParams(uri=uri)
    await client.session.send_request(t.SubscribeRequest(params=params), t.EmptyResult)


async def unsubscribe(client: Client, uri: str) -> None:
    params = t.UnsubscribeRequestParams(uri=uri)
    await client.session.send_request(t.UnsubscribeRequest(params=params), t.EmptyResult)


class Ear:
    """An agent that listens."""

    def __init__(self) -> None:
        self.came: asyncio.Queue[Any] = asyncio.Queue()
        self.client: Client

    async def hear(self, message: Any) -> None:
        match message:
            case t.ResourceUpdatedNotification(params=params):
                await self.came.put(ResourceUpdated(params.uri))
            case t.PromptListChangedNotification():
                await self.came.put(PromptsListChanged())

    async def next(self) -> Any:
        async with asyncio.timeout(20):
            return await self.came.get()


@contextlib.asynccontextmanager
async def listening(
    one: Readers, mode: Mode, uri: str, token: str = "alice-token", at: str = "/mcp"
) -> AsyncIterator[Ear]:
    """An agent that has listed prompts, and subscribed to a resource."""
    ear = Ear()
    async with agent(one.gateway, token, mode, at, message_handler=ear.hear) as client:
        ear.client = client
        await client.list_prompts()
        if mode == "legacy":
            await subscribe(client, uri)
            yield ear
            return
        async with client.listen(prompts_list_changed=True, resource_subscriptions=[uri]) as told:

            async def follow() -> None:
                async for event in told:
                    await ear.came.put(event)

            following = asyncio.create_task(follow())
            yield ear
            following.cancel()


@pytest.mark.parametrize(("at", "uri"), [("/mcp", URI), (ALONE, OWN)])
@pytest.mark.parametrize("mode", ERAS)
async def test_who_has_subscribed_hears_of_a_change(
    one: Readers, mode: Mode, at: str, uri: str
) -> None:
    async with (
        listening(one, mode, uri, at=at) as hers,
        listening(one, "auto", URI, "bob-token") as his,
    ):
        await one.use("h1", "touch")
        assert await hers.next() == ResourceUpdated(uri)
        found = await hers.client.read_resource(uri)
        assert "touched 1 times" in str(found.contents)
        # His is another session of that host, in which nothing has changed.
        assert his.came.empty()


@pytest.mark.parametrize("mode", ERAS)
async def test_a_list_that_has_changed_is_told_and_asked_for_anew(one: Readers, mode: Mode) -> None:
    await one.add("h2", sessions="shared")
    async with listening(one, mode, URI) as ear:
        await one.use("h2", "grow", name="more")
        assert await ear.next() == PromptsListChanged()
        names = [one.name for one in (await ear.client.list_prompts()).prompts]
        assert "h2__more" in names


async def test_a_subscription_is_made_anew_when_its_session_has_ended(
    one: Readers, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(one.gateway.site.door._reads._held, "_again_s", 0.05)
    async with listening(one, "auto", URI) as ear:
        (rooms,) = [
            rooms for key, rooms in one.pool._doors["h1"]._rooms.items() if key[1] == "alice"
        ]
        session = await rooms[0].session.current()  # type: ignore[attr-defined]
        await session.stop()

        async def again() -> bool:
            new = await rooms[0].session.current()  # type: ignore[attr-defined]
            return new is not session and URI.endswith(next(iter(new.subscribed._uris), "-"))

        await until(again)
        before = len(one.answered)

        async def answered() -> bool:
            return len(one.answered) > before

        await until(answered)
        await one.use("h1", "touch")
        assert await ear.next() == ResourceUpdated(URI)


async def test_nothing_is_held_when_nobody_listens(one: Readers) -> None:
    held = one.gateway.site.door._reads._held
    for mode in ERAS:
        async with listening(one, mode, URI) as ear:  # type: ignore[arg-type]
            assert len(held._held) == 1
            if mode == "legacy":
                await unsubscribe(ear.client, URI)

        async def none() -> bool:
            return not held._held and not held._wanted and not held._ending

        await until(none)
    assert one.asked.count("resources/unsubscribe h1") == 2


async def test_what_is_not_there_is_not_subscribed_to(one: Readers) -> None:
    await one.add("h2", features=("prompts", "resources"))
    async with agent(one.gateway, mode="legacy") as client:
        for uri in ("metamcp:h3:mem://one", "metamcp:h2:mem://one", OWN):
            with pytest.raises(MCPError):
                await subscribe(client, uri)
    async with (
        agent(one.gateway) as client,
        client.listen(resource_subscriptions=[URI, "metamcp:h3:x"]) as told,
    ):
        assert told.honored.resource_subscriptions == [URI]


async def test_one_user_has_a_share(one: Readers, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(subscribing, "MOST_OF_USER", 1)
    async with agent(one.gateway, mode="legacy") as client:
        await subscribe(client, URI)
        await subscribe(client, URI)
        with pytest.raises(MCPError, match="1 resources are subscribed to"):
            await subscribe(client, "metamcp:h1:mem://bytes")
