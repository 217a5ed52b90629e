"""Requests made up from the API's own description, against real services: no surprise is answered.

Nothing of it is random: the same requests are made in each run.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from hypothesis.errors import Unsatisfiable
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.core.failures import FailureGroup
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    ignored_auth,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from contracts.account import Provider
from contracts.result import inline
from tests.support import facts
from tests.support.nats import NatsServer
from tests.unit.gateway.whole import AWAY, ENTRY, whole
from tests.unit.gateway.world import World

THERE = {"host": "mine", "provider": "github", "owner": "alice", "name": "one"}
KNOWN = (None, THERE | {"task": "done"}, THERE | {"task": "young"})
"""What there is, so that not all paths lead nowhere; None: what was made up stays."""
NEVER_ENDING = {"stream_events"}
OPERATIONS = 43
"""At least so many are tried."""
ORDER = ("get", "post", "put", "patch", "delete")
LAST = "/disable"
EXAMPLES = 8
CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    ignored_auth,
]
RULES = {
    "seed": 1,
    # All requests carry a token that is good; `ignored_auth` tries without.
    "generation": {"with-security-parameters": False},
    # 503 says that something is away, as here Hugging Face and GitHub: that is no surprise.
    "checks": {"not_a_server_error": {"expected-statuses": ["2xx", "3xx", "4xx", "503"]}},
}


@pytest.fixture
async def gateway(fresh_nats: NatsServer, tmp_path: Path) -> AsyncIterator[World]:
    """All services over one log; the outside world is away."""
    async with whole(fresh_nats, tmp_path) as one:
        yield one


async def given_something(gateway: World) -> None:
    """A task with its result and one without, a host, a preference and an account of Alice's."""
    result = inline(b'{"x":1}')
    await gateway.append(
        facts.created("alice", "done"),
        facts.done("alice", "done", result=result, host="mine", attempt=1),
        facts.created("alice", "young"),
    )
    await gateway.settled()
    accounts = gateway.site.linking._accounts
    await accounts.link("alice", Provider.HUGGINGFACE, "alice", "hf_made_up")
    async with gateway.http() as client:
        assert (await client.post("/api/mcps/mine", json=ENTRY)).status_code == 201
        preferred = await client.put("/api/preferences/mine", json={"weight": 0.5})
        assert preferred.status_code == 200, preferred.text


def rank(operation: Any) -> tuple[int, bool]:
    """What takes away comes last."""
    return ORDER.index(operation.method), operation.path.endswith(LAST)


def example(operation: Any) -> Any:
    """The body that the description shows."""
    content = operation.definition.raw["requestBody"]["content"]
    return next(iter(content.values())).get("example")


def use(case: Any, known: dict[str, str]) -> None:
    """Ask for what there is, with a body that makes sense."""
    case.path_parameters = {
        name: known.get(name, value) for name, value in (case.path_parameters or {}).items()
    }
    if isinstance(case.body, dict) and case.meta.generation.mode is GenerationMode.POSITIVE:
        case.body = example(case.operation)


def tame(case: Any) -> None:
    """Wait for no task, as nobody works on them; call no host but a port that is closed."""
    if case.query and "wait" in case.query:
        case.query["wait"] = 0.01 if isinstance(case.query["wait"], int | float) else "soon"
    if isinstance(case.body, dict) and isinstance(end := case.body.get("endpoint"), dict):
        case.body = case.body | {"endpoint": end | ({"url": f"{AWAY}/mcp"} if "url" in end else {})}


def tried(operation: Any, mode: GenerationMode, url: str) -> str | None:
    """Try one operation with some requests; what is wrong with the answers, if something is."""
    token = "admin-token" if {"tokens", "users"} & set(operation.tags) else "alice-token"
    headers = {"Authorization": f"Bearer {token}"}

    @settings(
        max_examples=EXAMPLES,
        derandomize=True,
        database=None,
        deadline=None,
        phases=[Phase.explicit, Phase.generate],
        report_multiple_bugs=False,
        suppress_health_check=list(HealthCheck),
    )
    @given(case=operation.as_strategy(generation_mode=mode), known=st.sampled_from(KNOWN))
    def one(case: Any, known: dict[str, str] | None) -> None:
        if known is not None:
            use(case, known)
        tame(case)
        case.call_and_validate(base_url=url, headers=headers, checks=CHECKS)

    try:
        one()
    except Unsatisfiable:
        # What takes nothing can't be given anything wrong.
        assert mode is GenerationMode.NEGATIVE, operation.label
    except FailureGroup as found:
        return f"{operation.label}: " + "; ".join(str(one) for one in found.exceptions)
    return None


def read(document: dict[str, Any]) -> dict[str, Any]:
    """The operations of a description that can be tried, by id."""
    config = schemathesis.Config.from_dict(RULES)
    schema = schemathesis.openapi.from_dict(document, config=config)
    found = sorted((one.ok() for one in schema.get_all_operations()), key=rank)
    every = {one.definition.raw["operationId"]: one for one in found}
    return {name: one for name, one in every.items() if name not in NEVER_ENDING}


def fuzzed(document: dict[str, Any], url: str) -> list[str]:
    """Try everything; what was wrong."""
    return [
        problem
        for one in read(document).values()
        for mode in (GenerationMode.POSITIVE, GenerationMode.NEGATIVE)
        if (problem := tried(one, mode, url)) is not None
    ]


async def described(gateway: World) -> dict[str, Any]:
    async with gateway.http(None) as client:
        found = await client.get("/api/schema/openapi.json")
    return found.json()  # type: ignore[no-any-return]


@pytest.mark.long
@pytest.mark.timeout(300)
async def test_made_up_requests_are_answered_as_described(gateway: World) -> None:
    await given_something(gateway)
    document = await described(gateway)
    assert len(read(document)) >= OPERATIONS
    assert await asyncio.to_thread(fuzzed, document, gateway.url) == []


async def test_an_answer_that_is_not_described_is_noticed(gateway: World) -> None:
    await given_something(gateway)
    document = await described(gateway)
    del document["paths"]["/api/tasks/{task}"]["get"]["responses"]["404"]
    document["components"]["schemas"]["Preference"]["required"].append("colour")
    document["paths"]["/api/health"]["get"]["security"] = [{"bearer": []}]
    operations = read(document)
    expected = {"get_task": "404", "list_preferences": "colour", "health": "auth"}
    for name, words in expected.items():
        work = (tried, operations[name], GenerationMode.POSITIVE, gateway.url)
        assert words in (await asyncio.to_thread(*work) or "")
