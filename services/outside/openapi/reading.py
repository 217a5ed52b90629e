"""Bytes to an OpenAPI document: JSON, or YAML in its JSON schema, in bounded time and memory.

Pure. YAML is built from the parser's events: nothing recurses, and an alias counts as what it is.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from typing import Any

import msgspec
import yaml  # type: ignore[import-untyped]

from contracts.nesting import too_deep

MOST_BYTES = 16 * 1024 * 1024
"""Of a document in JSON that is read at a URL."""
MOST_YAML = 2 * 1024 * 1024
"""Of one in YAML, which takes fifty times as long to read."""
MOST_NODES = 500_000
"""Values in a YAML document, those behind aliases counted each time."""
DEPTH = 200
_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_WORDS = {"": None, "~": None, "null": None, "Null": None, "NULL": None}
_BOOLS = {"true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False}
_INT = re.compile(r"[-+]?[0-9]{1,300}")
_FLOAT = re.compile(r"[-+]?(\.[0-9]{1,300}|[0-9]{1,300}(\.[0-9]{0,300})?)([eE][-+]?[0-9]{1,4})?")


class BadDocument(Exception):
    """This is no document that can be used; the message says why and what to do."""


def read(data: bytes) -> dict[str, Any]:
    """The document. Raises BadDocument."""
    if len(data) > MOST_BYTES:
        raise BadDocument(f"the document has more than {MOST_BYTES} bytes")
    data = data.removeprefix(b"\xef\xbb\xbf")
    value = _json(data) if data.lstrip()[:1] == b"{" else _yaml(data)
    if not isinstance(value, dict):
        raise BadDocument("the document is no object: expected an OpenAPI document, JSON or YAML")
    check(value)
    return value


def check(document: dict[str, Any]) -> None:
    """Refuse what is no OpenAPI 3 document. Raises BadDocument."""
    if "swagger" in document:
        raise BadDocument(
            "the document is Swagger 2.0: convert it to OpenAPI 3, for example with"
            " https://converter.swagger.io"
        )
    version = document.get("openapi")
    if not isinstance(version, str) or not version.startswith("3."):
        raise BadDocument("the document does not say `openapi: 3.…`: it is no OpenAPI 3 document")
    if not isinstance(document.get("paths", {}), dict):
        raise BadDocument("the document's `paths` are no object")


def _json(data: bytes) -> Any:
    if too_deep(data, DEPTH):
        raise BadDocument(f"the document is nested more than {DEPTH} deep")
    try:
        return msgspec.json.decode(data)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        try:
            # What begins with a brace may be YAML in its flow style.
            return _yaml(data)
        except BadDocument:
            raise BadDocument(f"the document is no JSON: {str(error)[:200]}") from None


def _yaml(data: bytes) -> Any:
    if len(data) > MOST_YAML:
        raise BadDocument(
            f"the document has more than {MOST_YAML} bytes of YAML: give it as JSON, of which"
            f" {MOST_BYTES} may be read"
        )
    try:
        return _Builder().build(yaml.parse(data.decode(), Loader=_LOADER))
    except UnicodeDecodeError as error:
        raise BadDocument(f"the document is not UTF-8: {error.reason}") from None
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        text = " ".join(str(error).split())[:200]
        raise BadDocument(f"the document is neither JSON nor YAML: {text}") from None


class _Open:
    """A sequence or mapping that is being read."""

    def __init__(self, value: Any, anchor: str | None, key: Any) -> None:
        self.value = value
        self.anchor = anchor
        self.key = key
        """Under which the one around it takes it."""
        self.next_key: Any = None
        self.expects_key = isinstance(value, dict)
        self.size = 1


class _Builder:
    """Makes values of a YAML parser's events."""

    def __init__(self) -> None:
        self._open: list[_Open] = []
        self._anchors: dict[str, tuple[Any, int]] = {}
        self._root: Any = None

    def build(self, events: Iterable[Any]) -> Any:
        """The first document. Raises BadDocument, yaml.YAMLError."""
        for event in events:
            match event:
                case yaml.MappingStartEvent() | yaml.SequenceStartEvent():
                    value: Any = {} if isinstance(event, yaml.MappingStartEvent) else []
                    self._begin(_Open(value, event.anchor, None))
                case yaml.MappingEndEvent() | yaml.SequenceEndEvent():
                    done = self._open.pop()
                    self._put(done.value, done.size, done.anchor)
                case yaml.ScalarEvent():
                    self._put(_scalar(event), 1, event.anchor)
                case yaml.AliasEvent():
                    if event.anchor not in self._anchors:
                        raise BadDocument("the document names itself by an alias")
                    self._put(*self._anchors[event.anchor], None)
                case yaml.DocumentEndEvent():
                    return self._root
        return self._root

    def _begin(self, one: _Open) -> None:
        if len(self._open) >= DEPTH:
            raise BadDocument(f"the document is nested more than {DEPTH} deep")
        self._open.append(one)

    def _put(self, value: Any, size: int, anchor: str | None) -> None:
        if anchor is not None:
            self._anchors[anchor] = value, size
        if not self._open:
            self._root = value
            return
        around = self._open[-1]
        around.size += size
        if around.size > MOST_NODES:
            raise BadDocument(f"the document has more than {MOST_NODES} values")
        if isinstance(around.value, list):
            around.value.append(value)
        elif around.expects_key:
            around.next_key, around.expects_key = _key(value), False
        else:
            around.value[around.next_key], around.expects_key = value, True


def _key(value: Any) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, bool | int | float) or value is None:
        return msgspec.json.encode(value).decode()
    raise BadDocument("the document has a key that is no text")


def _scalar(event: Any) -> Any:
    text: str = event.value
    if not event.implicit[0] or event.style not in (None, ""):
        return text
    if text in _WORDS:
        return _WORDS[text]
    if text in _BOOLS:
        return _BOOLS[text]
    if _INT.fullmatch(text):
        return int(text) if len(text) < 19 else float(text)
    if _FLOAT.fullmatch(text) and math.isfinite(number := float(text)):
        return number
    return text
