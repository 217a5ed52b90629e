"""What a server says is read or answered for: no code of a server is ours, and every call ends."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import mcp_types
import pytest
from hypothesis import given
from hypothesis import strategies as st
from mcp import MCPError

from services.outside import mcp_body
from services.outside.mcp_child import Lines
from services.outside.mcp_errors import THEIRS, StrayAnswer, data_of, theirs
from services.outside.mcp_message import TOO_LARGE, Incoming, error
from services.outside.mcp_reading import MOST_ASKED, UNREADABLE, BadMessage, McpReader
from services.registry.probes.told import LastAnswer

OURS = (
    *(mcp_body.NOT_SENT, mcp_body.LOST, mcp_body.STATUS, mcp_body.GONE, mcp_body.DOUBTED),
    *(TOO_LARGE, UNREADABLE, mcp_types.CONNECTION_CLOSED, mcp_types.REQUEST_TIMEOUT),
)
LEAVES = st.none() | st.booleans() | st.integers() | st.floats() | st.text()
JSON = st.recursive(
    LEAVES,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


def read(data: bytes, asked: int | str | None = 1, *, web: bool = False) -> list[dict[str, Any]]:
    """The messages that the SDK gets, when a tool was called and this came."""

    async def run() -> list[dict[str, Any]]:
        reader, incoming = McpReader(LastAnswer()), Incoming(1 << 20)
        if asked is not None:
            reader.sent(asked, "tools/call")
        incoming.add(data)
        found = await reader.read(incoming, asked if web else None, sole=web)
        return [json.loads(message) for message in found]

    return asyncio.run(run())


def failure(message: dict[str, Any]) -> MCPError:
    """The error as the SDK raises it."""
    told = mcp_types.jsonrpc_message_adapter.validate_python(message)
    assert isinstance(told, mcp_types.JSONRPCError)
    return MCPError(told.error.code, told.error.message, told.error.data)


def told(data: bytes) -> tuple[list[Any], Any, bool]:
    """A tool's answer as it is kept."""

    async def run() -> tuple[list[Any], Any, bool]:
        last = LastAnswer()
        reader, incoming = McpReader(last), Incoming(1 << 20)
        reader.sent(1, "tools/call")
        incoming.add(data)
        await reader.read(incoming)
        return tuple(last.take())

    return asyncio.run(run())


@given(st.integers() | st.sampled_from(OURS) | JSON, JSON, JSON | st.just({THEIRS: False}))
def test_no_error_of_a_server_is_ever_ours(code: Any, words: Any, data: Any) -> None:
    said = {"code": code, "message": words, "data": data}
    (message,) = read(json.dumps({"jsonrpc": "2.0", "id": 1, "error": said}).encode())
    raised = failure(message)
    assert message["id"] == 1
    assert theirs(raised)
    if isinstance(code, int) and not isinstance(code, bool):
        assert raised.code == code
    if isinstance(words, str):
        assert words.encode("utf-8", "replace").decode() in raised.message or words >= "\ud800"


@pytest.mark.parametrize("code", OURS)
def test_an_error_of_ours_is_never_the_server_s(code: int) -> None:
    raised = failure(json.loads(error(1, code, "ours", {"status": "400"})))
    assert not theirs(raised)
    assert data_of(raised) is None


@given(st.binary(max_size=60) | JSON.map(lambda value: json.dumps(value).encode()))
def test_whatever_comes_over_http_ends_the_call(data: bytes) -> None:
    assert [message["id"] for message in read(data, web=True) if "id" in message][:1] == [1]


@given(st.dictionaries(st.sampled_from(["result", "error", "jsonrpc", "id", "x"]), JSON))
def test_whatever_answers_a_line_ends_its_call(fields: dict[str, Any]) -> None:
    data = json.dumps({"jsonrpc": "2.0", "result": {}} | fields | {"id": 1}).encode()
    assert [message["id"] for message in read(data)] == [1]


@pytest.mark.parametrize(
    "data",
    [
        b"Calling the API ...",
        b'{"level":"info","result":"ok"}',
        b'{"level":"error","error":{"message":"disk"}}',
        b"[1, 2",
        b"\xff\xfe",
        b'{"jsonrpc":"2.0","id":77,"result":',
        b'{"jsonrpc":"2.0"}',
    ],
)
def test_what_a_server_says_beside_ends_no_call(data: bytes) -> None:
    with pytest.raises(BadMessage):
        read(data)


RESULT = b'{"content":[{"type":"text","text":"hi"}]}'
HI = [{"type": "text", "text": "hi"}]


@pytest.mark.parametrize(
    ("data", "wanted"),
    [
        (b'{"id":1,"result":' + RESULT + b"}", (HI, None, False)),
        (b'{"jsonrpc":2.0,"id":"1","result":' + RESULT + b"}", (HI, None, False)),
        (b'{"jsonrpc":"2.0","id":1.0,"result":' + RESULT + b',"error":null}', (HI, None, False)),
        (b'[{"jsonrpc":"2.0","id":1,"result":' + RESULT + b"}]", (HI, None, False)),
        (b'\xef\xbb\xbf{"id":1,"result":' + RESULT + b"}\r", (HI, None, False)),
        (b'{"id":1,"result":{}}', ([], None, False)),
        (b'{"id":1,"result":{"content":null,"isError":null}}', ([], None, False)),
        (b'{"id":1,"result":{"structuredContent":[NaN,1e999]}}', ([], [None, None], False)),
        (b'{"id":1,"result":{"content":[{"type":"video"}]}}', ([{"type": "video"}], None, False)),
        (b'{"id":1,"result":{"structuredContent":"\\ud83d","isError":true}}', ([], "\ufffd", True)),
        (b'{"id":1,"result":{"structuredContent":%d}}' % 2**256, ([], 2**256, False)),
    ],
)
def test_an_answer_that_can_be_understood_is(data: bytes, wanted: Any) -> None:
    assert told(data) == wanted


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b'{"jsonrpc":"2.0","id":1,"result":{"structuredContent":%s}}' % (b"9" * 5000), "digits"),
        (b'{"jsonrpc":"2.0","id":1,"result":{"content":["\xff"]}}', "UTF-8"),
        (b'{"jsonrpc":"2.0","id":1,"result":{"content":[}', "no JSON-RPC"),
        (b'{"jsonrpc":"2.0","id":1,"result":{"content":"x"}}', "no list"),
        (b'{"jsonrpc":"2.0","id":1,"result":[]}', "no object"),
        (b'{"jsonrpc":"2.0","id":1,"result":' + b"[" * 100_000 + b"]" * 100_000 + b"}", "too deep"),
        (b'{"jsonrpc":"2.0","id":1}', "neither"),
        (b'{"jsonrpc":"2.0","result":{"content":[', "no JSON-RPC"),
    ],
)
def test_one_that_cannot_is_answered_with_the_reason(data: bytes, words: str) -> None:
    (message,) = read(data)
    assert (message["id"], message["error"]["code"]) == (1, UNREADABLE)
    assert words in message["error"]["message"]
    assert not theirs(failure(message))


def test_an_error_for_nobody_is_for_the_only_one_that_waits() -> None:
    (message,) = read(b'{"jsonrpc":"2.0","id":null,"error":{"code":-32603,"message":"no"}}')
    assert (message["id"], failure(message).message) == (1, "no")


def test_an_answer_over_http_to_another_request_is_none() -> None:
    (message,) = read(b'{"id":2,"result":{}}', web=True)
    assert (message["id"], message["error"]["code"]) == (1, UNREADABLE)
    assert "another request" in message["error"]["message"]


def test_a_greeting_without_a_name_is_one() -> None:
    async def run() -> Any:
        reader, incoming = McpReader(), Incoming(1000)
        reader.sent(1, "initialize")
        incoming.add(b'{"id":1,"result":{"protocolVersion":"2025-06-18","instructions":null}}')
        (message,) = await reader.read(incoming)
        return json.loads(message)["result"]

    mcp_types.InitializeResult.model_validate(asyncio.run(run()))


def test_an_answer_that_the_sdk_does_not_take_ends_its_call() -> None:
    async def run() -> list[Any]:
        lines = Lines(1 << 20)
        lines.sent(mcp_types.JSONRPCRequest(jsonrpc="2.0", id=3, method="tools/list"))
        deep = b'{"jsonrpc":"2.0","id":3,"result":{"tools":' + b"[" * 300 + b"]" * 300 + b"}}\n"
        return [message async for message in lines.feed(deep)]

    (message,) = asyncio.run(run())
    assert (message.message.id, message.message.error.code) == (3, UNREADABLE)


ANSWERS = st.lists(st.tuples(st.sampled_from(["ask", "answer", "give up"]), st.integers(1, 4)))


@given(ANSWERS, st.sampled_from([b'"result":{}', b'"error":{"code":1,"message":"no"}']))
def test_each_request_has_one_answer_and_nothing_else_has_any(
    steps: list[tuple[str, int]], body: bytes
) -> None:
    async def run() -> None:
        reader, incoming = McpReader(), Incoming(1 << 20)
        open_: set[int] = set()
        for what, id_ in steps:
            match what:
                case "ask" if id_ not in open_:
                    reader.sent(id_, "x")
                    open_.add(id_)
                case "give up":
                    reader.given_up(id_)
                case "answer":
                    # What is no JSON-RPC, as a line of a log, never counts.
                    if id_ not in open_:
                        incoming.add(b'{"id":%d,%b}' % (id_, body))
                        await reader.read(incoming)
                        assert not reader.broken.is_set()
                    incoming.add(b'{"jsonrpc":"2.0","id":%d,%b}' % (id_, body))
                    if id_ in open_:
                        assert len(await reader.read(incoming)) == 1
                        open_.discard(id_)
                        continue
                    with pytest.raises(StrayAnswer):
                        await reader.read(incoming)
                    assert reader.broken.is_set()
                    assert f"request {id_}," in reader.fault
                    return
        assert not reader.broken.is_set()
        assert not reader.fault

    asyncio.run(run())


async def test_of_requests_without_an_answer_so_many_are_remembered() -> None:
    reader = McpReader()
    for id_ in range(3 * MOST_ASKED):
        reader.sent(id_, "x")
    assert len(reader._asked) == len(reader._late) == MOST_ASKED
