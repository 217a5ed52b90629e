"""Answers that are errors, and those that are too big, at `/mcp`."""

from __future__ import annotations

import asyncio
from typing import Any

import jsonschema
import mcp_types as t
import msgspec
import pytest

from contracts.facts import Failure, Outcome, Record, TaskCreated
from contracts.result import Pointer, inline
from contracts.status import fold
from contracts.task import TaskSpec
from services.gateway.mcp import early
from services.gateway.mcp import tools as mcp_tools
from tests.support import facts
from tests.unit.gateway.mcp.test_door import ERAS, Mode, agent, next_fact, register
from tests.unit.gateway.world import World


@pytest.mark.parametrize("mode", ERAS)
async def test_an_answer_that_is_an_error_comes_as_the_tool_gave_it(
    gateway: World, mode: Mode
) -> None:
    content = [
        {"type": "text", "text": "x" * 15_000 + "FAILED test_a"},
        {"type": "image", "data": "AA==", "mimeType": "image/png"},
    ]
    whole = {"content": content, "structured": {"n": 1}, "is_error": True, "meta": {"v/x": 2}}
    await register(gateway)
    async with agent(gateway, mode=mode) as client:
        calling = asyncio.create_task(client.call_tool("h1__echo", {"text": "hi"}))
        task = (await next_fact(gateway, TaskCreated)).task
        kept = inline(msgspec.json.encode(whole))
        await gateway.append(facts.failed("alice", task, result=kept))
        error = Failure("tool", "FAILED test_a")
        await gateway.append(facts.done("alice", task, Outcome.FAILED, error=error, attempt=1))
        answer = await calling
    assert answer.is_error is True
    assert [item.model_dump(by_alias=True, exclude_none=True) for item in answer.content] == content
    assert answer.structured_content == {"n": 1}
    assert (answer.meta or {}).get("v/x") == 2


def test_a_link_in_place_of_promised_content_is_one_that_clients_take() -> None:
    task = facts.created(
        "alice", "t", spec=TaskSpec(type="mcp.call", input=msgspec.Raw(b'{"tool":"echo"}'))
    )
    kept = Pointer("nats://blobs/alice/x", "0" * 64, 5_000_000)
    done = facts.done("alice", "t", result=kept, host="h1")
    view = fold([Record(1, 1.0, "", task, b""), Record(2, 2.0, "", done, b"")])
    assert view is not None
    answer = mcp_tools.answer(view, None, "http://x/result")
    assert answer.is_error is False
    assert isinstance(answer.content[1], t.ResourceLink)
    schema = early.admitting({"type": "object", "required": ["sum"]})
    jsonschema.validate(answer.structured_content, schema)


@pytest.mark.parametrize(
    ("item", "shown"),
    [
        ({"type": "text", "text": "a", "annotations": None}, {"type": "text", "text": "a"}),
        ({"type": "video", "d": 1}, {"type": "text", "text": '{"type":"video","d":1}'}),
        (7, {"type": "text", "text": "7"}),
    ],
)
def test_content_that_clients_do_not_know_is_shown_as_text(
    item: Any, shown: dict[str, Any]
) -> None:
    task = facts.created(
        "alice", "t", spec=TaskSpec(type="mcp.call", input=msgspec.Raw(b'{"tool":"echo"}'))
    )
    done = facts.done("alice", "t", result=inline(b"{}"), host="h1")
    view = fold([Record(1, 1.0, "", task, b""), Record(2, 2.0, "", done, b"")])
    assert view is not None
    data = msgspec.json.encode({"content": [item, {"type": "text", "text": "b"}]})
    found = mcp_tools.answer(view, data, "http://x/result")
    assert [one.model_dump(by_alias=True, exclude_none=True) for one in found.content] == [
        shown,
        {"type": "text", "text": "b"},
    ]
