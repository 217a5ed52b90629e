"""Errors of servers, told apart from our own by a mark that everything a server says gets here.

A server can say any code, so no code says who has made an error. What has come from a server
carries the mark, whatever it tries; what has none was made on this side.
"""

from __future__ import annotations

import contextlib
from typing import Any, TypeAlias

import msgspec
from mcp import MCPError

from services.outside.mcp_message import error
from services.outside.mcp_repair import Beyond, repaired

Id: TypeAlias = int | str

THEIRS = "metamcp/said"
"""Key in the data of every error that a server has made; its value is the data that came."""
_WORDS = 64 * 1024
"""Bytes of an error's words."""
_NULL = msgspec.Raw(b"null")
BROKEN = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError, Beyond)
"""What decoders raise."""


class BadMessage(ValueError):
    """A message can't be understood; the text says why."""


class GivenUp(BadMessage):
    """An answer that nobody waits for any more."""


class StrayAnswer(BadMessage):
    """An answer to nothing that was asked, or a second one: whose the next one is nobody knows."""


class _ErrorForm(msgspec.Struct):
    code: msgspec.Raw = _NULL
    message: msgspec.Raw = _NULL
    data: msgspec.Raw = _NULL


def mended(text: bytes) -> bytes:
    """See `mcp_repair`. Raises Beyond."""
    return b"".join(repaired([text]))


def decoded(raw: bytes | msgspec.Raw) -> Any:
    """The value, repaired if need be. Raises BadMessage."""
    with contextlib.suppress(*BROKEN):
        return msgspec.json.decode(raw)
    try:
        return msgspec.json.decode(mended(bytes(raw)))
    except BROKEN as why:
        raise BadMessage(reason_of(why)) from None


def said_error(id_: Id, raw: msgspec.Raw) -> bytes:
    """A server's error as the SDK takes it, with the mark that it is one."""
    form = _form(raw)
    code, text = _plain(form.code), message_of(raw)
    if not isinstance(code, int) or isinstance(code, bool):
        number = isinstance(code, float) and code.is_integer()
        text = text if code is None or number else f"{code}: {text}"
        code = int(code) if number else 0
    data = _plain(form.data)
    marked = (data if isinstance(data, dict) else {}) | {THEIRS: data}
    return error(id_, code, text, marked)


def message_of(raw: msgspec.Raw) -> str:
    """What an error says."""
    words = _plain(_form(raw).message)
    return "" if words is None else words if isinstance(words, str) else str(words)


def _form(raw: msgspec.Raw) -> _ErrorForm:
    try:
        return msgspec.json.decode(raw, type=_ErrorForm)
    except BROKEN:
        return _ErrorForm(message=raw)


def theirs(failure: BaseException) -> bool:
    """Whether the server has said this; else it was made on this side."""
    return isinstance(failure, MCPError) and (
        isinstance(failure.data, dict) and THEIRS in failure.data
    )


def data_of(failure: MCPError) -> Any:
    """The data of an error as the server has sent it."""
    return failure.data[THEIRS] if theirs(failure) else None


def said_by(failure: MCPError) -> MCPError:
    """The server's own error that one of ours was put in the place of; else that one."""
    inner = failure.data.get("error") if isinstance(failure.data, dict) else None
    if theirs(failure) or inner is None:
        return failure
    told = msgspec.json.decode(said_error(0, msgspec.Raw(msgspec.json.encode(inner))))["error"]
    return MCPError(told["code"], told["message"], told["data"])


def _plain(raw: msgspec.Raw) -> Any:
    """A part of an error, as far as it can be read."""
    view = memoryview(raw)
    if len(view) > _WORDS:
        return bytes(view[:_WORDS]).decode("utf-8", "ignore").lstrip('"')
    try:
        return decoded(raw)
    except BadMessage:
        return bytes(view).decode("utf-8", "replace")


def reason_of(why: BaseException) -> str:
    """What is wrong with a text that can't be decoded."""
    match why:
        case UnicodeDecodeError():
            return f"it is not UTF-8: {why.reason}"
        case RecursionError():
            return "it is nested too deep"
        case Beyond():
            return str(why)
        case _:
            return f"it is no JSON-RPC message: {why}"
