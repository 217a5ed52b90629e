"""What clients of the newer era carry from a question to its answer, and what is no good."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import mcp_types as t
import pytest
from mcp import Client, MCPError

from contracts.facts import TaskCreated
from services.gateway.mcp import answering
from services.gateway.mcp.sealed import RequestStates, digest_of
from services.keys.vault import KeyFile
from services.process.files import write_private
from tests.support import facts
from tests.unit.gateway.mcp.test_asking import ROME, WHERE, Person, answers
from tests.unit.gateway.mcp.test_door import agent, echoed, ended, next_fact, register
from tests.unit.gateway.mcp.test_lost import created, text_of, waits
from tests.unit.gateway.world import KEY, World

HI = {"text": "hi"}
PLACE: Any = {"place": ROME}


def of_person(gateway: World, token: str = "alice-token") -> Any:
    """A client that takes questions; the test answers them itself."""
    return agent(gateway, token, elicitation_callback=Person())


async def sent(client: Client, given: dict[str, str] = HI, **more: Any) -> Any:
    """The answer to a call, also where that is a question."""
    return await client.session.call_tool("h1__echo", given, allow_input_required=True, **more)


@contextlib.asynccontextmanager
async def asked(gateway: World, **fields: Any) -> AsyncIterator[tuple[Client, TaskCreated, str]]:
    """A client whose call was answered by a question, the call's task, and what it carries."""
    await register(gateway)
    async with of_person(gateway) as client:
        call = asyncio.create_task(sent(client))
        task = await next_fact(gateway, TaskCreated)
        await gateway.append(facts.asked(task.user, task.task, **(WHERE | fields)))
        found = await call
        assert isinstance(found, t.InputRequiredResult)
        assert list(found.input_requests or ()) == ["place"]
        assert found.request_state
        yield client, task, found.request_state


async def test_what_is_brought_back_answers_the_question_and_again_it_is_the_same_task(
    gateway: World,
) -> None:
    async with asked(gateway) as (client, task, state):
        call = asyncio.create_task(sent(client, input_responses=PLACE, request_state=state))
        assert [one.content for one in await answers(gateway, 1)] == [{"city": "Rome"}]
        other: Any = {"place": t.ElicitResult(action="decline")}
        again = asyncio.create_task(sent(client, input_responses=other, request_state=state))
        await waits(gateway, task.task, 2)
        await ended(gateway, task, echoed("Ciao"))
        assert [text_of(await one) for one in (call, again)] == ["Ciao", "Ciao"]
        late = await sent(client, input_responses=PLACE, request_state=state)
    assert text_of(late) == "Ciao"
    assert len(await answers(gateway, 1)) == 1
    assert [one.task for one in await created(gateway, 1)] == [task.task]


async def test_who_brings_no_answer_is_asked_again(gateway: World) -> None:
    async with asked(gateway) as (client, _, state):
        wrong: Any = {"colour": ROME}
        for more in ({}, {"input_responses": wrong}):
            found = await sent(client, request_state=state, **more)
            assert isinstance(found, t.InputRequiredResult)


@pytest.mark.parametrize("how", ["changed", "made up", "long", "of another call", "not a text"])
async def test_a_state_that_was_not_given_for_this_call_is_refused(
    gateway: World, how: str
) -> None:
    async with asked(gateway) as (client, _, state):
        given = {"text": "ho"} if how == "of another call" else HI
        brought = {
            "changed": state[:-4] + ("AAAA" if state[-4:] != "AAAA" else "BBBB"),
            "made up": "-TAMPERED",
            "long": state * 40,
            "not a text": "\u00e9",
        }.get(how, state)
        with pytest.raises(MCPError) as refused:
            await sent(client, given, input_responses=PLACE, request_state=brought)
        assert refused.value.error.code == t.INVALID_PARAMS
        assert "requestState" in refused.value.error.message
        assert "call again without it" in refused.value.error.message


async def test_a_state_is_its_users_alone_and_good_as_long_as_the_question(gateway: World) -> None:
    async with (
        asked(gateway, timeout_s=0.0) as (client, task, state),
        of_person(gateway, "bob-token") as bob,
    ):
        with pytest.raises(MCPError, match="none that was given to this user"):
            await sent(bob, input_responses=PLACE, request_state=state)
        with pytest.raises(MCPError, match=f"the time to answer is over.*{task.task}"):
            await sent(client, input_responses=PLACE, request_state=state)
    assert len(await created(gateway, 1)) == 1


async def test_answers_may_come_with_the_first_call(gateway: World) -> None:
    await register(gateway)
    more: Any = {"place": ROME, "what we do not know": ROME}
    async with of_person(gateway) as client:
        call = asyncio.create_task(sent(client, input_responses=more))
        task = await next_fact(gateway, TaskCreated)
        await gateway.append(facts.asked(task.user, task.task, **WHERE))
        (said,) = await answers(gateway, 1)
        assert said.content == {"city": "Rome"}
        await ended(gateway, task, echoed("Ciao"))
        assert text_of(await call) == "Ciao"


def test_what_is_no_answer_to_an_elicitation_is_left_out() -> None:
    given = {"a": {"action": "accept"}, "b": {"roots": []}, "c": 5, "d": {"action": "maybe"}}
    assert list(answering.responses_of({"inputResponses": given})) == ["a"]
    assert answering.responses_of({"inputResponses": [1]}) == {}


def test_any_gateway_with_the_same_master_key_reads_it(tmp_path: Path) -> None:
    keys = [tmp_path / name for name in ("one", "same", "other")]
    for path, key in zip(keys, (KEY, KEY, b"3c" * 32), strict=True):
        write_private(path, key)
    one, same, other = (RequestStates(KeyFile(path)) for path in keys)
    question = facts.asked("alice", "t1", 3, **WHERE)
    call = digest_of("h1", {"b": 1, "a": 2})
    state = one.seal(question, 50.0, call)
    found = same.open("alice", state, digest_of("h1", {"a": 2, "b": 1}), 50.0)
    assert (found.task, found.q) == ("t1", 3)
    with pytest.raises(MCPError, match="none that was given"):
        other.open("alice", state, call, 50.0)
