"""The tools that read tasks, why they ran where they did, and results in parts."""

from __future__ import annotations

import base64
import json
from typing import Any

import mcp_types as t
import pytest
from mcp import Client
from msgspec.structs import replace

from contracts.facts import Outcome
from contracts.result import Kept, inline
from services.gateway.mcp import own_reads
from tests.support import facts
from tests.unit.gateway.mcp.test_door import agent
from tests.unit.gateway.world import World

TEXT = '"größer € 𝄞 end"'


@pytest.fixture
async def one(gateway: World) -> World:
    """A gateway where Alice has three tasks, one of them over."""
    await gateway.append(
        facts.created("alice", "first"),
        facts.routed("alice", "first"),
        facts.done("alice", "first", result=inline(TEXT.encode()), attempt=1, host="h1"),
        facts.created("alice", "second"),
        facts.created("alice", "third"),
    )
    await gateway.settled()
    await gateway.site.projection.reached(gateway.site.feed.position, 10)
    return gateway


async def used(client: Client, tool: str, **given: Any) -> dict[str, Any]:
    answer = await client.call_tool(tool, given)
    assert answer.is_error is False
    assert answer.structured_content is not None
    return answer.structured_content


async def part(client: Client, **given: Any) -> tuple[str, dict[str, Any]]:
    answer = await client.call_tool("read_result", {"task": "first", **given})
    assert answer.is_error is False
    text, about = answer.content
    assert isinstance(text, t.TextContent)
    assert isinstance(about, t.TextContent)
    return text.text, json.loads(about.text)


async def test_tasks_are_listed_in_pages(one: World) -> None:
    async with agent(one) as client, agent(one, "bob-token") as bob:
        page = await used(client, "list_tasks", limit=2)
        assert [task["id"] for task in page["tasks"]] == ["third", "second"]
        rest = await used(client, "list_tasks", cursor=page["next_cursor"], mark=page["next_mark"])
        assert [task["id"] for task in rest["tasks"]] == ["first"]
        assert rest["next_cursor"] is None
        over = await used(client, "list_tasks", status="succeeded")
        assert [task["id"] for task in over["tasks"]] == ["first"]
        assert (await used(client, "list_tasks", type="no.such"))["tasks"] == []
        assert (await used(bob, "list_tasks"))["tasks"] == []


async def test_it_is_told_why_a_host_was_chosen(one: World) -> None:
    async with agent(one) as client:
        (why,) = (await used(client, "why", task="first"))["result"]
        assert (why["attempt"], why["route"]["host"]) == (1, "h1")
        assert (await used(client, "why", task="second"))["result"] == []


async def test_it_is_told_what_the_log_proves(one: World) -> None:
    await one.append(
        facts.created("alice", "fourth"),
        facts.done("alice", "fourth", Outcome.REJECTED),
        facts.created("alice", "fifth"),
        facts.routed("alice", "fifth"),
        replace(facts.signed("alice", "fifth"), permit="forged"),
    )
    async with agent(one) as client:

        async def wrong(task: str) -> set[str]:
            found = await used(client, "audit_task", task=task)
            named = {check["name"] for check in found["checks"] if not check["ok"]}
            assert found["ok"] is not bool(named)
            assert "routes recomputed" not in {check["name"] for check in found["checks"]}
            return named

        assert await wrong("fourth") == set()
        assert await wrong("second") == {"one outcome"}
        assert "claim before outcome" in await wrong("first")
        assert "permits" in await wrong("fifth")


async def test_a_result_is_read_in_parts_and_no_character_is_cut(one: World) -> None:
    found, offset = "", 0
    async with agent(one) as client:
        while offset is not None:
            text, about = await part(client, offset=offset, limit=16)
            assert about["size"] == len(TEXT.encode())
            found, offset = found + text, about["next_offset"]
        assert found == TEXT
        assert "\N{REPLACEMENT CHARACTER}" not in found
        text, about = await part(client, offset=3, encoding="base64")
        assert base64.b64decode(text) == TEXT.encode()[3:]
        assert about["next_offset"] is None
        assert (await part(client, offset=10**6))[0] == ""


@pytest.mark.parametrize(
    ("tool", "given"),
    [
        ("list_tasks", {"status": "no such"}),
        ("list_tasks", {"limit": 1000}),
        ("why", {}),
        ("why", {"task": "nothing"}),
        ("audit_task", {"task": "nothing"}),
        ("read_result", {"task": "second"}),
        ("read_result", {"task": "nothing"}),
        ("read_result", {"task": "first", "limit": own_reads.MOST_PART + 1}),
        ("read_result", {"task": "first", "offset": -1}),
        ("read_result", {"task": "first", "more": 1}),
    ],
)
async def test_what_does_not_fit_is_said(one: World, tool: str, given: dict[str, Any]) -> None:
    async with agent(one) as client:
        answer = await client.call_tool(tool, given)
    assert answer.is_error is True
    assert isinstance(answer.content[0], t.TextContent)
    assert answer.content[0].text


def test_a_part_that_swells_in_json_is_made_smaller() -> None:
    data = b"\x01" * own_reads.MOST_PART
    kept = Kept("t", "alice", "inline", "text/plain", 10**7, "0" * 64, "", 0.0, 0, "h1", 1)
    shown = own_reads._part(own_reads._Reading("t", limit=own_reads.MOST_PART), kept, data)
    assert len(shown.model_dump_json()) < 1024 * 1024
    assert isinstance(shown.content[1], t.TextContent)
    assert json.loads(shown.content[1].text)["next_offset"] == own_reads.MOST_PART // 2
