"""Which tools are found by plain questions, among 700 of 50 hosts."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mcp_types import ListToolsResult

from contracts.errors import Reason, Rejected
from contracts.host import Host, Stdio, Tool
from services.gateway.mcp import index as indexes
from services.gateway.mcp import search_tools, words
from services.gateway.mcp.index import ToolIndex
from services.gateway.mcp.own_list import OWN
from tests.unit.gateway.mcp.toolboxes import hosts, questions

HOSTS = hosts()
EVERY = {(host.id, tool.name) for host in HOSTS for tool in host.tools}


@pytest.fixture
def made() -> Iterator[ToolIndex]:
    with contextlib.closing(ToolIndex()) as index:
        yield index


async def test_the_right_tool_is_among_the_first_three(made: ToolIndex) -> None:
    found = {asked: await made.find(asked, EVERY, HOSTS, 3) for asked, _ in questions()}
    missed = {asked: found[asked] for asked, right in questions() if not right & set(found[asked])}
    assert missed == {}


def test_there_are_as_many_as_it_says() -> None:
    assert len(HOSTS) > 40
    assert len(EVERY) > 700
    assert len(list(questions())) == 50
    assert set().union(*(right for _, right in questions())) <= EVERY


def test_what_is_listed_is_little() -> None:
    listed = ListToolsResult(tools=[*OWN, *search_tools.TOOLS])
    assert len(listed.model_dump_json(by_alias=True, exclude_none=True)) < 8 * 1024


async def test_nobody_finds_what_is_not_among_theirs(made: ToolIndex) -> None:
    (first, *_) = await made.find("merge that pull request", EVERY, HOSTS, 3)
    assert first == ("github", "merge_pull_request")
    others = EVERY - {first}
    again = await made.find("merge that pull request", others, HOSTS, 100)
    assert first not in again
    assert len(again) > 3
    assert await made.find("merge that pull request", set(), HOSTS, 3) == []


def one(*tools: str, **fields: str) -> Host:
    return Host(id="h", name="H", endpoint=Stdio("x"), tools=tuple(map(Tool, tools)), **fields)


async def test_hosts_that_have_changed_are_read_again_and_no_others(made: ToolIndex) -> None:
    held = one("read_moon", "write_moon")
    among = {("h", "read_moon"), ("h", "read_sun"), ("z", "sunny")}
    other = msgspec.structs.replace(one("sunny"), id="z")
    assert await made.find("moon", among, [held, other], 5) == [("h", "read_moon")]
    rows = made._db.total_changes
    assert await made.find("moon", among, [held, other], 5) == [("h", "read_moon")]
    assert made._db.total_changes == rows
    new = one("read_sun", instructions="About a comet.")
    assert await made.find("moon", among, [new, other], 5) == []
    assert await made.find("sun", among, [new, other], 5) == [("h", "read_sun")]
    assert await made.find("comets", among, [new, other], 5) == [("h", "read_sun")]


async def test_hosts_that_are_gone_are_forgotten(
    made: ToolIndex, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(indexes, "SPARE_HOSTS", 0)
    await made.find("x", set(), [one("moon")], 5)
    await made.find("x", set(), [], 5)
    assert made._db.execute("SELECT count(*) FROM tools").fetchone() == (0,)


async def test_without_full_text_search_it_is_said(
    made: ToolIndex, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(indexes, "_TABLE", "CREATE VIRTUAL TABLE tools USING fts99(x)")
    for _ in "12":
        with pytest.raises(Rejected, match="no such module") as refused:
            await made.find("x", set(), [], 5)
        assert refused.value.reason is Reason.UNAVAILABLE


@settings(max_examples=50)
@given(st.text(max_size=200) | st.lists(st.sampled_from(["not", "pr", "a", '"', "*", "NEAR"])))
def test_any_text_is_a_question(text: str | list[str]) -> None:
    question = text if isinstance(text, str) else " ".join(text)
    with contextlib.closing(ToolIndex()) as made:
        made._read([one("moon")])
        assert set(made._find(question, {("h", "moon")}, 5)) <= {("h", "moon")}
    assert len(words.asked(question)) <= 2 * words.MOST_WORDS


def test_names_are_taken_apart() -> None:
    assert words.split("getHTTPFile_by-id2Name") == "get HTTP File by id2 Name"
    schema = {"properties": {"a": {"description": "b", "properties": {"c": {}}}, "d": True}}
    assert words.of_schema(schema) == "a b c d"
    assert words.of_schema({"properties": []}) == ""


async def test_what_is_closed_finds_nothing(made: ToolIndex) -> None:
    assert await made.find("moon", {("h", "moon")}, [one("moon")], 5) == [("h", "moon")]
    made.close()
    with pytest.raises(Rejected, match="stopping"):
        await made.find("moon", {("h", "moon")}, [one("moon")], 5)
