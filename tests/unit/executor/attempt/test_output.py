"""What is kept in the fact itself, and what goes to the object store."""

from __future__ import annotations

from typing import Any

import pytest

from contracts.nesting import MAX_DEPTH
from contracts.result import INLINE_LIMIT, Inline, Pointer
from services.executor.attempt import output
from services.executor.attempt.call import HostError
from services.executor.attempt.course import Course
from services.executor.attempt.plan import BadInput, _decode
from services.packed import names


class Store:
    """An object store that remembers what it was given."""

    def __init__(self) -> None:
        self.kept: list[bytes] = []

    async def put(
        self, user: str, data: output.Data, media_type: str = "application/json"
    ) -> Pointer:
        assert isinstance(data, bytes)
        self.kept.append(data)
        return Pointer("nats://b/u/x", "0" * 64, len(data), media_type)

    async def read(self, what: Pointer | str) -> bytes:
        return self.kept[-1]

    def get(self, what: Pointer | str) -> Any:
        raise AssertionError("nothing is streamed here")


def nested(levels: int) -> Any:
    value: Any = 1
    for _ in range(levels):
        value = [value]
    return value


@pytest.mark.parametrize(
    ("value", "kind"),
    [
        ({"a": 1}, Inline),
        ({"a": nested(MAX_DEPTH - 1)}, Inline),
        ({"a": nested(MAX_DEPTH)}, Pointer),
        ({"a": "x" * INLINE_LIMIT}, Pointer),
    ],
    ids=["small", "as deep as may be", "too deep for a fact", "too large for a fact"],
)
async def test_small_and_flat_stays_inline(value: dict[str, Any], kind: type) -> None:
    store = Store()
    assert isinstance(await output.keep(value, "u", store, 10**9, Course()), kind)
    assert bool(store.kept) == (kind is Pointer)


async def test_over_the_hosts_limit_or_without_a_store_is_too_large() -> None:
    with pytest.raises(HostError, match="limit of 10"):
        await output.keep({"a": "x" * 100}, "u", Store(), 10, Course())
    with pytest.raises(HostError, match="no object store"):
        await output.keep({"a": nested(500)}, "u", None, 10**9, Course())


@pytest.mark.parametrize("raw", [b"[" * 5000 + b"]" * 5000, b"{", b'{"a":"\xff"}', b"[1]"])
def test_an_input_that_cannot_be_read_is_the_users_fault(raw: bytes) -> None:
    with pytest.raises(BadInput):
        _decode(raw)


def test_a_files_name_has_an_end() -> None:
    with pytest.raises(names.ForbiddenPath, match="512 are allowed"):
        names.relative("a/" * 2000 + "b")
