"""The bytes of another client's file: JSON with comments, TOML or YAML, in any Unicode encoding."""

from __future__ import annotations

import codecs
import re
import tomllib
from collections.abc import Callable, Mapping
from typing import Any

import msgspec
import yaml  # type: ignore[import-untyped]

_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_STRING = r'"(?:[^"\\\n]|\\.)*"'
_COMMENT = re.compile(rf"({_STRING})|//[^\n]*|/\*.*?\*/", re.DOTALL)
_COMMA = re.compile(rf"({_STRING})|,(?=\s*[\]}}])")
_LINE = re.compile(
    r"\s*(?:export\s+)?([A-Za-z_][\w.-]*)\s*=\s*"
    r"(?:\"((?:[^\"\\]|\\.)*)\"|'([^']*)'|(.*?))\s*(?:\s#.*)?",
    re.DOTALL,
)
_ESCAPES = {"n": "\n", "r": "\r", "t": "\t"}


class UnreadableFile(Exception):
    """The file is nothing that can be read; the message says why."""


def parsed(data: bytes, suffix: str) -> Any:
    """What the file says; `suffix` is the end of its name. Raises UnreadableFile."""
    text = decoded(data)
    read = _READERS.get(suffix.lower(), _json)
    try:
        return read(text)
    except (msgspec.DecodeError, tomllib.TOMLDecodeError, RecursionError) as error:
        raise UnreadableFile(str(error) or "it is nested too deep") from None
    except yaml.YAMLError as error:
        raise UnreadableFile(" ".join(str(error).split())) from None


def decoded(data: bytes) -> str:
    """The text of a file. Raises UnreadableFile."""
    encoding = next((name for mark, name in _MARKS if data.startswith(mark)), "")
    if not encoding:
        # Without a mark: the first character of such a file is ASCII.
        encoding = {b"\0": "utf-16-be", b"": "utf-8"}.get(data[:1], "utf-8")
        if data[1:2] == b"\0":
            encoding = "utf-16-le"
    try:
        return data.decode(encoding).removeprefix("\ufeff")
    except UnicodeDecodeError as error:
        raise UnreadableFile(f"it is no {encoding} text: {error.reason}") from None


def variables(text: str) -> dict[str, str]:
    """Lines `NAME=VALUE`, as in a `.env` file. Raises UnreadableFile."""
    found = {}
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        pair = _LINE.fullmatch(line)
        if pair is None:
            raise UnreadableFile(f"line {number}: expected NAME=VALUE")
        name, quoted, plain, bare = pair.groups()
        if quoted is not None:
            bare = re.sub(r"\\(.)", lambda one: _ESCAPES.get(one[1], one[1]), quoted)
        found[name] = plain if plain is not None else bare
    return found


def _json(text: str) -> Any:
    try:
        return msgspec.json.decode(text)
    except msgspec.DecodeError:
        # With comments and trailing commas, as editors write it. A parser of JSON5 would take half
        # a minute for the largest file.
        plain = _COMMENT.sub(_string, text)
        return msgspec.json.decode(_COMMA.sub(_string, plain))


def _string(found: re.Match[str]) -> str:
    """Strings stay, all else goes; its line breaks stay, so that errors name the right place."""
    return found[1] or re.sub(r"[^\n]", " ", found[0])


def _yaml(text: str) -> Any:
    return yaml.safe_load(text)


_READERS: Mapping[str, Callable[[str], Any]] = {
    ".toml": tomllib.loads,
    ".yaml": _yaml,
    ".yml": _yaml,
}
