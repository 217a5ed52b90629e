"""The rules by which calls are kept: which are the same, what schemas admit, how progress rises."""

from __future__ import annotations

from typing import Any

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from contracts.facts import Record
from contracts.host import Host, Stdio, Tool
from contracts.status import Status, TaskView, begin
from contracts.wire import ProgressFrame
from services.gateway.access.identity import Principal
from services.gateway.mcp import again
from services.gateway.mcp.again import RepeatedCalls, key_of, stands
from services.gateway.mcp.asked import MOST_PATIENCE_S, PATIENCE_KEY, CallWishes, wishes
from services.gateway.mcp.early import admitting, instead
from services.gateway.mcp.news import Rising
from tests.support import facts

LOOK, SET, ADD = Tool("look", read_only=True), Tool("set", idempotent=True), Tool("add")
HOST = Host(id="h", name="h", endpoint=Stdio("x"), tools=(LOOK, SET, ADD))
ALICE = Principal("alice", frozenset(), asked_by="client:one")


def view(**fields: Any) -> TaskView:
    fact = facts.created("alice", "t")
    return replace(begin(Record(1, 100.0, "", fact, b""), fact), **fields)


@pytest.mark.parametrize(
    ("tool", "fields", "remembered"),
    [
        ("look", {}, True),
        ("set", {}, True),
        ("add", {}, False),
        ("add", {"replay": "always"}, True),
        ("look", {"replay": "never"}, False),
    ],
)
def test_calls_that_may_be_made_twice_are_remembered(
    tool: str, fields: dict[str, Any], remembered: bool
) -> None:
    assert bool(key_of(ALICE, replace(HOST, **fields), tool, {}, "keep")) is remembered


def test_calls_are_the_same_when_all_that_matters_is() -> None:
    one = key_of(ALICE, HOST, "look", {"a": 1, "b": 2}, "keep")
    assert key_of(ALICE, HOST, "look", {"b": 2, "a": 1}, "keep") == one
    others = {
        key_of(ALICE._replace(asked_by="client:two"), HOST, "look", {"a": 1, "b": 2}, "keep"),
        key_of(ALICE, replace(HOST, id="other"), "look", {"a": 1, "b": 2}, "keep"),
        key_of(ALICE, HOST, "set", {"a": 1, "b": 2}, "keep"),
        key_of(ALICE, HOST, "look", {"a": 1}, "keep"),
        key_of(ALICE, HOST, "look", {"a": 1, "b": 2}, "cancel"),
    }
    assert len(others | {one}) == 6


@pytest.mark.parametrize(
    ("fields", "now", "same"),
    [
        ({}, 1e9, True),
        ({"cancel_requested": True}, 100.0, False),
        ({"status": Status.SUCCEEDED, "done_at": 200.0}, 200.0 + again.UNSEEN_S, True),
        ({"status": Status.SUCCEEDED, "done_at": 200.0}, 201.0 + again.UNSEEN_S, False),
    ],
)
def test_a_task_that_ended_long_ago_is_not_what_a_call_means(
    fields: dict[str, Any], now: float, same: bool
) -> None:
    assert stands(view(**fields), now) is same


def test_no_more_is_remembered_than_there_is_room_for() -> None:
    kept = RepeatedCalls()
    first = kept.find("alice", "0", "task-0")
    for n in range(1, again.MOST_CALLS + 1):
        kept.find("alice", str(n), f"task-{n}")
    assert kept.find("alice", "1", "new").task == "task-1"
    assert kept.find("alice", "0", "new") is not first
    for n in range(again.MOST_USERS):
        kept.find(f"user-{n}", "0", "task")
    assert kept.find("alice", "1", "new").task == "new"


def test_what_was_seen_is_not_what_the_next_call_means() -> None:
    kept = RepeatedCalls()
    known = kept.find("alice", "a", "one")
    kept.seen("bob", "one")
    kept.seen("alice", "other")
    assert kept.find("alice", "a", "two") is known
    kept.seen("alice", "one")
    fresh = kept.find("alice", "a", "two")
    kept.forget(known)
    assert kept.find("alice", "a", "three") is fresh


NESTED: dict[str, Any] = {
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    "type": "object",
    "required": ["n"],
    "properties": {"n": {"$ref": "#/$defs/n"}, "more": {"type": "array", "items": {"$ref": "#"}}},
    "$defs": {"n": {"type": "integer"}},
}
NAMED = {"$id": "https://example.com/n", "type": "object", "properties": {"m": {"$ref": "#"}}}


@pytest.mark.parametrize(
    ("schema", "right", "wrong"),
    [
        (NESTED, {"n": 1, "more": [{"n": 2}]}, {"n": 1, "more": [{"n": "x"}]}),
        (NAMED | {"required": ["a"]}, {"a": 1, "m": {"a": 1}}, {"a": 1, "m": {}}),
        ({"type": "object", "required": ["a"]}, {"a": 1}, {"b": 1}),
    ],
)
def test_an_output_schema_admits_a_task_and_nothing_else(
    schema: dict[str, Any], right: Any, wrong: Any
) -> None:
    listed = admitting(schema)
    assert listed is not None
    assert listed["type"] == "object"
    jsonschema.validate(right, listed)
    jsonschema.validate(instead(view(), "it goes on"), listed)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(wrong, listed)
    assert admitting(None) is None


@given(
    st.lists(
        st.builds(
            ProgressFrame,
            st.just("t"),
            st.integers(0, 3),
            st.floats(-1e6, 1e6),
            st.none() | st.floats(1, 1e6),
            st.text(max_size=3),
        )
    )
)
def test_progress_always_rises(said: list[ProgressFrame]) -> None:
    rising = Rising()
    told = [rising.step(one).progress for one in said] + [rising.sign("").progress]
    assert told == sorted(set(told))


def test_what_rises_by_itself_is_told_as_it_is() -> None:
    rising = Rising()
    for n in range(4):
        assert rising.step(ProgressFrame("t", 1, n, 3.0, "m")) == (n, 3.0, "m")
    waiting = rising.step(ProgressFrame("t", 0, 1.0, None, "waiting"))
    assert (waiting.total, waiting.message) == (3.0, "waiting")
    assert 3.0 < waiting.progress < 3.1


@pytest.mark.parametrize(
    ("given_s", "patience_s"), [(-1, 0.0), (7, 7.0), (1e9, MOST_PATIENCE_S), (None, 45.0)]
)
def test_patience_has_bounds(given_s: Any, patience_s: float) -> None:
    meta = {} if given_s is None else {PATIENCE_KEY: given_s}
    assert wishes(meta, 45.0) == CallWishes(patience_s=patience_s)
