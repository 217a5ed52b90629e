"""How many facts an hour tell of one host."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.facts import HostFact, McpHealth, McpRegistered, McpRemoved
from contracts.host import COMMAND, Execute, HealthStatus, Host, Tool
from services.registry import domain
from services.registry.domain import Discovery, Known, ProbeEnded
from services.registry.pace import DISCOVERIES, HEALTHS, HOUR_S, OPERATED, Paces, within
from services.registry.projection import _known, _row


def host(owner: str | None = "mallory") -> Host:
    source = COMMAND if owner else "manifest"
    return Host(id="h1", name="h1", owner=owner, source=source, endpoint=Execute("https://x.org"))


class Story:
    """One host, probed again and again."""

    def __init__(self, owner: str | None = "mallory") -> None:
        self.hosts: dict[str, Known] = {}
        self.facts: list[tuple[float, HostFact]] = []
        self._take([McpRegistered(id="", by="", host="h1", k=1, spec=host(owner))], 1e9)

    def probe(self, at: float, **found: Any) -> list[HostFact]:
        known = self.hosts["h1"]
        facts = domain.decide(self.hosts, ProbeEnded("h1", known.seq, **found))
        told = within(self.hosts, facts, at)
        self._take(told, at)
        return told

    def _take(self, facts: list[HostFact], at: float) -> None:
        for fact in facts:
            seq = len(self.facts) + 1
            before = self.hosts.get("h1", domain.NOTHING)
            # A restart in between changes nothing.
            read = _known(_row("h1", domain.evolve(before, seq, at, fact)))
            self.hosts["h1"] = read
            self.facts.append((at, fact))

    def most_in_an_hour(self, kind: type) -> int:
        times = [at for at, fact in self.facts if isinstance(fact, kind)]
        return max(sum(at <= other < at + HOUR_S for other in times) for at in times)


def tools(n: int) -> Discovery:
    return Discovery((Tool(f"tool-{n}"),))


@given(st.lists(st.floats(0.1, 900), min_size=50, max_size=200))
def test_a_host_that_changes_at_every_probe_fills_no_log(pauses: list[float]) -> None:
    story, at = Story(), 1e9
    for n, pause in enumerate(pauses):
        at += pause
        story.probe(at, reason=f"kind{n}: bad", discovery=tools(n))
    assert story.most_in_an_hour(McpRegistered) <= 2 * DISCOVERIES
    assert story.most_in_an_hour(McpHealth) <= 2 * HEALTHS


def test_what_was_not_told_is_told_later_as_it_is_then() -> None:
    story = Story()
    for n in range(100):
        story.probe(1e9 + n, discovery=tools(n), reason=f"kind{n}: bad")
    assert len(story.facts) == DISCOVERIES + HEALTHS
    later = story.probe(1e9 + HOUR_S, discovery=tools(7))
    assert [type(fact) for fact in later] == [McpRegistered, McpHealth]
    spec = story.hosts["h1"].spec
    assert spec is not None
    assert [tool.name for tool in spec.tools] == ["tool-7"]
    assert story.hosts["h1"].status is HealthStatus.WARNING


def test_the_operators_hosts_may_change_more_often() -> None:
    story = Story(owner=None)
    for n in range(100):
        assert len(story.probe(1e9 + n, discovery=tools(n), reason=f"k{n}: bad")) == 2
    assert DISCOVERIES * OPERATED > 100


def test_a_host_that_is_removed_and_comes_back_has_told_what_it_told() -> None:
    story = Story()
    for n in range(100):
        story.probe(1e9 + n, discovery=tools(n))
    before = story.hosts["h1"].paces
    gone = domain.evolve(story.hosts["h1"], 99, 1e9, McpRemoved(id="", by="", host="h1", k=1))
    assert gone.paces == before != Paces()


@pytest.mark.parametrize("now", [0.0, 1e9 - 1])
def test_a_clock_that_is_behind_gives_nothing_back(now: float) -> None:
    story = Story()
    for n in range(100):
        story.probe(1e9, discovery=tools(n))
    assert story.probe(now, discovery=tools(101)) == []
