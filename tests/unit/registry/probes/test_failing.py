"""Open circuit breakers of executors: when they count against a host, and how it comes back."""

from __future__ import annotations

from itertools import pairwise
from typing import NamedTuple, TypeAlias

import hypothesis
import msgspec
from hypothesis import strategies as st

from contracts.facts import HostFact, McpHealth
from contracts.host import HealthStatus, Host, Stdio
from contracts.wire import Breaker
from services.registry import domain
from services.registry.domain import HEARD_S, Known, Listed, Open, ProbeEnded

HEALTHY, WARNING, UNHEALTHY = HealthStatus.HEALTHY, HealthStatus.WARNING, HealthStatus.UNHEALTHY
SPEC = Host(id="h", name="h", endpoint=Stdio("x"))
KNOWN = Known(spec=SPEC, seq=7)


def breaker(*, open: bool = True, seq: int = 7, by: str = "e1", why: str = "5 failed") -> Breaker:
    return Breaker(by, "h", seq, open, 5 if open else 0, why if open else "")


def test_an_open_breaker_says_why_the_host_does_not_work() -> None:
    heard = domain.hear({}, breaker(), 100.0)
    assert domain.failing(heard, "h", KNOWN, 100.0) == "calls: 5 failed (e1)"
    assert domain.failing(heard, "other", KNOWN, 100.0) == ""


def test_a_breaker_of_an_earlier_registration_says_nothing() -> None:
    heard = domain.hear({}, breaker(seq=6), 100.0)
    assert domain.failing(heard, "h", KNOWN, 100.0) == ""
    removed = msgspec.structs.replace(KNOWN, spec=None)
    assert domain.failing(domain.hear({}, breaker(), 100.0), "h", removed, 100.0) == ""


def test_one_open_breaker_is_enough_and_closing_takes_it_back() -> None:
    heard = domain.hear(domain.hear({}, breaker(by="e2"), 100.0), breaker(), 100.0)
    heard = domain.hear(heard, breaker(open=False), 101.0)
    assert domain.failing(heard, "h", KNOWN, 101.0) == "calls: 5 failed (e2)"
    heard = domain.hear(heard, breaker(open=False, by="e2"), 102.0)
    assert domain.failing(heard, "h", KNOWN, 102.0) == ""


def test_a_breaker_that_is_not_heard_of_again_counts_no_more() -> None:
    heard = domain.hear({}, breaker(), 100.0)
    assert domain.failing(heard, "h", KNOWN, 100.0 + HEARD_S)
    assert domain.failing(heard, "h", KNOWN, 100.1 + HEARD_S) == ""
    again = domain.hear(heard, breaker(), 109.0)
    assert domain.failing(again, "h", KNOWN, 100.1 + HEARD_S)
    other = domain.hear(again, Breaker("e1", "other", 8, True), 200.0)
    assert list(other) == [("other", "e1")]


def test_what_is_remembered_is_bounded() -> None:
    heard: Open = {(f"h{n}", "e1"): domain.Heard(1, "", 100.0) for n in range(domain.MOST_HEARD)}
    heard = domain.hear(heard, breaker(why="x" * 10_000), 100.0)
    assert len(heard) == domain.MOST_HEARD
    assert ("h0", "e1") not in heard
    assert len(domain.failing(heard, "h", KNOWN, 100.0)) < 1600


class Tell(NamedTuple):
    """An executor tells about its breaker."""

    by: str
    open: bool


class Ask(NamedTuple):
    """The host is probed."""

    good: bool


class Pass(NamedTuple):
    """Time goes by."""

    seconds: float


Step: TypeAlias = Tell | Ask | Pass
STEPS = st.lists(
    st.builds(Tell, st.sampled_from(["e1", "e2"]), st.booleans())
    | st.builds(Ask, st.booleans())
    | st.builds(Pass, st.sampled_from([0.5, 3.0, 11.0])),
    max_size=40,
)


class Watch:
    """What the registry does about one host, without its log and its clock."""

    def __init__(self) -> None:
        self.state = domain.initial()
        self.open: Open = {}
        self.now = 0.0
        self.facts: list[McpHealth] = []
        self.seq = 0
        self.judge(Listed((SPEC,)))
        self.judge(ProbeEnded("h", self.known.seq))

    @property
    def known(self) -> Known:
        return self.state["h"]

    @property
    def failing(self) -> str:
        return domain.failing(self.open, "h", self.known, self.now)

    def judge(self, command: domain.Command) -> list[HostFact]:
        facts = domain.decide(self.state, command)
        for fact in facts:
            self.seq += 1
            before = self.state.get("h", domain.NOTHING)
            self.state["h"] = domain.evolve(before, self.seq, float(self.seq), fact)
        self.facts += [fact for fact in facts if isinstance(fact, McpHealth)]
        return facts

    def tell(self, by: str, *, open: bool) -> None:
        before = self.failing
        told = breaker(open=open, by=by, seq=self.known.seq)
        self.open = domain.hear(self.open, told, self.now)
        if self.failing and not before:
            self.judge(ProbeEnded("h", self.known.seq, self.failing))

    def probe(self, *, good: bool) -> None:
        reason = "" if good else "no answer: for 10 s"
        self.judge(ProbeEnded("h", self.known.seq, reason or self.failing))

    def take(self, step: Step) -> None:
        match step:
            case Tell(by, open_):
                self.tell(by, open=open_)
            case Ask(good):
                self.probe(good=good)
            case Pass(seconds):
                self.now += seconds


@hypothesis.given(STEPS)
def test_a_host_whose_calls_fail_is_unhealthy_after_two_judgements_and_stays_so(
    steps: list[Step],
) -> None:
    watch = Watch()
    for step in steps:
        watch.take(step)
    watch.tell("e1", open=False)
    watch.tell("e2", open=False)
    watch.tell("e1", open=True)
    watch.probe(good=True)
    for _ in range(5):
        assert watch.known.status is UNHEALTHY
        assert watch.known.reason.startswith("calls: 5 failed (e")
        watch.now += 3.0
        watch.tell("e1", open=True)
        watch.probe(good=True)


@hypothesis.given(STEPS)
def test_whatever_was_told_a_host_comes_back_once_nobody_says_more(steps: list[Step]) -> None:
    watch = Watch()
    for step in steps:
        watch.take(step)
    watch.now += HEARD_S + 0.1
    watch.probe(good=True)
    assert watch.known.status in (WARNING, HEALTHY)
    watch.probe(good=True)
    assert (watch.known.status, watch.known.reason) == (HEALTHY, "")


@hypothesis.given(STEPS)
def test_telling_the_same_again_writes_nothing(steps: list[Step]) -> None:
    watch = Watch()
    for step in steps:
        watch.take(step)
    watch.tell("e1", open=True)
    watch.probe(good=True)
    watch.probe(good=True)
    known = len(watch.facts)
    for _ in range(20):
        watch.now += 3.0
        watch.tell("e1", open=True)
        watch.probe(good=True)
    assert len(watch.facts) == known


@hypothesis.given(STEPS)
def test_each_fact_is_news(steps: list[Step]) -> None:
    watch = Watch()
    for step in steps:
        watch.take(step)
    said = [(fact.status, fact.reason.partition(":")[0]) for fact in watch.facts]
    assert all(one != other for one, other in pairwise(said))
