"""Admission and visibility: pure rules, tested with what nobody would think of."""

from __future__ import annotations

import json
import string
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.errors import Reason, Rejected
from contracts.facts import LogRouter, Record, TaskCreated, encode
from contracts.host import Capability
from contracts.ids import is_token
from contracts.result import INLINE_LIMIT, Pointer
from contracts.subjects import of
from contracts.task import Priority, TaskSpec, content_digest
from services.gateway import domain, visibility
from services.gateway.domain import Origin, TaskBody
from services.gateway.visibility import Audience
from tests.support import facts

ORIGIN = Origin("alice", "api", "fact-1", "gateway-1")
PLAIN = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.text()
    | st.floats(allow_nan=False, allow_infinity=False),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=20,
)
TOKEN = st.text(string.ascii_letters + string.digits + "_-", min_size=1, max_size=64)


def admitted(body: dict[str, Any]) -> TaskCreated:
    request = domain.parse_task(json.dumps(body).encode())
    input_ = domain.canonical_input(request.input)
    return domain.admit(ORIGIN, str(body.get("id", "t1")), request, input_)


def recorded(fact: TaskCreated) -> Record:
    data = encode(fact)
    stored = msgspec.json.decode(data, type=TaskCreated)
    return Record(7, 1.0, of(fact), stored, data)


@given(st.dictionaries(st.text(), PLAIN))
def test_an_input_keeps_its_meaning_and_its_digest_does_not_depend_on_order(
    value: dict[str, Any],
) -> None:
    fact = admitted({"type": "t", "input": value})
    assert json.loads(bytes(fact.spec.input)) == value
    shuffled = admitted({"type": "t", "input": dict(reversed(value.items()))})
    assert domain.sent_again(shuffled, recorded(fact)).duplicate


@given(PLAIN.filter(lambda value: not isinstance(value, dict)))
def test_an_input_is_an_object(value: Any) -> None:
    with pytest.raises(Rejected, match="JSON object"):
        admitted({"type": "t", "input": value})


@given(st.text())
def test_ids_are_tokens(text: str) -> None:
    try:
        fact = admitted({"type": "t", "id": text})
    except Rejected as refusal:
        found = (refusal.reason, is_token(text))
    else:
        found = (None, is_token(text))
        assert fact.task == text
        assert of(fact) == f"task.created.alice.{text}"
    assert found in [(None, True), (Reason.BAD_ID, False)]


@given(st.binary() | st.dictionaries(st.text(), PLAIN).map(lambda v: json.dumps(v).encode()))
def test_any_message_is_a_task_or_rejected_and_can_be_recorded_as_invalid(data: bytes) -> None:
    try:
        domain.parse_task(data)
    except Rejected as refusal:
        task = domain.id_in(data) or "derived"
        fact = domain.invalid_task(ORIGIN, task, data, refusal.message)
        stored = recorded(fact).fact
        same = (stored == fact, refusal.reason, bool(fact.invalid))
    else:
        same = (True, Reason.BAD_REQUEST, True)
    assert same == (True, Reason.BAD_REQUEST, True)


@given(TOKEN)
def test_what_is_wrong_keeps_its_id_and_type(task: str) -> None:
    data = json.dumps({"type": "good.type", "id": task, "user": "bob"}).encode()
    with pytest.raises(Rejected, match="user"):
        domain.parse_task(data)
    assert domain.id_in(data) == task
    fact = domain.invalid_task(ORIGIN, task, data, "why")
    assert (fact.user, fact.spec.type, fact.invalid) == ("alice", "good.type", "why")


@given(st.integers(-1000, 1000))
def test_whole_numbers_are_priorities_in_order(value: int) -> None:
    order = [Priority.LOW, Priority.NORMAL, Priority.HIGH]
    found = order.index(domain.priority_of(value))
    if value != 1 and value != 2:
        assert found <= order.index(domain.priority_of(value + 1)) or value + 1 < 8


@pytest.mark.parametrize("size", [INLINE_LIMIT, INLINE_LIMIT + 1])
def test_the_limit_of_an_inline_input(size: int) -> None:
    input_ = b"{" + b" " * (size - 2) + b"}"
    request = TaskBody(type="t")
    if size <= INLINE_LIMIT:
        assert len(bytes(domain.admit(ORIGIN, "t1", request, input_).spec.input)) == size
    else:
        with pytest.raises(Rejected) as refused:
            domain.admit(ORIGIN, "t1", request, input_)
        assert refused.value.reason is Reason.TOO_LARGE


def test_a_description_has_a_limit_of_its_own() -> None:
    capabilities = [{"name": "x" * 1000} for _ in range(100)]
    with pytest.raises(Rejected, match="capabilities"):
        admitted({"type": "t", "required_capabilities": capabilities})


@pytest.mark.parametrize(
    ("fields", "place"),
    [
        ({"tags": {f"k{n}": "" for n in range(17)}}, "length <= 16"),
        ({"tags": {"a b": "x"}}, "key"),
        ({"tags": {"": "x"}}, "key"),
        ({"tags": {"a": "x" * 257}}, "length <= 256"),
        ({"tags": {"a": 1}}, "tags"),
        ({"again": "a.b"}, "`again`"),
        ({"batch": "*"}, "`batch`"),
        ({"id": "counts"}, "no task can be called counts"),
        ({"id": "export"}, "no task can be called export"),
    ],
)
def test_what_can_not_be_a_tag_or_the_name_of_a_task_is_refused(
    fields: dict[str, Any], place: str
) -> None:
    with pytest.raises(Rejected, match=place):
        admitted({"type": "t", **fields})


def test_tags_stand_in_the_task_and_are_not_what_the_router_holds() -> None:
    tags = {f"key.{n}": "ä" * 256 for n in range(16)}
    body = {"type": "t", "tags": tags, "preferred_capabilities": [{"name": "c"}], "batch": "b"}
    spec = admitted(body).spec
    assert (spec.tags, spec.batch, spec.again) == (tags, "b", None)


@given(st.sampled_from(sorted(TaskSpec.__struct_fields__)))
def test_every_field_counts_for_the_content(field: str) -> None:
    other: dict[str, Any] = {
        "type": "u",
        "input": msgspec.Raw(b'{"x":1}'),
        "priority": Priority.LOW,
        "is_heavy": True,
        "input_pointer": Pointer("u", "s", 1),
        "host": "h",
        "timeout_s": 1.0,
        "deadline_s": 1.0,
        "delay_s": 1.0,
        "max_attempts": 2,
        "on_unknown": "retry",
        "retry_tool_errors": True,
        "fresh": True,
        "approve": True,
        "on_leave": "cancel",
        "required_capabilities": (Capability("c"),),
        "preferred_capabilities": (Capability("c"),),
        "tags": {"run": "7"},
        "again": "t0",
        "batch": "b",
    }
    first = TaskSpec(type="t")
    changed = msgspec.structs.replace(first, **{field: other[field]})
    assert content_digest(first) != content_digest(changed)
    fact = facts.created("alice", "t1", spec=changed)
    with pytest.raises(Rejected, match="other content"):
        domain.sent_again(fact, recorded(facts.created("alice", "t1", spec=first)))


POINTERS = [
    ("nats://METAMCP_BLOBS/alice/" + "a" * 64, "a" * 64, True),
    ("nats://METAMCP_BLOBS/bob/" + "a" * 64, "a" * 64, False),
    ("nats://METAMCP_BLOBS/alice/" + "b" * 64, "a" * 64, False),
    ("nats://METAMCP_BLOBS/alice/../bob/" + "a" * 64, "a" * 64, False),
    ("https://evil.example/" + "a" * 64, "a" * 64, False),
    ("nats://METAMCP_BLOBS/alice/AA", "AA", False),
]


@pytest.mark.parametrize(("uri", "sha", "good"), POINTERS)
def test_pointers_are_to_ones_own_blobs(uri: str, sha: str, good: bool) -> None:
    pointer = Pointer(uri, sha, 1)
    if good:
        domain.check_pointer("alice", pointer, domain.EMPTY)
    else:
        with pytest.raises(Rejected):
            domain.check_pointer("alice", pointer, domain.EMPTY)


@given(
    st.sampled_from(["alice", "bob"]),
    st.booleans(),
    st.sampled_from(["task", "host", "system"]),
    st.sampled_from([None, "alice", "bob"]),
)
def test_nobody_but_auditors_sees_others(
    user: str, auditor: bool, kind: str, owner: str | None
) -> None:
    roles = frozenset({"auditor"} if auditor else ())
    seen = visibility.may_see(user, roles, Audience(kind, owner))
    public = kind == "host" and owner is None
    assert seen == (auditor or public or (kind != "system" and owner == user))


def test_facts_of_the_system_are_for_auditors() -> None:
    assert visibility.audience(LogRouter(id="x", by="r", term=1), {}) == visibility.SYSTEM
