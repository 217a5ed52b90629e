"""What a server says, read by one reader with one judgement, however long and however it comes.

Servers are many and few write exactly what the protocol asks for. What can be understood is: a
message is put into the form that the SDK takes. What can't is answered at once, in the server's
place, with the reason, so that nobody waits for it.
"""

from __future__ import annotations

import asyncio
import contextlib
import mmap
import re
from typing import Any, NamedTuple, Protocol

import msgspec

from services.outside.mcp_errors import (
    BROKEN,
    BadMessage,
    GivenUp,
    Id,
    StrayAnswer,
    decoded,
    mended,
    reason_of,
    said_error,
)
from services.outside.mcp_message import (
    TOO_LARGE,
    BigMessages,
    Incoming,
    Overflow,
    TooLong,
    error,
)

UNREADABLE = -32018
"""JSON-RPC code of ours, in the place of an answer that can't be read."""
STAND_IN = "metamcp/answer"
"""Key in the `_meta` of a result that stands for a tool's answer; its value is the token."""
MOST_ASKED = 4096
"""Requests whose answers are waited for at a time, and as many of which none is waited for any
more; the oldest are forgotten first."""
PLAIN = 8 * 1024 * 1024
"""Bytes of the longest message that is no tool's answer."""
_CALL = "tools/call"
_NONE = msgspec.Raw(b"")
_NULL = msgspec.Raw(b"null")
_ID = re.compile(rb'"id"\s*:\s*(\d{1,18}|"[^"\\]{1,100}")')
_INPUT = b'"input_required"'


class RpcMessage(msgspec.Struct):
    """A JSON-RPC message, its parts as they came."""

    jsonrpc: msgspec.Raw = _NONE
    id: msgspec.Raw = _NULL
    method: msgspec.Raw = _NULL
    result: msgspec.Raw = _NONE
    error: msgspec.Raw = _NULL

    @property
    def failed(self) -> bool:
        """It is an error, or says so beside a result."""
        return not _null(self.error)

    @property
    def answer(self) -> bool:
        """It answers a request, and makes none."""
        some = self.failed or len(memoryview(self.result)) > 0
        return some and _null(self.method)

    @property
    def asks(self) -> bool:
        """It is a request."""
        return not (_null(self.id) or _null(self.method))


class ToolAnswer(NamedTuple):
    """A tool's answer, its parts as they came."""

    content: msgspec.Raw
    structured: msgspec.Raw
    is_error: bool
    meta: msgspec.Raw


class Results(Protocol):
    """Keeps tools' answers for whoever has made the calls."""

    def keep(self, answer: ToolAnswer) -> str:
        """Keep an answer; the token stands for it. Raises BadMessage."""


class LongMessages(BigMessages, Protocol):
    """Reads messages that are too long for memory."""

    async def end(self, overflow: Overflow, reader: McpReader, wanted: Id | None) -> bytes:
        """Return the message, or what stands for it if it is a tool's answer. Raises BadMessage."""


class _ResultForm(msgspec.Struct, rename="camel"):
    content: msgspec.Raw = _NULL
    structured_content: msgspec.Raw = _NULL
    is_error: msgspec.Raw = _NULL
    result_type: msgspec.Raw = _NULL
    meta: msgspec.Raw = msgspec.field(default=_NULL, name="_meta")


class McpReader:
    """Reads what one server says in one session, and knows who waits for it."""

    def __init__(self, results: Results | None = None, big: LongMessages | None = None) -> None:
        """Without `results` tools' answers are left as they are."""
        self.big = big
        self._results = results
        self._asked: dict[Id, str] = {}
        self._late: dict[Id, None] = {}
        """Nobody waits for their answers any more, and they may come all the same."""
        self.fault = ""
        """How the server has broken the protocol: the session is of no use any more."""
        self.broken = asyncio.Event()
        """Set when it has."""

    def sent(self, id_: Id, method: str) -> None:
        """A request goes out."""
        if len(self._asked) >= MOST_ASKED:
            self.given_up(next(iter(self._asked)))
        self._asked[key(id_)] = method

    def given_up(self, id_: Id) -> None:
        """Nobody waits for its answer any more, which may be on its way."""
        if self._asked.pop(key(id_), None) is None:
            return
        if len(self._late) >= MOST_ASKED:
            del self._late[next(iter(self._late))]
        self._late[key(id_)] = None

    def answered(self, id_: Id) -> None:
        """Its answer has come: there is no other."""
        self._asked.pop(key(id_), None)
        self._late.pop(key(id_), None)

    async def read(
        self, incoming: Incoming, wanted: Id | None = None, *, sole: bool = False
    ) -> list[bytes]:
        """The messages in what has come, one by one as the SDK takes them.

        `wanted`: an answer in it is this request's, and no other's; `sole`: there must be one, and
        nothing else is given.
        Raises BadMessage for what nobody is known to wait for; StrayAnswer: nothing counts now.
        """
        try:
            return await self._found(incoming, wanted, sole)
        except StrayAnswer as why:
            self.fault = self.fault or str(why)
            self.broken.set()
            raise

    async def _found(self, incoming: Incoming, wanted: Id | None, sole: bool) -> list[bytes]:
        head = b""
        try:
            whole = incoming.take()
            if isinstance(whole, bytes):
                head = whole
                found = self._read(whole, wanted)
                return _answers(found) if sole else found
            assert self.big is not None
            try:
                head = whole.head
                return [await self.big.end(whole.overflow, self, wanted)]
            finally:
                whole.close()
        except TooLong as why:
            id_ = wanted if wanted is not None else self._by_ends(why.head, why.end)
            if id_ is None:
                raise BadMessage(str(why)) from None
            if _like_an_answer(why.head) and (strange := self._strange(id_)):
                raise strange from None
            self.answered(id_)
            return [error(id_, TOO_LARGE, str(why))]
        except (GivenUp, StrayAnswer):
            raise
        except BadMessage as why:
            if wanted is None:
                id_ = self._by_ends(head, head, known=True)
            else:
                id_ = wanted if sole or _like_an_answer(head) else None
            if id_ is None:
                raise
            self.answered(id_)
            return [unreadable(id_, str(why))]

    def answers_call(self, envelope: RpcMessage, wanted: Id | None) -> Id | None:
        """Which of our tool calls this is the answer of; None: of none. Raises BadMessage."""
        if not envelope.answer or envelope.failed:
            return None
        id_ = self._whose(envelope, wanted)
        if id_ is None or self._asked.get(key(id_)) != _CALL:
            return None
        return id_

    def stand_in(self, id_: Id, token: str) -> bytes:
        """What the SDK sees of a tool's answer."""
        self.answered(id_)
        result = {"content": [], "isError": True, "resultType": "complete"}
        meta = {"_meta": {STAND_IN: token}}
        return msgspec.json.encode({"jsonrpc": "2.0", "id": id_, "result": result | meta})

    def _read(self, whole: bytes, wanted: Id | None) -> list[bytes]:
        envelopes = opened(whole)
        if isinstance(envelopes, RpcMessage):
            return [self.one(envelopes, whole, wanted)]
        found = []
        for part in envelopes:
            envelope = opened(part)
            if not isinstance(envelope, RpcMessage):
                raise BadMessage("it is a list in a list")
            found.append(self.one(envelope, bytes(part), wanted))
        return found

    def one(self, envelope: RpcMessage, whole: bytes, wanted: Id | None) -> bytes:
        """One message in normal form, or what stands for it. Raises BadMessage."""
        if not envelope.answer:
            return self._message(whole, wanted)
        id_ = self._whose(envelope, wanted)
        if envelope.failed:
            if id_ is None:
                raise BadMessage("it is an error for nobody")
            self.answered(id_)
            return said_error(id_, envelope.error)
        if self._results is not None and self.answers_call(envelope, wanted) is not None:
            assert id_ is not None
            if (answer := tool_answer(envelope.result)) is not None:
                return self.stand_in(id_, self._results.keep(answer))
        if id_ is None:
            raise BadMessage("it answers nobody")
        value = decoded(envelope.result)
        if value is not None and not isinstance(value, dict):
            raise BadMessage("its result is no object")
        value = value or {}
        if self._asked.get(key(id_)) == "initialize":
            value = _greeting(value)
        self.answered(id_)
        return msgspec.json.encode({"jsonrpc": "2.0", "id": id_, "result": value})

    def _message(self, whole: bytes, wanted: Id | None) -> bytes:
        """A request or notification of the server."""
        fields = decoded(whole)
        if not isinstance(fields.get("method"), str):
            raise BadMessage("it has neither a result nor an error")
        fields = {name: value for name, value in fields.items() if value is not None}
        fields.pop("result", None)
        if not isinstance(fields.get("params", {}), dict):
            raise BadMessage("its params are no object")
        return msgspec.json.encode(fields | {"jsonrpc": "2.0"})

    def _whose(self, envelope: RpcMessage, wanted: Id | None) -> Id | None:
        """The id that an answer is for. Raises BadMessage if it is not the one wanted, and
        StrayAnswer if it is none that is waited for or was given up."""
        given = id_of(envelope)
        if given is None and wanted is None:
            # JSON-RPC has errors for nobody; a line of a log has them too.
            known = envelope.failed and len(memoryview(envelope.jsonrpc)) > 0
            return self._alone() if known else None
        id_ = wanted if given is None else given
        # What is no JSON-RPC is a line of a log, whatever else stands in it.
        meant = len(memoryview(envelope.jsonrpc)) > 0
        if meant and id_ is not None and (strange := self._strange(id_)):
            raise strange
        if given is None:
            return wanted
        if wanted is not None and key(given) != key(wanted):
            late = key(given) in self._late
            raise (GivenUp if late else BadMessage)("it answers another request")
        return given if wanted is None else wanted

    def _strange(self, id_: Id) -> StrayAnswer | None:
        """What is wrong with an answer to this; None: it may come."""
        if key(id_) in self._asked or key(id_) in self._late:
            return None
        shown = id_ if isinstance(id_, int) else repr(id_[:40])
        return StrayAnswer(f"it has answered request {shown}, which was never made or is answered")

    def _alone(self) -> Id | None:
        """The only one that waits."""
        return next(iter(self._asked)) if len(self._asked) == 1 else None

    def _by_ends(self, head: bytes, end: bytes, *, known: bool = False) -> Id | None:
        """Whose answer it is: the id stands at one of the ends of the message. `known`: only who is
        known to wait counts."""
        ids = _ID.findall(head[:200]) or _ID.findall(end[-200:])
        if not ids:
            return self._alone() if _like_an_answer(head) else None
        id_: Id = msgspec.json.decode(ids[-1])
        return id_ if not known or key(id_) in self._asked else None


def _answers(messages: list[bytes]) -> list[bytes]:
    """Those of the messages that answer. Raises BadMessage."""
    envelopes = [(message, opened(message)) for message in messages]
    found = [text for text, one in envelopes if isinstance(one, RpcMessage) and one.answer]
    if not found:
        raise BadMessage("it is no answer")
    return found


def _greeting(result: dict[str, Any]) -> dict[str, Any]:
    """The answer to `initialize`, with what the SDK wants to see of a server."""
    given = {name: value for name, value in result.items() if value is not None}
    named = given.get("serverInfo")
    known = named if isinstance(named, dict) else {}
    info = {name: value for name, value in known.items() if isinstance(value, str)}
    capabilities = given.get("capabilities")
    return given | {
        "serverInfo": {"name": "", "version": ""} | info,
        "capabilities": capabilities if isinstance(capabilities, dict) else {},
    }


def _null(raw: msgspec.Raw) -> bool:
    return bytes(memoryview(raw)[:5]) == b"null"


def key(id_: Id) -> Id:
    """The same for ids that mean one request: some servers make text of a number."""
    if isinstance(id_, str) and id_.isascii() and id_.isdigit() and len(id_) < 19:
        return int(id_)
    return id_


def opened(data: bytes | mmap.mmap | msgspec.Raw) -> RpcMessage | list[msgspec.Raw]:
    """The envelope of a message, or the messages of a batch. Raises BadMessage."""
    try:
        return msgspec.json.decode(data, type=RpcMessage)
    except RecursionError:
        raise BadMessage("it is nested too deep") from None
    except msgspec.MsgspecError as why:
        broken = why
    if isinstance(data, mmap.mmap):
        raise BadMessage(f"it is no JSON-RPC message: {broken}")
    text = bytes(data)
    if not text.strip():
        raise BadMessage("it is empty")
    with contextlib.suppress(*BROKEN):
        return msgspec.json.decode(text, type=list[msgspec.Raw])
    try:
        return msgspec.json.decode(mended(text), type=RpcMessage)
    except BROKEN as why:
        raise BadMessage(reason_of(why)) from None


def refusal(text: bytes, why: str) -> bytes | None:
    """An error in the place of an answer that the SDK does not take; None: it is no answer."""
    envelope = opened(text)
    if not isinstance(envelope, RpcMessage) or not envelope.answer:
        return None
    id_ = id_of(envelope)
    return None if id_ is None else unreadable(id_, why)


def unreadable(id_: Id, why: str) -> bytes:
    """An error in the place of an answer that can't be read."""
    return error(id_, UNREADABLE, f"its answer can't be read: {why}")


def tool_answer(result: msgspec.Raw) -> ToolAnswer | None:
    """The parts of a tool's answer; None: it asks for more. Raises BadMessage."""
    try:
        form = msgspec.json.decode(result, type=_ResultForm)
    except RecursionError as why:
        raise BadMessage(reason_of(why)) from None
    except BROKEN:
        raise BadMessage("its result is no object") from None
    if bytes(form.result_type) == _INPUT:
        return None
    content = form.content
    if _null(content):
        content = msgspec.Raw(b"[]")
    if bytes(memoryview(content)[:1]) != b"[":
        raise BadMessage("its content is no list")
    return ToolAnswer(content, form.structured_content, bytes(form.is_error) == b"true", form.meta)


def id_of(envelope: RpcMessage) -> Id | None:
    """The id that a message names; None: it names none."""
    try:
        id_ = msgspec.json.decode(envelope.id)
    except BROKEN:
        return None
    if isinstance(id_, float) and id_.is_integer():
        return int(id_)
    return id_ if isinstance(id_, int | str) and not isinstance(id_, bool) else None


def _like_an_answer(head: bytes) -> bool:
    return b'"jsonrpc"' in head and (b'"result"' in head or b'"error"' in head)
