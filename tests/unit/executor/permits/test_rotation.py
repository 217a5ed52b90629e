"""Which key signs: single decisions, then any number of executors that race, lag and die."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.executor.permits import rotation
from services.executor.permits.rotation import (
    DAY_S,
    Announce,
    Create,
    Key,
    Make,
    NothingDue,
    Promote,
    RotationRules,
    Seen,
    Use,
    decide,
)
from services.keys.jwk import Algorithm

A, B = Key("a", "RS256"), Key("b", "RS256")
RULES = RotationRules("RS256", 0, 120.0)
NOW = 1000.0


def seen(**changed: Any) -> Seen:
    """All is well: one key, known and in use."""
    quiet = Seen(signing=A, next=None, using="a", announced={"a": 0.0}, now=NOW)
    return quiet._replace(**changed)


@pytest.mark.parametrize(
    ("what", "step"),
    [
        (seen(), NothingDue()),
        # From nothing to the first key.
        (seen(signing=None, using="", announced={}), Create("RS256")),
        (seen(using="", announced={}), Announce("a", "")),
        (seen(using=""), Use("a")),
        # A next key: announced, known for a while, then in place.
        (seen(next=B), Announce("b", "a")),
        (seen(next=B, announced={"a": 0.0, "b": NOW}), NothingDue()),
        (seen(next=B, announced={"a": 0.0, "b": NOW - 119.9}), NothingDue()),
        (seen(next=B, announced={"a": 0.0, "b": NOW - 120}), Promote("b")),
        (seen(next=B, announced={"a": 0.0, "b": NOW - 120}, now=float("-inf")), NothingDue()),
        (seen(signing=B, announced={"a": 0.0, "b": 1.0}), Use("b")),
        # After a crash it signs first, with what is there, and goes on where it was.
        (seen(using="", next=B, announced={"a": 0.0, "b": NOW - 120}), Use("a")),
        (seen(using="", next=B), Use("a")),
        # Files changed by hand.
        (seen(signing=B), Announce("b", "a")),
        (seen(signing=None), Create("RS256")),
        (seen(signing=None, next=B), Promote("b")),
        (seen(next=A), Promote("a")),
        (seen(blocked=True), NothingDue()),
        # A log that was begun anew.
        (seen(announced={}), Announce("a", "")),
    ],
)
def test_the_next_step_follows_from_what_is_seen(what: Seen, step: rotation.Step) -> None:
    assert decide(what, RULES) == step


@pytest.mark.parametrize(
    ("rules", "what", "due"),
    [
        (RotationRules("RS256", 30, 120.0), seen(now=30 * DAY_S), False),
        (RotationRules("RS256", 30, 120.0), seen(now=30 * DAY_S + 1), True),
        (RotationRules("RS256", 30, 120.0), seen(now=30 * DAY_S + 1, blocked=True), False),
        (RotationRules("RS256", 30, 120.0), seen(now=float("-inf")), False),
        (RotationRules("RS256", 0, 120.0), seen(now=3650 * DAY_S), False),
        (RotationRules("EdDSA", 0, 120.0, insist=True), seen(), True),
        (RotationRules("EdDSA", 0, 120.0, insist=True), seen(blocked=True), False),
        (RotationRules("EdDSA", 0, 120.0, insist=False), seen(), False),
        (RotationRules("RS256", 0, 120.0, insist=True), seen(), False),
    ],
)
def test_a_key_is_replaced_when_it_is_old_or_of_the_wrong_kind(
    rules: RotationRules, what: Seen, due: bool
) -> None:
    assert decide(what, rules) == (Make(rules.algorithm, "a") if due else NothingDue())
    waiting = what._replace(next=B, announced={"a": 0.0, "b": NOW}, now=NOW)
    assert decide(waiting, rules) == NothingDue(), "one at a time"


class Executor:
    """One of those who share the folder; between its look and its act others may do anything."""

    def __init__(self, rules: RotationRules) -> None:
        self.first_rules = self.rules = rules
        self.using = ""
        self.looked: Seen | None = None


class World:
    """The folder and the log as `key_files` and the log behave; every use of a key is judged."""

    def __init__(self, rules: list[RotationRules]) -> None:
        self.signing: Key | None = None
        self.next: Key | None = None
        self.announced: dict[str, float] = {}
        self.replaces: dict[str, str] = {}
        self.now = NOW
        self.made = 0
        self.unannounced_is_fine: set[str] = set()
        """Keys that had to sign at once: there was no other."""
        self.executors = [Executor(own) for own in rules]

    def new(self, algorithm: Algorithm) -> Key:
        self.made += 1
        return Key(f"k{self.made}", algorithm)

    def look(self, one: Executor, lag: float = 0.0) -> None:
        one.looked = Seen(
            signing=self.signing,
            next=self.next,
            using=one.using,
            announced={
                key.kid: self.announced[key.kid]
                for key in (self.signing, self.next)
                if key and key.kid in self.announced
            },
            now=self.now - lag,
        )

    def act(self, one: Executor) -> rotation.Step:
        if one.looked is None:
            return NothingDue()
        looked, one.looked = one.looked, None
        step = decide(looked, one.rules)
        match step:
            case Create(algorithm):
                if self.signing is None:
                    self.signing = self.new(algorithm)
                    self.unannounced_is_fine.add(self.signing.kid)
            case Announce(kid, replaces):
                if kid not in self.announced:
                    self.announced[kid] = self.now
                    self.replaces[kid] = replaces
            case Make(algorithm, replaced):
                self.make(algorithm, replaced)
            case Promote(kid):
                if self.next is not None and self.next.kid == kid:
                    if self.signing is None:
                        self.unannounced_is_fine.add(kid)
                    self.signing, self.next = self.next, None
            case Use(kid):
                assert looked.signing is not None
                self.use(one, looked.signing)
        return step

    def make(self, algorithm: Algorithm, replaced: str) -> None:
        if self.signing is not None and self.signing.kid == replaced and self.next is None:
            self.next = self.new(algorithm)

    def use(self, one: Executor, key: Key) -> None:
        assert key.kid in self.announced, "an audit would not find the key"
        known_s = self.now - self.announced[key.kid]
        at_once = key.kid in self.unannounced_is_fine
        assert at_once or known_s >= one.rules.overlap_s, "a cache may not know it"
        one.using = key.kid
        if key.algorithm == one.rules.algorithm:
            one.rules = one.rules._replace(insist=False)

    def crash(self, one: Executor) -> None:
        one.using, one.looked, one.rules = "", None, one.first_rules

    def settle(self) -> None:
        """Everybody goes on undisturbed, for as long as it takes."""
        for _ in range(40):
            idle = True
            for one in self.executors:
                self.look(one)
                idle = self.act(one) == NothingDue() and idle
            if idle and self.next is None:
                return
            self.now += 61.0
        raise AssertionError("they never agree")


OVERLAP_S = 120.0
EXECUTOR = st.integers(0, 2)
ACTION = st.one_of(
    st.tuples(st.just("look"), EXECUTOR, st.sampled_from([0.0, 30.0, 1e9])),
    st.tuples(st.just("act"), EXECUTOR),
    st.tuples(st.just("turn"), EXECUTOR),
    st.tuples(st.just("crash"), EXECUTOR),
    st.tuples(st.just("later"), st.sampled_from([1.0, 60.0, 120.0, 2 * DAY_S])),
    st.tuples(st.just("by hand"), st.sampled_from(["RS256", "EdDSA"])),
)
RULE = st.builds(
    RotationRules,
    algorithm=st.sampled_from(["RS256", "EdDSA"]),
    days=st.sampled_from([0, 1]),
    overlap_s=st.just(OVERLAP_S),
    insist=st.just(True),
)


def happen(world: World, action: tuple[Any, ...]) -> None:
    match action:
        case ("look", who, lag):
            world.look(world.executors[who], lag)
        case ("act", who):
            world.act(world.executors[who])
        case ("turn", who):
            for _ in range(5):
                world.look(world.executors[who])
                world.act(world.executors[who])
        case ("crash", who):
            world.crash(world.executors[who])
        case ("later", seconds):
            world.now += seconds
        case ("by hand", algorithm) if world.signing is not None:
            world.make(algorithm, world.signing.kid)
        case ("removed",):
            world.signing = None
        case ("restored",):
            world.signing = world.new("RS256")
            world.unannounced_is_fine.add(world.signing.kid)


@given(st.lists(RULE, min_size=3, max_size=3), st.lists(ACTION, max_size=60))
def test_executors_that_race_lag_and_die_end_with_one_known_key(
    rules: list[RotationRules], actions: list[tuple[Any, ...]]
) -> None:
    world = World(rules)
    for action in actions:
        happen(world, action)
    world.settle()
    assert world.signing is not None
    assert {one.using for one in world.executors} == {world.signing.kid}


HANDS = st.sampled_from([("removed",), ("restored",)])


@given(st.lists(RULE, min_size=3, max_size=3), st.lists(ACTION | HANDS, max_size=60))
def test_files_that_somebody_takes_away_or_brings_back_confuse_nobody(
    rules: list[RotationRules], actions: list[tuple[Any, ...]]
) -> None:
    world = World(rules)
    for action in actions:
        happen(world, action)
    world.settle()
    assert world.signing is not None
    assert {one.using for one in world.executors} == {world.signing.kid}


@given(st.lists(ACTION, max_size=60))
def test_every_key_but_the_last_is_marked_as_replaced(actions: list[tuple[Any, ...]]) -> None:
    """Else the JWKS would serve it for ever."""
    world = World([RotationRules("RS256", 1, OVERLAP_S, insist=True)] * 3)
    for action in actions:
        happen(world, action)
    world.settle()
    assert world.signing is not None
    assert set(world.announced) - set(world.replaces.values()) == {world.signing.kid}
    assert "" in world.replaces.values(), "the first replaces none"


def test_settings_that_contradict_each_other_change_the_key_once_and_no_more() -> None:
    world = World(
        [RotationRules("RS256", 0, OVERLAP_S, True), RotationRules("EdDSA", 0, OVERLAP_S, True)]
    )
    world.settle()
    for _ in range(10):
        world.now += DAY_S
        world.settle()
    assert world.made == 2
