"""The tools' answers of one session, kept for whoever has made the calls: the SDK sees stand-ins.

What is too big for memory is kept in files. Reading 100 MB here takes no memory of our own: the
file is mapped, and only looked through.
"""

from __future__ import annotations

import asyncio
import codecs
import contextlib
import mmap
import os
import secrets
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple, TypeVar

import msgspec

from contracts.facts import FailureKind
from services.executor.attempt.call import Answer, HostError, Spooled, own_meta
from services.executor.attempt.spool import IN_MEMORY, Sink
from services.outside.mcp_errors import BadMessage, Id, decoded
from services.outside.mcp_message import Overflow
from services.outside.mcp_reading import (
    PLAIN,
    STAND_IN,
    McpReader,
    RpcMessage,
    ToolAnswer,
    opened,
    tool_answer,
)
from services.outside.mcp_repair import OVERLAP, Beyond, repaired, suspect
from services.process.files import private

T = TypeVar("T")
S = TypeVar("S", Spooled, Spooled | None)

UNCLAIMED = 64
"""Answers kept for calls that were cancelled and take theirs no more; the oldest go first."""
_CHUNK = 256 * 1024
_TEXT = 2000


class Bulk:
    """The answers of one session."""

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

    def keep(self, answer: ToolAnswer) -> str:
        """See `mcp_reading.Results`."""
        content = decoded(answer.content)
        structured = decoded(answer.structured)
        return self._keep(Answer(content, structured, answer.is_error, _meta(answer)))

    async def end(self, overflow: Overflow, reader: McpReader, wanted: Id | None) -> bytes:
        """See `mcp_reading.LongMessages`."""
        assert isinstance(overflow, Sink)
        whole = overflow.finish()
        assert isinstance(whole, Spooled)
        try:
            found, spooled = await in_thread(lambda: self._read(whole.path, reader, wanted))
        finally:
            whole.remove()
        if isinstance(found, bytes):
            return found
        return reader.stand_in(found.id, self._keep(found.answer._replace(spooled=spooled)))

    def take(self, meta: Any) -> Answer:
        """Return the answer that a result's `_meta` stands for.

        Raises HostError(CUT) if the answer is not kept any more: it must not pass for a tool's.
        """
        token = meta.get(STAND_IN) if isinstance(meta, dict) else None
        answer = self._kept.pop(token, None) if isinstance(token, str) else None
        if answer is None:
            message = "the host has answered, but its answer is not kept any more"
            raise HostError(FailureKind.CUT, message, called=True)
        return answer

    def close(self) -> None:
        """Remove every file that nobody has taken, and those still to come."""
        self._closed = True
        for token in list(self._kept):
            self._remove(token)

    def _keep(self, answer: Answer) -> str:
        token = secrets.token_hex(8)
        self._kept[token] = answer
        while len(self._kept) > (0 if self._closed else self._most):
            self._remove(next(iter(self._kept)))
        return token

    def _remove(self, token: str) -> None:
        spooled = self._kept.pop(token).spooled
        if spooled is not None:
            spooled.remove()

    def _read(
        self, path: Path, reader: McpReader, wanted: Id | None
    ) -> tuple[_Said | bytes, Spooled | None]:
        """A tool's answer in the form in which results are stored; of others the message."""
        data, envelope = _sound(path)
        id_ = reader.answers_call(envelope, wanted)
        answer = tool_answer(envelope.result) if id_ is not None else None
        if id_ is not None and answer is not None:
            text = [{"type": "text", "text": _beginning(answer.content)}]
            said = _Said(id_, Answer(text, is_error=answer.is_error))
            return said, _write(answer, self._folder)
        if len(data) <= PLAIN:
            return reader.one(envelope, data[:], wanted), None
        if envelope.failed:
            return reader.one(envelope, b"", wanted), None
        raise BadMessage(f"it has {len(data)} bytes, more than {PLAIN}")


class _Said(NamedTuple):
    id: Id
    answer: Answer


async def in_thread(work: Callable[[], tuple[T, S]]) -> tuple[T, S]:
    """Run what may write a file; when cancelled, have the file removed once it is there."""
    running = asyncio.create_task(asyncio.to_thread(work))
    try:
        return await asyncio.shield(running)
    except asyncio.CancelledError:
        running.add_done_callback(_discard)
        raise


def _discard(work: asyncio.Task[tuple[Any, Any]]) -> None:
    if not work.cancelled() and work.exception() is None:
        spooled = work.result()[1]
        if spooled is not None:
            spooled.remove()


def _sound(path: Path) -> tuple[mmap.mmap, RpcMessage]:
    """The message in a file, repaired if need be. Raises BadMessage."""
    data = _mapped(path)
    try:
        check_text(data)
    except ValueError as error:
        raise BadMessage(f"it is not UTF-8: {error}") from None
    if data[:3] != codecs.BOM_UTF8 and not any(map(suspect, _parts(data, OVERLAP))):
        # What is no JSON is looked at once more, after the repair.
        with contextlib.suppress(BadMessage):
            return data, _opened(data)
    mended = path.with_suffix(".mended")
    try:
        with open(mended, "wb", opener=private) as file:
            file.writelines(repaired(_parts(data)))
        data = _mapped(mended)
    except Beyond as why:
        raise BadMessage(str(why)) from None
    finally:
        mended.unlink(missing_ok=True)
    return data, _opened(data)


def _opened(data: mmap.mmap) -> RpcMessage:
    envelope = opened(data)
    assert isinstance(envelope, RpcMessage)
    return envelope


def _mapped(path: Path) -> mmap.mmap:
    with path.open("rb") as file:
        # Not closed by hand: the raw parts of the message are views into it.
        return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)


def _parts(data: mmap.mmap, overlap: int = 0) -> Iterator[bytes]:
    for start in range(0, len(data), _CHUNK):
        yield data[start : start + _CHUNK + overlap]


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


def _write(answer: ToolAnswer, folder: Path) -> Spooled:
    descriptor, name = tempfile.mkstemp(prefix="result-", suffix=".json", dir=folder)
    path = Path(name)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(b'{"content":')
            _copy(answer.content, file)
            file.write(b',"structured":')
            _copy(answer.structured, file)
            file.write(b',"is_error":true' if answer.is_error else b',"is_error":false')
            if meta := _meta(answer):
                file.write(b',"meta":' + msgspec.json.encode(meta))
            file.write(b"}")
            return Spooled(path, file.tell())
    except BaseException:
        path.unlink(missing_ok=True)
        raise


def _meta(answer: ToolAnswer) -> dict[str, Any] | None:
    """What is kept of `_meta`; of one that is bigger than any sense, nothing."""
    return own_meta(decoded(answer.meta)) if len(memoryview(answer.meta)) <= IN_MEMORY else None


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
