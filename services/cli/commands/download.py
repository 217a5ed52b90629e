"""Downloads of results: what breaks off is resumed, and only what has the right digest counts."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import hashlib
import os
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import BinaryIO, Protocol

import msgspec

from services.cli.client import Api
from services.cli.common import CliError, Exit
from services.cli.http import httpx

TRIES = 5
"""Answers in a row that may break off without one new byte."""
FIRST_DELAY, LAST_DELAY = 0.2, 5.0
_TAG = re.compile(r'"[\x21\x23-\x7e]{1,200}"')
_RANGE = re.compile(r"bytes (?:(\d{1,18})-\d{1,18}|\*)/(\d{1,18})")


class Head(msgspec.Struct, frozen=True):
    """What an answer says before its bytes."""

    start: int
    """Where its bytes belong."""
    size: int | None
    """Bytes of the whole."""
    tag: str
    """Strong entity tag; empty: the download can't be resumed."""
    sha256: str
    media_type: str
    nothing: bool = False
    """The bytes that were asked for are not there: it is complete, or another one."""


class Cut(Exception):
    """The answer broke off."""


class DownloadSink(Protocol):
    """Where the bytes go; `at` of them are there, of what has the entity tag `tag`."""

    at: int
    tag: str

    def begin(self, head: Head) -> None:
        """Start over with this one. Raises CliError if that can't be."""

    def write(self, data: bytes) -> None:
        """Take what follows."""

    def sha256(self) -> str:
        """Digest of all there is."""

    def forget(self) -> None:
        """The bytes are the wrong ones: don't go on with them."""


Moved = Callable[[int, int | None], None]
"""Is told how many bytes there are, and of how many."""


def head_of(status: int, headers: Mapping[str, str]) -> Head:
    """Read the head of an answer; names of headers are in lower case."""
    tag = headers.get("etag", "")
    found = _RANGE.fullmatch(headers.get("content-range", ""))
    size = headers.get("content-length", "")
    # The length of a compressed answer says nothing about the bytes that come out of it.
    known = size.isascii() and size.isdigit() and "content-encoding" not in headers
    head = Head(
        start=0,
        size=int(size) if known else None,
        tag=tag if _TAG.fullmatch(tag) else "",
        sha256=headers.get("x-content-sha256", "").lower(),
        media_type=headers.get("content-type", ""),
    )
    if status not in (206, 416):
        return head
    start = -1 if found is None or found[1] is None else int(found[1])
    size_of_all = int(found[2]) if found is not None else None
    return msgspec.structs.replace(head, start=start, size=size_of_all, nothing=status == 416)


async def download(api: Api, path: str, sink: DownloadSink, moved: Moved) -> Head:
    """Bring all bytes of `path` into the sink, the digest checked. Raises CliError."""
    best, failures, answered = sink.at, 0, False
    while True:
        try:
            head = await _once(api, path, sink, moved)
            break
        except (Cut, CliError) as error:
            if isinstance(error, CliError) and not (answered and error.code is Exit.UNREACHABLE):
                raise
            answered = True
            failures = 0 if sink.at > best else failures + 1
            best = max(best, sink.at)
            if failures == TRIES:
                text = f"The result broke off after {sink.at} bytes: {error}"
                hint = "The same command again goes on where it stopped, if it writes a file."
                raise CliError(Exit.FAILED, text, hint) from None
        await asyncio.sleep(min(LAST_DELAY, FIRST_DELAY * 2.0**failures))
    if head.sha256 and sink.sha256() != head.sha256:
        sink.forget()
        raise CliError(
            Exit.FAILED,
            f"The bytes are not those of the result: their digest is not {head.sha256[:64]}.",
            "Try again, or see `metamcp results verify TASK`.",
        )
    return head


async def _once(api: Api, path: str, sink: DownloadSink, moved: Moved) -> Head:
    headers = {"Accept-Encoding": "identity"}
    if sink.at and sink.tag:
        headers |= {"Range": f"bytes={sink.at}-", "If-Range": sink.tag}
    async with api.stream(path, headers) as answer:
        head = head_of(answer.status_code, answer.headers)
        if head.nothing:
            if head.size == sink.at and head.tag == sink.tag:
                return head
            sink.forget()
            raise Cut("the result is another one now")
        if head.start == 0:
            sink.begin(head)
        elif head.start != sink.at or head.tag != sink.tag:
            sink.forget()
            raise Cut("the gateway answered another part than was asked for")
        moved(sink.at, head.size)
        try:
            async for data in answer.aiter_bytes():
                sink.write(data)
                moved(sink.at, head.size)
        except httpx.HTTPError as error:
            raise Cut(str(error) or type(error).__name__) from None
    if head.size is not None and sink.at != head.size:
        raise Cut(f"{head.size} bytes were to come")
    return head


class ToStream:
    """Writes to a stream, which can't be taken back."""

    def __init__(self, stream: BinaryIO) -> None:
        self.at = 0
        self.tag = ""
        self._stream = stream
        self._digest = hashlib.sha256()

    def begin(self, head: Head) -> None:
        """Take the first bytes. Raises CliError if others were written."""
        if self.at:
            raise CliError(
                Exit.FAILED,
                f"The result broke off after {self.at} bytes, and can't be gone on with.",
                "Try again with -o FILE.",
            )
        self.tag = head.tag

    def write(self, data: bytes) -> None:
        """Take what follows."""
        self._stream.write(data)
        self._count(data)

    def _count(self, data: bytes) -> None:
        self._digest.update(data)
        self.at += len(data)

    def _restart(self) -> None:
        self._digest = hashlib.sha256()
        self.at = 0

    def sha256(self) -> str:
        """Digest of all that was written."""
        return self._digest.hexdigest()

    def forget(self) -> None:
        """Nothing can be taken back."""
        self.tag = ""


class ToFile:
    """Writes to FILE.part, which takes the place of FILE at the end only.

    What is there of an earlier download is gone on with: its entity tag is in FILE.part.etag.
    Raises OSError; CliError while another process does the same. Close it.
    """

    def __init__(self, path: Path) -> None:
        self._path = path.resolve()
        self._part = self._path.with_name(f"{self._path.name}.part")
        self._tagged = self._path.with_name(f"{self._path.name}.part.etag")
        self._file = os.fdopen(os.open(self._part, os.O_RDWR | os.O_CREAT, 0o666), "r+b")
        self.at = 0
        self.tag = ""
        self._digest = hashlib.sha256()
        try:
            self._lock()
            self._resume()
        except BaseException:
            self._file.close()
            raise

    def _lock(self) -> None:
        with contextlib.suppress(OSError):
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            # Whoever had it until now may have moved it away since it was opened.
            if os.path.samestat(os.fstat(self._file.fileno()), self._part.stat()):
                return
        raise CliError(
            Exit.FAILED,
            f"{self._part} is being written by another download.",
            "Wait for it, or name another file.",
        )

    def _resume(self) -> None:
        try:
            with self._tagged.open() as file:
                tag = file.read(300)
        except (FileNotFoundError, UnicodeDecodeError):
            return
        if _TAG.fullmatch(tag):
            while data := self._file.read(1024 * 1024):
                self._digest.update(data)
                self.at += len(data)
            self.tag = tag

    def begin(self, head: Head) -> None:
        """Start over. The tag is written when nothing of another one is left."""
        self.forget()
        if head.tag:
            self._tagged.write_text(head.tag)
        self.tag = head.tag

    def write(self, data: bytes) -> None:
        """Take what follows."""
        self._file.write(data)
        self._digest.update(data)
        self.at += len(data)

    def sha256(self) -> str:
        """Digest of all there is."""
        return self._digest.hexdigest()

    def forget(self) -> None:
        """Throw away what is there."""
        self._tagged.unlink(missing_ok=True)
        self._file.seek(0)
        self._file.truncate()
        self._digest = hashlib.sha256()
        self.at, self.tag = 0, ""

    def finish(self) -> None:
        """Put it in the place of FILE."""
        self._file.flush()
        os.fsync(self._file.fileno())
        self._part.replace(self._path)
        self._tagged.unlink(missing_ok=True)
        self._file.close()

    def close(self) -> None:
        """Leave what can be gone on with, and nothing else."""
        if self._file.closed:
            return
        try:
            if not (self.at and self.tag):
                self._tagged.unlink(missing_ok=True)
                self._part.unlink(missing_ok=True)
        finally:
            self._file.close()
