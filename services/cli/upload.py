"""Uploads: a file as it is, or many as one archive; never more than a part of it in memory."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import io
import tempfile
from collections.abc import AsyncIterator, Sequence
from typing import IO, Any

from rich.filesize import decimal

from services.cli.bar import Moved, bar
from services.cli.client import Api
from services.cli.common import CliError, Exit, Out
from services.cli.folder import LocalFile, Unreadable, read
from services.cli.show.tasks import plain
from services.packed.wanted import MOST_BYTES
from services.packed.writer import MEDIA_TYPE, Archive

PART = 256 * 1024
_BREATH = 64
"""Files that are packed before Ctrl-C is looked for."""


async def upload_file(api: Api, out: Out, entry: LocalFile, most: int) -> Any:
    """Store one file; the answer is the pointer to it. Raises CliError."""
    if entry.size > most:
        text = f"{entry.name} has {decimal(entry.size)}; one upload may have {decimal(most)}"
        raise CliError(Exit.USAGE, f"{text} (max_blob_bytes).")
    try:
        # What can be read once only has been read.
        held = io.BytesIO(entry.data) if entry.data is not None else entry.path.open("rb")
    except OSError as error:
        raise CliError(Exit.USAGE, f"{entry.path} can't be read: {error.strerror}.") from None
    with held as file, bar(out, f"sending {plain(entry.name, 40)}") as moved:
        return await _upload(api, file, entry.size, "application/octet-stream", moved)


async def upload_archive(api: Api, out: Out, files: Sequence[LocalFile], most: int) -> Any:
    """Store many files as one archive; the answer is the pointer to it. Raises CliError."""
    with contextlib.ExitStack() as stack:
        try:
            spool = stack.enter_context(tempfile.TemporaryFile(prefix="metamcp-"))
            size = await _pack(out, files, spool)
        except OSError as error:
            text = f"The archive can't be put into a temporary file: {error.strerror}."
            raise CliError(Exit.FAILED, text, "Name another folder with TMPDIR.") from None
        if size > most:
            text = f"The files are {decimal(size)} packed; one upload may have {decimal(most)}"
            raise CliError(Exit.USAGE, f"{text} (max_blob_bytes).", "Name a smaller folder.")
        spool.seek(0)
        with bar(out, "sending") as moved:
            return await _upload(api, spool, size, MEDIA_TYPE, moved)


async def _pack(out: Out, files: Sequence[LocalFile], spool: IO[bytes]) -> int:
    total, done, gone = sum(entry.size for entry in files), 0, 0
    with bar(out, "packing") as moved, Archive(spool) as archive:
        for number, entry in enumerate(sorted(files, key=lambda one: one.name)):
            try:
                archive.add(entry.name, read(entry, max(entry.size, MOST_BYTES)))
            except Unreadable:
                gone += 1
            done += entry.size
            moved(done, total)
            if number % _BREATH == 0:
                await asyncio.sleep(0)
    if gone and not out.as_json:
        out.note(f"{gone:,} of the files could not be read any more and did not go along")
    return archive.size


async def _upload(api: Api, stream: IO[bytes], size: int, media_type: str, moved: Moved) -> Any:
    digest = hashlib.sha256()

    async def parts() -> AsyncIterator[bytes]:
        sent = 0
        while sent < size and (data := stream.read(min(PART, size - sent))):
            sent += len(data)
            digest.update(data)
            yield data
            moved(sent, size)
        if sent < size:
            raise CliError(Exit.FAILED, "The file became shorter while it was sent.", "Try again.")

    pointer = await api.put_file(parts(), size, media_type)
    if pointer.get("sha256", digest.hexdigest()) != digest.hexdigest():
        raise CliError(Exit.FAILED, "What was stored is not what was sent.", "Try again.")
    return pointer
