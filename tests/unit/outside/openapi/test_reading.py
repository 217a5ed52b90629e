"""Bytes to documents: what JSON and YAML mean, and what is refused before it costs anything."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.outside.openapi import reading
from services.outside.openapi.reading import BadDocument

HEAD = "openapi: 3.1.0\npaths: {}\n"


def read(text: str) -> Any:
    return reading.read((HEAD + text).encode())


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("12", 12),
        ("-0.5e3", -500.0),
        ("1e999", "1e999"),
        ("true", True),
        ("no", "no"),
        ("~", None),
        ("'12'", "12"),
        ("2024-01-01", "2024-01-01"),
        ("[a, b: c]", ["a", {"b": "c"}]),
        ("{200: x, true: y}", {"200": "x", "true": "y"}),
        ("|\n  a\n  b\n", "a\nb\n"),
        ("[&a {b: 1}, *a]", [{"b": 1}, {"b": 1}]),
        ("{<<: {a: 1}}", {"<<": {"a": 1}}),
        ("!!python/object:os.system x", "x"),
    ],
)
def test_yaml_means_what_json_would(text: str, value: Any) -> None:
    assert read(f"x-v: {text}")["x-v"] == value


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text("ab c:#-'\"\n\t{}[]&*!ä"),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("ab: "), inner, max_size=3),
    max_leaves=8,
)


@given(VALUES)
def test_json_is_yaml(value: Any) -> None:
    document = {"openapi": "3.0.0", "x": value}
    data = msgspec.json.encode(document)
    assert reading.read(data) == document
    assert reading.read(b"# a comment makes it YAML\n" + data) == document


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "no object"),
        (b"[]", "no object"),
        (b"{}", r"openapi: 3"),
        (b'{"openapi": 3.1}', r"openapi: 3"),
        (b'{"openapi": "4.0.0"}', r"openapi: 3"),
        (b'{"openapi": "3.0.0", "paths": []}', "are no object"),
        (b'{"swagger": "2.0"}', "convert it to OpenAPI 3"),
        (b'{"openapi": "3.0.0",', "no JSON"),
        (b"<html>\n<a>: b: c", "neither JSON nor YAML"),
        (b"\xff\xfe\x00", "UTF-8"),
        (b'{"a":' * 5000, "nested more than"),
        (b"a: " + b"[" * 5000, "nested more than"),
        (b"- " * 5000, "nested more than"),
        (b"a: &x [*x]", "by an alias"),
        (b"? [a]\n: b", "a key that is no text"),
        (b"a: b\n" * 500_000, "bytes of YAML"),
    ],
)
def test_what_is_no_document(data: bytes, words: str) -> None:
    with pytest.raises(BadDocument, match=words):
        reading.read(data)


def test_aliases_do_not_multiply_without_end() -> None:
    laughs = "\n".join(f"x{n}: &x{n} [{', '.join([f'*x{n - 1}'] * 9)}]" for n in range(1, 9))
    with pytest.raises(BadDocument, match="values"):
        read(f"x0: &x0 [a]\n{laughs}\n")
