"""No task is nested deeper than every reader of the log can decode."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.errors import Reason, Rejected
from contracts.facts import encode
from contracts.nesting import MAX_DEPTH, too_deep
from services.gateway import domain
from services.gateway.stream.connection import FRAME_NESTING

# Keys and texts full of what could be taken for structure.
TEXT = st.text('[]{}"\\\\,:a\u00e9\n')
JSON = st.recursive(
    st.none() | st.integers() | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=40,
)


def nested(levels: int) -> bytes:
    """A task this deep, counting itself."""
    return b'{"type":"t","id":"t1","input":' + b'{"a":' * (levels - 1) + b"1" + b"}" * levels


def levels_of(value: Any) -> int:
    if isinstance(value, dict):
        return 1 + max(map(levels_of, value.values()), default=0)
    if isinstance(value, list):
        return 1 + max(map(levels_of, value), default=0)
    return 0


def reference(data: bytes) -> int:
    """The depth, one byte after the other."""
    most = now = 0
    in_string = escaped = False
    for byte in data.decode("latin-1"):
        if in_string:
            in_string = escaped or byte != '"'
            escaped = byte == "\\" and not escaped
        elif byte == '"':
            in_string = True
        elif byte in "[{":
            now += 1
            most = max(most, now)
        elif byte in "]}":
            now -= 1
    return most


@given(JSON, st.booleans())
def test_the_depth_is_that_of_the_value(value: Any, ascii_: bool) -> None:
    data = json.dumps(value, ensure_ascii=ascii_).encode()
    levels = levels_of(value)
    assert not too_deep(data, levels)
    assert levels == 0 or too_deep(data, levels - 1)


QUOTED = st.lists(st.sampled_from([b"[", b"}", b'\\"', b"\\\\", b"\\n", b"\xff"])).map(b"".join)
PIECES = st.sampled_from([b"[", b"{", b"]", b"}", b"a", b"\xff"])


@given(st.lists(PIECES | QUOTED.map(lambda text: b'"' + text + b'"')), QUOTED)
def test_any_bytes_are_measured_as_by_counting_one_by_one(parts: list[bytes], last: bytes) -> None:
    data = b"".join(parts) + b'"' + last
    levels = reference(data)
    assert not too_deep(data, levels)
    assert levels == 0 or too_deep(data, levels - 1)


@pytest.mark.parametrize("levels", [1, 2, MAX_DEPTH])
def test_a_task_within_the_limit_is_taken_and_can_be_read_back(levels: int) -> None:
    request = domain.parse_task(nested(levels))
    input_ = domain.canonical_input(request.input) if levels > 1 else b"{}"
    origin = domain.Origin("alice", "api", "f", "g")
    fact = domain.admit(origin, "t1", request, input_)
    assert msgspec.json.decode(encode(fact), type=type(fact)) == fact
    assert not too_deep(encode(fact), MAX_DEPTH + 1)


@pytest.mark.parametrize("levels", [MAX_DEPTH + 1, 900, 1100, 150_000])
def test_a_deeper_task_is_refused_and_recorded_without_what_it_holds(levels: int) -> None:
    data = nested(levels)
    with pytest.raises(Rejected, match="is nested more than 64 deep") as refused:
        domain.parse_task(data)
    assert refused.value.reason is Reason.BAD_REQUEST
    # The same at every depth, or a message that comes again would get another id.
    assert domain.id_in(data) is None
    fact = domain.invalid_task(domain.Origin("a", "nats", "f", "g"), "t1", data, "deep")
    assert not too_deep(encode(fact), 3)


def test_a_deep_input_is_refused_by_itself() -> None:
    raw = msgspec.Raw(b'{"a":' * 65 + b"1" + b"}" * 65)
    with pytest.raises(Rejected, match="`input` is nested more than 64 deep"):
        domain.canonical_input(raw)


@pytest.mark.parametrize(
    "data",
    [
        b'{"type":"t","input":{"a":"\xff"}}',
        b'{"type":"t","input":{"\xc3":1}}',
        b'{"type":"\xff"}',
        b'{"type":"t","id":"\xed\xa0\x80"}',
    ],
)
def test_what_is_not_utf_8_is_refused(data: bytes) -> None:
    with pytest.raises(Rejected) as refused:
        domain.canonical_input(domain.parse_task(data).input)
    assert refused.value.reason is Reason.BAD_REQUEST
    assert domain.id_in(data) is None


def test_a_frame_may_hold_the_deepest_task() -> None:
    frame = b'{"op":"submit","ref":1,"task":' + nested(MAX_DEPTH) + b"}"
    assert not too_deep(frame, FRAME_NESTING)
    assert too_deep(frame, FRAME_NESTING - 1)


@pytest.mark.parametrize("name", ["a\n", "a b", "", "a" * 65])
def test_a_type_is_the_whole_text(name: str) -> None:
    with pytest.raises(Rejected, match="type"):
        domain.parse_task(json.dumps({"type": name}).encode())
