"""What whoever audits a task is given: its facts to the letter, its keys, whom permits are for."""

from __future__ import annotations

import base64
from typing import Any

import msgspec
import pytest

from contracts import facts
from contracts.facts import McpRegistered
from contracts.host import Endpoint, Execute, Host, Noop, StreamableHttp
from contracts.scopes import TASKS_READ
from contracts.task import TaskSpec
from services.gateway.http.audit import audiences
from services.gateway.settings import Settings
from services.process.ids import new_id
from tests.support import facts as make
from tests.unit.cli.story import key
from tests.unit.gateway.scoped import take_scoped_tokens, token
from tests.unit.gateway.world import World, error_of

TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
RAW = b'{"z": 1.0,"a":"\\u00e4\xc3\xa4"}'


async def written(gateway: World) -> list[int]:
    """A task with a permit, and the key of that; the answer is where its facts stand."""
    signing = key()
    await gateway.append(
        facts.LogKey(id=new_id(), by="executor-1", kid=signing.kid, jwk=signing.jwk),
        facts.LogKey(id=new_id(), by="executor-1", kid="another", jwk={}),
    )
    spec = TaskSpec(type="t.x", input=msgspec.Raw(RAW))
    created = make.created("alice", "t1", spec=spec)
    seq = await gateway.log.append(created, trace=TRACE)
    head = base64.urlsafe_b64encode(msgspec.json.encode({"kid": signing.kid, "alg": "RS256"}))
    permit = f"{head.decode().rstrip('=')}.e30.eA"
    more = await gateway.append(
        make.routed("alice", "t1"), make.signed("alice", "t1", permit=permit)
    )
    await gateway.settled()
    return [seq, *more]


async def test_facts_are_given_to_the_letter_with_the_keys_they_name(gateway: World) -> None:
    places = await written(gateway)
    async with gateway.http() as http, gateway.http("bob-token") as bob:
        found = (await http.get("/api/tasks/t1/audit")).json()["data"]
        error = error_of(await bob.get("/api/tasks/t1/audit"))
        other = await bob.get("/api/tasks/t1/audit", params={"user": "alice"})
    assert (error.code, other.status_code) == (404, 404)
    assert [one["seq"] for one in found["records"]] == places
    assert RAW.decode() in found["records"][0]["fact"]
    assert [one["subject"] for one in found["keys"]] == [f"log.key.{key().kid}"]
    assert (found["user"], found["audiences"]) == ("alice", [])


async def test_whoever_may_not_see_results_audits_nothing(gateway: World) -> None:
    await written(gateway)
    take_scoped_tokens(gateway)
    async with gateway.http(token("alice", TASKS_READ)) as http:
        error = error_of(await http.get("/api/tasks/t1/audit"))
        assert (await http.get("/api/tasks/t1/trace")).status_code == 200
    assert (error.code, error.reason) == (403, "insufficient_scope")


async def test_without_a_router_nothing_is_recomputed(gateway: World) -> None:
    await written(gateway)
    async with gateway.http() as http:
        error = error_of(await http.get("/api/tasks/t1/recompute"))
        missing = await http.get("/api/tasks/none/recompute")
    assert (error.code, missing.status_code) == (503, 404)
    assert "router" in error.message


async def test_a_trace_leads_where_the_settings_say(gateway: World) -> None:
    await written(gateway)
    async with gateway.http() as http:
        told = (await http.get("/api/tasks/t1/trace")).json()["data"]
    trace = TRACE.split("-")[1]
    assert told == {"task": "t1", "traceparent": TRACE, "trace_id": trace, "url": ""}


@pytest.mark.parametrize("url", ["traces.example.com/{trace_id}", "https://traces.example.com/"])
def test_a_link_that_leads_nowhere_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match="trace_id"):
        Settings(trace_url=url)


@pytest.mark.parametrize(
    ("endpoint", "told"),
    [
        (Noop(), {"audience": "h1"}),
        (
            StreamableHttp("https://Tools.example.com/mcp"),
            {"audience": "https://tools.example.com"},
        ),
        (Execute("hf://ann/tools"), {"space": True}),
        (StreamableHttp("https://u:p@x/"), {"refused": "has a user or password"}),
    ],
)
def test_whom_permits_are_for(endpoint: Endpoint, told: dict[str, Any]) -> None:
    spec = Host(id="h1", name="h1", endpoint=endpoint)
    fact = McpRegistered(id="f1", by="test", host="h1", k=1, spec=spec)
    record = facts.Record(7, 1.0, "mcp.registered.-.h1.1", fact, facts.encode(fact))
    (found,) = audiences([record, None])
    assert found.host_seq == 7
    for name, value in told.items():
        assert value in getattr(found, name) if name == "refused" else value == getattr(found, name)
