"""One call that kills or silences its server, among others, with the whole orchestrator around."""

from __future__ import annotations

import signal
import sys
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from contracts.facts import FailureKind, JobDone, JobFailed, McpHealth, Outcome, Record, TaskRouted
from contracts.host import HealthStatus
from tests.support.invariants import audited
from tests.support.system import System, system, until

pytestmark = [
    pytest.mark.acceptance,
    pytest.mark.long,
    pytest.mark.timeout(300),
    pytest.mark.asyncio(loop_scope="module"),
]
HOST = "poisoned"
MANIFEST = """
[hosts.{host}]
name = "Poisoned"
endpoint.kind = "stdio"
endpoint.command = "{python}"
endpoint.args = ["-m", "tests.support.poisoned_mcp"]
endpoint.cwd = "{root}"
endpoint.env = {{ POISON_FOLDER = "{folder}" }}
limits = {{ max_concurrency = 4, start_s = 60.0 }}
probe = {{ interval_s = 2.0 }}
callable_tools = ["read"]
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("dying")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def one(folder: Path) -> AsyncIterator[System]:
    extra = folder / "poisoned.toml"
    root = Path(__file__).parents[2]
    extra.write_text(MANIFEST.format(host=HOST, python=sys.executable, root=root, folder=folder))
    async with system(folder, {"one": 1}, extra=extra) as running:
        yield running


async def submitted(one: System, task: str, how: str = "", ms: int = 0, **fields: Any) -> str:
    input_ = {"tool": "read", "arguments": {"how": how, "ms": ms}}
    return await one.submit(host=HOST, id=task, input=input_, **fields)


def noted(folder: Path, what: str) -> int:
    return len([*folder.glob(f"{what}-*")])


async def until_noted(folder: Path, what: str, count: int) -> None:
    async def enough() -> bool:
        return noted(folder, what) >= count

    await until(enough)


def failures(records: list[Record], task: str) -> Counter[FailureKind]:
    facts = (record.fact for record in records)
    return Counter(one.kind for one in facts if isinstance(one, JobFailed) and one.task == task)


def end(records: list[Record], task: str) -> JobDone:
    (fact,) = (r.fact for r in records if isinstance(r.fact, JobDone) and r.fact.task == task)
    return fact


def check(records: list[Record], good: list[str], lost: int) -> None:
    """Each of them has succeeded, with one attempt at most that a poison has cost."""
    for task in good:
        found = failures(records, task)
        assert end(records, task).outcome is Outcome.SUCCEEDED, (task, found)
        assert found[FailureKind.CUT] + found[FailureKind.TIMEOUT] <= 1, (task, found)
        assert found[FailureKind.LOST] <= lost, (task, found)
        assert found.total() <= 1 + lost, (task, found)
    audited(records)


async def test_a_server_that_dies_costs_the_others_one_retry_also_when_the_executor_is_killed(
    one: System, folder: Path
) -> None:
    good = [await submitted(one, f"good-{n}", ms=2500) for n in range(4)]
    await until_noted(folder, "read_", 3)
    bad = await submitted(one, "bad", "die")
    good += [await submitted(one, f"good-{n}", ms=500, max_attempts=2) for n in range(4, 8)]
    await until_noted(folder, "read_die", 1)
    one.running.kill("executor-1", signal.SIGKILL)
    records = await one.all_done([*good, bad])
    check(records, good, lost=1)
    last = end(records, bad)
    assert last.outcome is Outcome.FAILED
    assert last.error is not None
    assert last.error.code == "cut"
    assert "during read" in last.error.message
    assert "the call was alone in its process" in last.error.message
    assert "it was too much" not in last.error.message, "what it wrote is the operator's"
    alone = [
        r.fact.route.isolated
        for r in records
        if isinstance(r.fact, TaskRouted) and r.fact.task == bad
    ]
    assert alone[-2:] == [True, True]


async def test_what_must_not_wait_for_others_is_not_failed_by_them(
    one: System, folder: Path
) -> None:
    before = noted(folder, "read_")
    good = [await submitted(one, f"only-{n}", ms=3000, max_attempts=1) for n in range(3)]
    await until_noted(folder, "read_", before + 3)
    bad = await submitted(one, "only-bad", "die", max_attempts=1)
    records = await one.all_done([*good, bad])
    check(records, good, lost=0)
    assert end(records, bad).outcome is Outcome.FAILED


async def test_a_server_that_falls_silent_holds_nobody_up_for_long(
    one: System, folder: Path
) -> None:
    before = noted(folder, "read_")
    good = [await submitted(one, f"wait-{n}", ms=1500, timeout_s=200) for n in range(3)]
    await until_noted(folder, "read_", before + 3)
    # An attempt that follows a death starts a process of its own within this.
    bad = await submitted(one, "silent", "hang", timeout_s=8)
    records = await one.all_done([*good, bad])
    check(records, good, lost=0)
    last = end(records, bad)
    assert last.error is not None
    assert last.error.code == "timeout"
    assert "did not answer for" in last.error.message


async def test_health_has_seen_it(one: System) -> None:
    def warned(records: list[Record]) -> bool:
        facts = [r.fact for r in records if isinstance(r.fact, McpHealth) and r.fact.host == HOST]
        last = facts[-1] if facts else None
        return (
            last is not None
            and last.status is not HealthStatus.HEALTHY
            and "its process died or fell silent" in last.reason
        )

    await one.told("mcp.health.>", warned)
