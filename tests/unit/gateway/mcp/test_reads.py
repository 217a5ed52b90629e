"""Prompts, resources and completion of hosts through `/mcp`, with real hosts, in both eras."""

from __future__ import annotations

import base64
from collections.abc import AsyncIterator
from pathlib import Path

import mcp_types as t
import pytest
from mcp import Client, MCPError

from contracts.facts import McpHealth
from contracts.host import Access, HealthStatus, Limits
from services.executor.hosts.breaker import RULES
from services.gateway.mcp import listings
from services.gateway.mcp.reads import MISSING
from services.process.ids import new_id
from tests.support.nats import NatsServer
from tests.support.reading_mcp import ODD
from tests.unit.gateway.mcp.readers import Readers, readers
from tests.unit.gateway.mcp.test_door import ERAS, Mode, agent
from tests.unit.gateway.world import World


@pytest.fixture
async def two(gateway: World, nats_server: NatsServer, tmp_path: Path) -> AsyncIterator[Readers]:
    """A gateway with two hosts, of which one is not for Bob."""
    async with readers(gateway, nats_server, tmp_path) as found:
        await found.add("h1")
        await found.add("h2", access=Access(users=("alice",)))
        yield found


def text(found: t.ReadResourceResult) -> str:
    content = found.contents[0]
    assert isinstance(content, t.TextResourceContents)
    return content.text


async def names(client: Client) -> list[str]:
    return [one.name for one in (await client.list_prompts()).prompts]


async def code(asking: object) -> int:
    with pytest.raises(MCPError) as caught:
        await asking  # type: ignore[misc]
    return caught.value.code


@pytest.mark.parametrize("mode", ERAS)
async def test_prompts_have_the_names_of_tools(two: Readers, mode: Mode) -> None:
    async with agent(two.gateway, mode=mode) as client:
        found = (await client.list_prompts()).prompts
        listed = [one.name for one in found]
        assert [name for name in listed if name.endswith("greet")] == ["h1__greet", "h2__greet"]
        odd = next(name for name in listed if name.startswith("h2__odd"))
        assert (len(listed), odd.isascii()) == (4, True)
        assert found[listed.index("h1__greet")].description == "Says hello."
        said = await client.get_prompt("h2__greet", {"who": "you"})
        assert isinstance(said.messages[0].content, t.TextContent)
        assert said.messages[0].content.text == "h2 greets you"
        for name in (odd, f"h2__{ODD}"):
            assert "odd" in str((await client.get_prompt(name)).messages)
        assert await code(client.get_prompt("h3__greet")) == t.INVALID_PARAMS
        assert await code(client.get_prompt("h1__none")) != 0


@pytest.mark.parametrize("mode", ERAS)
async def test_resources_have_uris_that_name_the_host(two: Readers, mode: Mode) -> None:
    async with agent(two.gateway, mode=mode) as client:
        listed = [one.uri for one in (await client.list_resources()).resources]
        assert [uri for uri in listed if "one" in uri] == [
            "metamcp:h1:mem://one",
            "metamcp:h2:mem://one",
        ]
        found = await client.read_resource("metamcp:h2:mem://one")
        assert (text(found), found.contents[0].uri) == (
            "one of h2, touched 0 times",
            "metamcp:h2:mem://one",
        )
        picture = (await client.read_resource("metamcp:h1:mem://bytes")).contents[0]
        assert isinstance(picture, t.BlobResourceContents)
        assert base64.b64decode(picture.blob) == b"\x89PNG\x00\xff"
        templates = (await client.list_resource_templates()).resource_templates
        template = next(one for one in templates if one.uri_template.startswith("metamcp:h1:"))
        assert template.uri_template == "metamcp:h1:mem://item/{item}/of/{of}"
        uri = template.uri_template.format(item="a", of="b")
        assert text(await client.read_resource(uri)) == "a of b, h1"
        missing = MISSING if mode == "legacy" else t.INVALID_PARAMS
        for uri in ("mem://one", "metamcp:h3:mem://one"):
            assert await code(client.read_resource(uri)) == missing
        # As its host says it.
        none = await code(client.read_resource("metamcp:h1:mem://none"))
        assert none in (missing, t.INVALID_PARAMS)


@pytest.mark.parametrize("mode", ERAS)
async def test_one_host_alone_keeps_its_own_names(two: Readers, mode: Mode) -> None:
    async with agent(two.gateway, mode=mode, at="/mcp?hosts=h2") as client:
        assert "greet" in await names(client)
        assert "h2 greets x" in str(await client.get_prompt("greet", {"who": "x"}))
        assert "h2 greets x" in str(await client.get_prompt("h2__greet", {"who": "x"}))
        listed = [one.uri for one in (await client.list_resources()).resources]
        assert listed == ["mem://bytes", "mem://long", "mem://noise", "mem://one"]
        for uri in ("mem://one", "metamcp:h2:mem://one"):
            assert "one of h2" in text(await client.read_resource(uri))
        assert await code(client.read_resource("metamcp:h1:mem://one")) != 0


@pytest.mark.parametrize("mode", ERAS)
async def test_arguments_are_completed_by_the_host(two: Readers, mode: Mode) -> None:
    async with agent(two.gateway, mode=mode) as client:
        prompt = t.PromptReference(name="h2__greet")
        found = await client.complete(prompt, {"name": "who", "value": "y"})
        assert found.completion.values == ["greet|who|y|[]"]
        template = t.ResourceTemplateReference(uri="metamcp:h1:mem://item/{item}/of/{of}")
        found = await client.complete(template, {"name": "of", "value": ""}, {"item": "a"})
        assert found.completion.values == ["mem://item/{item}/of/{of}|of||['item']"]


async def test_what_one_may_not_use_is_not_there(two: Readers) -> None:
    async with agent(two.gateway, "bob-token") as client:
        assert all(name.startswith("h1__") for name in await names(client))
        uris = [one.uri for one in (await client.list_resources()).resources]
        assert all(uri.startswith("metamcp:h1:") for uri in uris)
        assert await code(client.read_resource("metamcp:h2:mem://one")) == t.INVALID_PARAMS
        assert await code(client.get_prompt("h2__greet", {"who": "x"})) == t.INVALID_PARAMS


async def test_a_host_whose_tools_nobody_may_call_gives_nothing(two: Readers) -> None:
    await two.add("h3", callable_tools=())
    async with agent(two.gateway) as client:
        assert not [name for name in await names(client) if name.startswith("h3")]
        assert await code(client.read_resource("metamcp:h3:mem://one")) == t.INVALID_PARAMS


async def test_what_is_too_long_is_told_and_harms_nobody(two: Readers) -> None:
    await two.add("h3", limits=Limits(max_output_bytes=1000))
    async with agent(two.gateway) as client:
        for _ in range(RULES.failures + 1):
            with pytest.raises(MCPError, match="more than"):
                await client.read_resource("metamcp:h3:mem://long")
        assert "one of h3" in text(await client.read_resource("metamcp:h3:mem://one"))
        with pytest.raises(MCPError, match=r"is too long: .* more than"):
            await client.read_resource("metamcp:h1:mem://noise")


async def test_a_silent_host_holds_nobody_up_and_is_not_asked_twice(
    two: Readers, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with agent(two.gateway) as client, agent(two.gateway, "bob-token") as other:
        known = await names(client)
        await two.add("mute", "silent")
        monkeypatch.setattr(listings, "LIST_S", 0.1)
        assert await names(client) == await names(client) == known
        assert "h1__greet" in await names(other)
    assert two.asked.count("prompts/list mute") == 1
    # Of hosts over stdio the list is everybody's.
    assert two.asked.count("prompts/list h1") == 1


async def test_a_long_list_comes_in_pages_without_gaps(two: Readers) -> None:
    await two.add("h3", "many")
    uris: list[str] = []
    cursor: str | None = None
    pages = 0
    async with agent(two.gateway) as client:
        while pages < 20:
            pages += 1
            page = await client.list_resources(cursor=cursor)
            uris += [one.uri for one in page.resources]
            if (cursor := page.next_cursor) is None:
                break
    assert pages > 1
    assert (len(uris), uris) == (1012, sorted(set(uris)))


async def test_a_host_that_is_down_is_left_out(two: Readers) -> None:
    health = McpHealth(id=new_id(), by="registry-1", host="h2", k=2, status=HealthStatus.UNHEALTHY)
    await two.gateway.append(health)
    await two.gateway.settled()
    async with agent(two.gateway) as client:
        assert all(name.startswith("h1__") for name in await names(client))
    assert "prompts/list h2" not in two.asked
