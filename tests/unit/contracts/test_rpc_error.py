"""What a host answered is read out of a fact's text as it was."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts import rpc_error
from contracts.rpc_error import MISSING_CAPABILITY, RpcError

NEEDED = {"requiredCapabilities": {"sampling": {}, "extensions": {"a/b": {"x": "): {"}}}}
CODES = st.integers(-(10**14), 10**14)


@given(CODES, st.text(), st.none() | st.just(NEEDED) | st.text())
def test_there_and_back(code: int, message: str, data: Any) -> None:
    kept = data if code == MISSING_CAPABILITY and data == NEEDED else None
    assert rpc_error.read(rpc_error.told(code, message, data)) == RpcError(code, message, kept)


def test_what_is_missing_is_told() -> None:
    needed = {"requiredCapabilities": {"sampling": {}}}
    text = rpc_error.told(MISSING_CAPABILITY, "no", needed)
    assert text == 'JSON-RPC error -32021 (missing client capabilities: {"sampling":{}}): no'
    assert rpc_error.read(text) == RpcError(MISSING_CAPABILITY, "no", needed)


@pytest.mark.parametrize("data", [None, [], {"requiredCapabilities": [1]}, "x"])
def test_what_says_nothing_of_capabilities_is_left_out(data: Any) -> None:
    text = rpc_error.told(MISSING_CAPABILITY, "no", data)
    assert rpc_error.read(text) == RpcError(MISSING_CAPABILITY, "no")


def test_too_much_is_left_out() -> None:
    data = {"requiredCapabilities": {"x" * 2000: {}}}
    assert rpc_error.told(MISSING_CAPABILITY, "no", data) == "JSON-RPC error -32021: no"


@pytest.mark.parametrize("text", ["", "no such file", "JSON-RPC error x: no", "JSON-RPC error 5"])
def test_other_texts_are_no_such_errors(text: str) -> None:
    assert rpc_error.read(text) is None


def test_what_was_damaged_is_read_without_it() -> None:
    text = "JSON-RPC error -32021 (missing client capabilities: {x}): no"
    assert rpc_error.read(text) == RpcError(MISSING_CAPABILITY, "no")
