"""The Space kit stands alone: the same vectors go through its grammar and line reader and ours."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import child
import grammar as kit_grammar
import pytest

from services.executor.attempt import grammar as own_grammar
from services.outside.mcp_child import Lines as OwnLines
from services.outside.mcp_message import TOO_LARGE
from services.outside.mcp_reading import McpReader
from tests.support.space import KIT

VECTORS = Path(__file__).parents[2] / "vectors"
GRAMMAR: dict[str, Any] = json.loads((VECTORS / "grammar.json").read_bytes())
LINES: list[dict[str, Any]] = json.loads((VECTORS / "lines.json").read_bytes())["cases"]

both = pytest.mark.parametrize("grammar", [own_grammar, kit_grammar], ids=["ours", "the kit's"])


def scope(grammar: ModuleType) -> Any:
    said = GRAMMAR["scope"]
    workspace = said["workspace"]
    return grammar.Scope(
        said["input"], said["task"], said["attempt"], lambda: workspace, said["steps"]
    )


@both
@pytest.mark.parametrize(("template", "value"), GRAMMAR["resolved"])
def test_a_template_becomes_its_value(grammar: ModuleType, template: Any, value: Any) -> None:
    assert json.dumps(grammar.resolve(template, scope(grammar))) == json.dumps(value)


@both
@pytest.mark.parametrize("template", GRAMMAR["refused"])
def test_what_is_not_there_is_refused(grammar: ModuleType, template: Any) -> None:
    grammar.check(template)
    with pytest.raises(grammar.GrammarError):
        grammar.resolve(template, scope(grammar))


@both
@pytest.mark.parametrize("template", GRAMMAR["malformed"])
def test_what_is_malformed_is_seen_without_an_input(grammar: ModuleType, template: Any) -> None:
    with pytest.raises(grammar.GrammarError):
        grammar.check([template])


@both
@pytest.mark.parametrize(("template", "roots"), GRAMMAR["roots"])
def test_a_template_s_roots_are_listed(
    grammar: ModuleType, template: Any, roots: list[str] | None
) -> None:
    if roots is None:
        with pytest.raises(grammar.GrammarError):
            grammar.check(template)
    else:
        assert sorted(grammar.check(template)) == roots


def test_the_kit_carries_our_grammar_as_it_is() -> None:
    assert (KIT / "grammar.py").read_text() == Path(own_grammar.__file__).read_text()


# The line reader.


def written(case: dict[str, Any]) -> bytes:
    return b"".join(
        bytes.fromhex(part["hex"])
        if "hex" in part
        else part["text"].encode() * part.get("times", 1)
        for part in case["bytes"]
    )


def shown(read: Any) -> Any:
    """A message in the words of the vectors, with the text that stands for a long one."""
    if isinstance(read, Exception):
        return None, ""
    data = read.message.model_dump(mode="json", by_alias=True, exclude_unset=True)
    if data.get("error", {}).get("code") == TOO_LARGE:
        return ("refused", data["id"]), data["error"]["message"]
    return data, ""


async def ours(pieces: Iterator[bytes], limit: int, asked: list[Any]) -> list[Any]:
    reader = McpReader()
    for id_ in asked:
        reader.sent(id_, "ping")
    lines = OwnLines(limit, reader)
    read = [shown(message) for piece in pieces async for message in lines.feed(piece)]
    lines.close()
    return read


async def the_kits(pieces: Iterator[bytes], limit: int, _: list[Any]) -> list[Any]:
    stream = asyncio.StreamReader(limit=limit)
    lines = child.Lines(stream, limit)

    async def everything() -> list[Any]:
        read = []
        while (message := await lines.next()) is not None:
            read.append(shown(message))
        return read

    reading = asyncio.create_task(everything())
    for piece in pieces:
        stream.feed_data(piece)
        if len(stream._buffer) >= 100:  # type: ignore[attr-defined]
            # As a reader does that is quicker than its server.
            await asyncio.wait([reading], timeout=0)
    stream.feed_eof()
    return await reading


def pieces(data: bytes, size: int) -> Iterator[bytes]:
    return (data[i : i + size] for i in range(0, len(data), size))


@pytest.mark.parametrize("size", [7, 64, 1024, 1_000_000])
@pytest.mark.parametrize("reader", [ours, the_kits], ids=["ours", "the kit's"])
@pytest.mark.parametrize("case", LINES, ids=[case["name"] for case in LINES])
async def test_lines_are_read_as_messages(
    case: dict[str, Any], reader: Callable[..., Any], size: int
) -> None:
    data = written(case)
    longest = max(map(len, data.split(b"\n")))
    assert longest == case.get("length", longest)
    messages = [
        json.loads(data) if wanted == "valid" else expected(wanted) for wanted in case["messages"]
    ]
    read = await reader(pieces(data, size), case["limit"], [*map(id_of, filter(None, messages))])
    texts = [text for _, text in read if text]
    assert [message for message, _ in read] == messages
    assert all(
        text == f"the answer has {longest} bytes, more than {case['limit']}" for text in texts
    )


def id_of(message: Any) -> Any:
    return message.get("id") if isinstance(message, dict) else message[1]


def expected(wanted: Any) -> Any:
    if wanted is None or isinstance(wanted, dict):
        return wanted
    return "refused", wanted.removeprefix("id:") if isinstance(wanted, str) else wanted
