"""Where the bytes of results are: in the log, in the object store, in a user's Dataset.

One protocol: bring a result's bytes into a local file. Whoever reads it checks the digest. A new
place is a class here, and a line in `Sources`.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Protocol

from contracts.account import Provider
from contracts.errors import Reason, Rejected
from contracts.facts import JobDone, JobFailed
from contracts.result import Inline, Kept, Pointer
from services.huggingface.datasets import Datasets
from services.huggingface.hub import HubDenied, HubError, HubMissing
from services.keys.accounts import Accounts
from services.keys.vault import VaultError
from services.log.port import Log, LogUnavailable
from services.process import telemetry
from services.results import domain
from services.results.domain import Place
from services.store.blobs import BlobCorrupt, BlobMissing, Blobs, StoreError

log = telemetry.get_logger()


class Source(Protocol):
    """One kind of place."""

    async def fetch(self, kept: Kept, folder: Path) -> Path:
        """Return a file with the result's bytes: a new one in `folder`, or one of the source's own.

        Raises Rejected: NOT_FOUND, DIGEST_MISMATCH, UNAVAILABLE.
        """


class InLog:
    """Small results stand in `job.done` itself, or in `job.failed`."""

    def __init__(self, log: Log) -> None:
        self._log = log

    async def value(self, kept: Kept) -> bytes:
        """The bytes, verified. Raises Rejected."""
        try:
            record = await self._log.at(kept.seq)
        except LogUnavailable as error:
            raise Rejected(Reason.UNAVAILABLE, f"the log does not answer: {error}") from None
        if record is None or not isinstance(record.fact, JobDone | JobFailed):
            raise Rejected(Reason.NOT_FOUND, f"the log has lost the result of task {kept.task}")
        if not isinstance(record.fact.result, Inline):
            text = f"task {kept.task} has another kind of result"
            raise Rejected(Reason.DIGEST_MISMATCH, text)
        return domain.checked(record.fact.result)

    async def fetch(self, kept: Kept, folder: Path) -> Path:
        """See `Source`."""
        path = folder / kept.sha256
        path.write_bytes(await self.value(kept))
        return path


class InStore:
    """Big results in the NATS object store."""

    def __init__(self, blobs: Blobs) -> None:
        self._blobs = blobs

    async def fetch(self, kept: Kept, folder: Path) -> Path:
        """See `Source`."""
        pointer = Pointer(kept.uri, kept.sha256, kept.size, kept.media_type)
        return await written(self.parts(pointer), folder / kept.sha256)

    async def parts(self, pointer: Pointer) -> AsyncIterator[bytes]:
        """The bytes, with what goes wrong in our words. Raises Rejected."""
        try:
            async for part in self._blobs.get(pointer):
                yield part
        except BlobMissing as error:
            raise Rejected(Reason.NOT_FOUND, str(error)) from error
        except BlobCorrupt as error:
            raise Rejected(Reason.DIGEST_MISMATCH, str(error)) from error
        except StoreError as error:
            log.warning("blob_not_read", error=str(error))
            raise Rejected(Reason.UNAVAILABLE, "the object store does not answer") from error


class DatasetSource:
    """Big results in the Dataset of a user's linked account."""

    def __init__(self, datasets: Datasets, accounts: Accounts) -> None:
        self._datasets = datasets
        self._accounts = accounts

    async def fetch(self, kept: Kept, folder: Path) -> Path:
        """See `Source`; the file is one of the cache of downloads."""
        place = domain.in_dataset(kept.uri)
        if place is None:
            raise Rejected(Reason.NOT_FOUND, f"{kept.uri} is no place that results are kept in")
        token = await self._token(kept.user)
        try:
            return await self._datasets.download(token, place.repo, place.path, place.revision)
        except HubMissing as error:
            text = f"the result of task {kept.task} is gone from {place.repo}: {error}"
            raise Rejected(Reason.NOT_FOUND, text) from None
        except HubDenied as error:
            raise Rejected(Reason.UNAVAILABLE, str(error)) from None
        except HubError as error:
            raise Rejected(Reason.UNAVAILABLE, str(error)) from None

    async def _token(self, user: str) -> str:
        try:
            token = await self._accounts.token(user, Provider.HUGGINGFACE)
        except (StoreError, VaultError) as error:
            log.warning("account_not_read", user=user, error=str(error))
            raise Rejected(Reason.UNAVAILABLE, "the account can't be asked now") from None
        if token is None:
            raise Rejected(
                Reason.UNAVAILABLE,
                "the result lies in a Hugging Face Dataset of an account that is not linked any"
                " more: `metamcp link huggingface`",
            )
        return token


class Sources:
    """The right source for each result."""

    def __init__(self, in_log: InLog, in_store: InStore, in_dataset: DatasetSource) -> None:
        self._by_place: Mapping[Place, Source] = {
            "inline": in_log,
            "object_store": in_store,
            "dataset": in_dataset,
        }

    async def fetch(self, kept: Kept, folder: Path) -> Path:
        """See `Source`."""
        return await self._by_place[domain.place_of(kept.uri)].fetch(kept, folder)


async def written(parts: AsyncIterator[bytes], path: Path) -> Path:
    """Write the parts into a file of its own; nothing is left of it when they end with an error."""
    whole = False
    try:
        with path.open("wb") as file:
            async for part in parts:
                file.write(part)
        whole = True
    finally:
        if not whole:
            await asyncio.to_thread(path.unlink, missing_ok=True)
    return path
