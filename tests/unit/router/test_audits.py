"""A router recomputes routes for whoever asks, within bounds, and says what a lie is."""

from __future__ import annotations

from collections.abc import Callable

import msgspec
import pytest

from contracts import facts
from contracts.audit import RecomputeRequest, RoutesRecomputed
from contracts.errors import Reason, Rejected
from contracts.facts import AnyFact
from contracts.route import Candidate
from services.log.memory import MemoryLog
from services.router import audits
from services.router.audits import RouteAudits
from services.router.settings import Settings
from tests.unit.cli.story import TASK, USER, Story, retried, succeeded

ASKED = msgspec.json.encode(RecomputeRequest(USER, TASK))


async def told(story: Story) -> MemoryLog:
    log = MemoryLog()
    for record in story.records:
        fact: AnyFact = record.fact  # type: ignore[assignment]
        await log.append(fact)
    return log


async def asked(log: MemoryLog, most_folded: int = audits.MOST_FOLDED) -> RoutesRecomputed:
    answer = await RouteAudits(log, Settings(), most_folded).answer(ASKED)
    return msgspec.json.decode(answer, type=RoutesRecomputed)


@pytest.mark.parametrize("make", [succeeded, retried])
async def test_honest_routes_come_out_again(make: Callable[[], Story]) -> None:
    story = make()
    story.add(facts.LogRouter(**story.who("router-1"), term=1))
    found = await asked(await told(story))
    routed = [r.fact.route for r in story.records if isinstance(r.fact, facts.TaskRouted)]
    assert [(one.host, one.candidates) for one in found.routes] == [
        (route.host, route.candidates) for route in routed
    ]
    assert [(check.name, check.ok) for check in found.checks] == [("routes recomputed", True)]
    assert found.checks[0] in story.audit()
    # The key, and what came after the last decision, were not needed.
    assert found.folded == routed[-1].basis - 1


async def test_lies_are_told_in_the_words_of_the_audit() -> None:
    for fields in (
        {"candidates": (Candidate("one", 0.99), Candidate("two", 0.1))},
        {"basis": 50},
        {"basis": 3},
        {"host": "two"},
    ):
        story = succeeded()
        story.change_route(**fields)
        found = await asked(await told(story))
        (check,) = found.checks
        assert not check.ok
        assert check in story.audit()


async def test_a_task_without_a_route_needs_nothing() -> None:
    found = await asked(await told(Story()))
    assert (found.routes, found.folded) == ((), 0)
    assert found.checks[0].ok


async def test_too_much_and_nothing_are_refused() -> None:
    log = await told(succeeded())
    with pytest.raises(Rejected) as refused:
        await asked(log, 4)
    assert refused.value.reason is Reason.TOO_LARGE
    assert "metamcp audit" in refused.value.message
    one = RouteAudits(log, Settings())
    for payload, reason in (
        (b"{}", Reason.BAD_REQUEST),
        (msgspec.json.encode(RecomputeRequest("-", TASK)), Reason.BAD_ID),
        (msgspec.json.encode(RecomputeRequest(USER, "a.b")), Reason.BAD_ID),
        (msgspec.json.encode(RecomputeRequest(USER, "none")), Reason.NOT_FOUND),
    ):
        with pytest.raises(Rejected) as refused:
            await one.answer(payload)
        assert refused.value.reason is reason


async def test_only_so_many_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(audits, "MOST_WAITING", 0)
    with pytest.raises(Rejected, match="try again"):
        await asked(await told(succeeded()))
    monkeypatch.setattr(audits, "MOST_WAITING", 1)
    log = await told(succeeded())
    one = RouteAudits(log, Settings())
    # A refusal gives its place back.
    for _ in range(2):
        with pytest.raises(Rejected):
            await one.answer(msgspec.json.encode(RecomputeRequest(USER, "none")))
    assert await one.answer(ASKED)
