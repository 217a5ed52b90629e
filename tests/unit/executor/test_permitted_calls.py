"""An executor looks once more for whom a host and its tools are, before it calls."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from contracts.facts import FailureKind, JobDone, JobFailed, Outcome
from contracts.host import Access
from services.keys.permits import SigningKey
from tests.unit.executor.world import fresh_key, host, world

HERS, HIS = Access(users=("alice",)), Access(users=("bob",), roles=("admin",), projects=("p1",))


@pytest.fixture(scope="module")
def key(tmp_path_factory: pytest.TempPathFactory) -> SigningKey:
    return fresh_key(tmp_path_factory.mktemp("data"))


@pytest.mark.parametrize("said", [{"access": HERS}, {"tool_access": {"noop": HERS, "x": HIS}}])
async def test_whom_it_is_for_is_served(
    tmp_path: Path, key: SigningKey, said: dict[str, Any]
) -> None:
    async with world(tmp_path, key, hosts=(host(**said),)) as one:
        await one.task()
        done = (await one.fact(JobDone)).fact
    assert isinstance(done, JobDone)
    assert done.outcome is Outcome.SUCCEEDED


@pytest.mark.parametrize(
    ("said", "why"),
    [
        ({"access": HIS}, "does not serve task type mcp.call"),
        ({"tool_access": {"noop": HIS}}, "has no tool 'noop'"),
        ({"tool_access": {"noop": HIS}, "callable_tools": ("noop",)}, "has no tool 'noop'"),
    ],
)
async def test_for_all_others_nothing_is_called(
    tmp_path: Path, key: SigningKey, said: dict[str, Any], why: str
) -> None:
    async with world(tmp_path, key, hosts=(host(**said),)) as one:
        await one.task()
        failed = (await one.fact(JobFailed)).fact
        assert one.pool.calls == []
    assert isinstance(failed, JobFailed)
    assert (failed.kind, failed.called, failed.retryable) == (FailureKind.BAD_INPUT, False, False)
    assert why in failed.message
