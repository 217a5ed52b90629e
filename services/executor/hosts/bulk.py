"""Answers of MCP servers that are too big for memory: kept in files, swapped for small stand-ins.

The SDK sees an error result that carries a token; whoever made the call takes the file for it.
Reading 100 MB here takes no memory of our own: the file is mapped, and only looked through.
"""

from __future__ import annotations

import asyncio
import codecs
import mmap
import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple, TypeVar

import msgspec

from contracts.facts import FailureKind
from services.executor.attempt.call import Answer, HostError, Spooled
from services.executor.attempt.spool import IN_MEMORY, Sink
from services.outside.mcp_message import Overflow

T = TypeVar("T")

MARK = "metamcp/spooled"
"""Key in a stand-in's `_meta`; its value is the token."""
UNCLAIMED = 64
"""Files kept for calls that were cancelled and take theirs no more; the oldest go first."""
_CHUNK = 1024 * 1024
_TEXT = 2000
_NULL = msgspec.Raw(b"null")


class _Result(msgspec.Struct, rename="camel"):
    content: msgspec.Raw = msgspec.Raw(b"[]")
    structured_content: msgspec.Raw = _NULL
    is_error: bool = False


class _Message(msgspec.Struct):
    """The parts of a JSON-RPC answer that matter; raw ones are views into the mapped file."""

    id: int | str
    result: _Result | msgspec.UnsetType = msgspec.UNSET


class NoAnswer(ValueError):
    """What lies in the file is no result of a tool call."""


class Bulk:
    """The big answers of one session."""

    def __init__(self, folder: Path, limit: int, at_once: int = 1) -> None:
        """`limit`: bytes of the largest answer, counted as it comes over the wire; `at_once`: calls
        that may be under way, each of which must find its own."""
        self.in_memory = IN_MEMORY
        self._folder = folder
        self._limit = limit
        self._most = at_once + UNCLAIMED
        self._kept: dict[str, Answer] = {}
        self._closed = False

    def begin(self) -> Sink:
        """Collect one JSON-RPC message's bytes in this."""
        return Sink(self._folder, self._limit)

    async def end(self, overflow: Overflow) -> bytes:
        """Return the message, or its stand-in if it lies in a file by now. Raises NoAnswer."""
        assert isinstance(overflow, Sink)
        whole = overflow.finish()
        if isinstance(whole, bytes):
            return whole
        try:
            said, spooled = await in_thread(lambda: _convert(whole.path, self._folder))
        finally:
            whole.remove()
        token = spooled.path.name
        self._kept[token] = said.answer._replace(spooled=spooled)
        while len(self._kept) > (0 if self._closed else self._most):
            self._remove(next(iter(self._kept)))
        result = {"content": [], "isError": True, "resultType": "complete", "_meta": {MARK: token}}
        return msgspec.json.encode({"jsonrpc": "2.0", "id": said.id, "result": result})

    def take(self, meta: Any) -> Answer | None:
        """Return the answer that a result's `_meta` stands for; None if it is no stand-in.

        Raises HostError(CUT) if the answer is not kept any more: it must not pass for a tool's.
        """
        token = meta.get(MARK) if isinstance(meta, dict) else None
        if token is None:
            return None
        answer = self._kept.pop(token, None) if isinstance(token, str) else None
        if answer is None:
            message = "the host has answered, but its big answer is not kept any more"
            raise HostError(FailureKind.CUT, message, called=True)
        return answer

    def close(self) -> None:
        """Remove every file that nobody has taken, and those still to come."""
        self._closed = True
        for token in list(self._kept):
            self._remove(token)

    def _remove(self, token: str) -> None:
        spooled = self._kept.pop(token).spooled
        if spooled is not None:
            spooled.remove()


async def in_thread(work: Callable[[], tuple[T, Spooled]]) -> tuple[T, Spooled]:
    """Run what writes a file; when cancelled, have the file removed once it is there."""
    running = asyncio.create_task(asyncio.to_thread(work))
    try:
        return await asyncio.shield(running)
    except asyncio.CancelledError:
        running.add_done_callback(_discard)
        raise


def _discard(work: asyncio.Task[tuple[Any, Spooled]]) -> None:
    if not work.cancelled() and work.exception() is None:
        work.result()[1].remove()


class _Said(NamedTuple):
    id: int | str
    answer: Answer


def _convert(path: Path, folder: Path) -> tuple[_Said, Spooled]:
    """Write a tool's result in the form in which results are stored."""
    with path.open("rb") as file:
        # Not closed by hand: the raw parts of the message are views into it.
        data = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    try:
        check_text(data)
    except ValueError as error:
        raise NoAnswer(f"it is not UTF-8: {error}") from None
    message = _read(data)
    result = message.result
    if isinstance(result, msgspec.UnsetType):
        raise NoAnswer("it is no result of a tool")
    text = [{"type": "text", "text": _beginning(result.content)}]
    said = _Said(message.id, Answer(text, is_error=result.is_error))
    return said, _write(result, folder)


def _read(data: mmap.mmap) -> _Message:
    try:
        return msgspec.json.decode(data, type=_Message)
    except (msgspec.DecodeError, RecursionError) as error:
        raise NoAnswer(f"it is no JSON-RPC answer: {error}") from None


def check_text(data: mmap.mmap) -> None:
    """Check in little memory that a mapped file is UTF-8. Raises ValueError with what is wrong."""
    decoder = codecs.getincrementaldecoder("utf-8")()
    try:
        for start in range(0, len(data), _CHUNK):
            decoder.decode(data[start : start + _CHUNK])
        decoder.decode(b"", final=True)
    except UnicodeDecodeError as error:
        raise ValueError(error.reason) from None


def _beginning(content: msgspec.Raw) -> str:
    """The first characters of an answer, for a message."""
    return bytes(memoryview(content)[:_TEXT]).decode("utf-8", "ignore")


def _write(result: _Result, folder: Path) -> Spooled:
    descriptor, name = tempfile.mkstemp(prefix="result-", suffix=".json", dir=folder)
    path = Path(name)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(b'{"content":')
            _copy(result.content, file)
            file.write(b',"structured":')
            _copy(result.structured_content, file)
            file.write(b',"is_error":true}' if result.is_error else b',"is_error":false}')
            return Spooled(path, file.tell())
    except BaseException:
        path.unlink(missing_ok=True)
        raise


def _copy(raw: msgspec.Raw, file: BinaryIO) -> None:
    view = memoryview(raw)
    for start in range(0, len(view), _CHUNK):
        file.write(view[start : start + _CHUNK])


async def together(answers: dict[str, Answer], folder: Path) -> Spooled:
    """Write several answers, some of them in files, as one result in a file."""
    return (await in_thread(lambda: (None, _together(answers, folder))))[1]


def _together(answers: dict[str, Answer], folder: Path) -> Spooled:
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    descriptor, name = tempfile.mkstemp(prefix="result-", suffix=".json", dir=folder)
    path = Path(name)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(b'{"outputs":{')
            for number, (key, answer) in enumerate(answers.items()):
                file.write(b"," if number else b"")
                file.write(msgspec.json.encode(key) + b":")
                _append(answer, file)
            file.write(b"}}")
            return Spooled(path, file.tell())
    except BaseException:
        path.unlink(missing_ok=True)
        raise


def _append(answer: Answer, file: BinaryIO) -> None:
    if answer.spooled is None:
        file.write(msgspec.json.encode(answer.wire()))
        return
    with answer.spooled.path.open("rb") as part:
        while chunk := part.read(_CHUNK):
            file.write(chunk)


def too_big_to_use(output: str, answer: Answer) -> HostError:
    """The error of a step that names an answer which lies in a file."""
    assert answer.spooled is not None
    message = f"step.{output} has {answer.spooled.size} bytes: too big to be used by another step"
    return HostError(FailureKind.TOO_LARGE, message, called=True)
