"""The same question twice costs one call, is told as it is, and holds in an audit."""

from __future__ import annotations

from typing import Any

import pytest

from contracts.facts import JobSigned, TaskRouted
from contracts.subjects import of_task
from services.audit.checks import passed
from services.cli.commands.log import audit_task
from tests.support.system import System

pytestmark = [pytest.mark.acceptance, pytest.mark.timeout(180)]

SMALL, BIG = 123, 123_456
"""Bytes that no other test asks for."""


async def ask(one: System, bytes_: int, **fields: Any) -> dict[str, Any]:
    given = {"tool": "big", "arguments": {"bytes": bytes_}}
    task = await one.submit(host="narrow", input=given, **fields)
    found = await one.finished(task)
    assert found["status"] == "succeeded", found
    return found


def calls(one: System, bytes_: int) -> int:
    wanted = ("start", {"bytes": bytes_})
    return sum((call["event"], call.get("arguments")) == wanted for call in one.calls())


@pytest.mark.parametrize("bytes_", [SMALL, BIG], ids=["in the log", "in the store"])
async def test_the_second_time_nobody_is_called(shared_system: System, bytes_: int) -> None:
    one = shared_system
    first, second = await ask(one, bytes_), await ask(one, bytes_)
    assert calls(one, bytes_) == 1
    assert (second["from"], second["result"]) == (first["id"], first["result"])
    assert "from" not in first
    assert not second.get("attempt")
    content = [await one.get(f"/api/results/{task['id']}/content") for task in (first, second)]
    assert content[0].content == content[1].content
    assert content[1].status_code == 200
    third = await ask(one, bytes_, fresh=True)
    assert "from" not in third
    assert calls(one, bytes_) == 2
    async with one.log() as log:
        for task in (first, second, third):
            checks = await audit_task(log, task["id"])
            assert passed(checks), checks
            assert any(check.name == "given again" for check in checks) == (task is second)
        facts = [record.fact for record in await log.read(of_task("*", second["id"]))]
    assert not any(isinstance(fact, TaskRouted | JobSigned) for fact in facts)
