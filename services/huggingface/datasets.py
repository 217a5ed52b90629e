"""A user's private Dataset at Hugging Face as a store: commits of many files, reads by revision."""

from __future__ import annotations

import asyncio
import functools
import hashlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import msgspec

from services.huggingface.hub import Hub, HubBusy, HubConflict
from services.huggingface.spaces import blob_id

if TYPE_CHECKING:
    from huggingface_hub import HfApi

_PATHS = 100
"""Paths asked for in one request."""
COMMITS = 5
"""How often a commit is made anew because somebody else's came first, or its answer was lost."""


_Change: TypeAlias = "tuple[Mapping[str, Path | bytes], Sequence[str]]"
"""Files to add, and paths to take away."""


class DatasetFile(msgspec.Struct, frozen=True):
    """A file of the repository."""

    path: str
    size: int
    blob: str
    """How git names its content; of a file in LFS, that of its pointer."""
    sha256: str | None
    """Of a file in LFS."""


class Datasets:
    """Whatever is done is done with the token that is given. Raises HubError."""

    def __init__(self, hub: Hub) -> None:
        self._hub = hub

    async def ensure(self, token: str, repo: str) -> None:
        """Make the private dataset if it is not there."""
        await self._hub.call(
            lambda api: api.create_repo(
                repo, repo_type="dataset", private=True, exist_ok=True, token=token
            )
        )

    async def head(self, token: str, repo: str) -> str:
        """The newest revision. Raises HubMissing."""
        return await self._hub.call(lambda api: str(api.dataset_info(repo, token=token).sha))

    async def existing(
        self, token: str, repo: str, paths: Sequence[str], revision: str
    ) -> dict[str, DatasetFile]:
        """Which of these files there are, by path."""

        def work(api: HfApi) -> dict[str, DatasetFile]:
            found: dict[str, DatasetFile] = {}
            for n in range(0, len(paths), _PATHS):
                part = list(paths[n : n + _PATHS])
                for info in api.get_paths_info(
                    repo, part, repo_type="dataset", revision=revision, token=token
                ):
                    if (entry := _entry(info)) is not None:
                        found[entry.path] = entry
            return found

        return await self._hub.call(work)

    async def commit(
        self, token: str, repo: str, files: Mapping[str, Path | bytes], message: str
    ) -> str:
        """Have these files in the repository, and return a revision that has them all.

        One commit at most, of those that are missing or differ. An answer that is lost is no
        trouble: what has arrived is not sent again.
        """

        def missing(known: Mapping[str, DatasetFile]) -> _Change:
            adds = {path: what for path, what in files.items() if not same(known.get(path), what)}
            return adds, ()

        return await self._change(token, repo, list(files), missing, message)

    async def delete(self, token: str, repo: str, paths: Sequence[str], message: str) -> str:
        """Take files away, and return a revision without them."""

        def there(known: Mapping[str, DatasetFile]) -> _Change:
            return {}, tuple(known)

        return await self._change(token, repo, paths, there, message)

    async def _change(
        self,
        token: str,
        repo: str,
        paths: Sequence[str],
        plan: Callable[[Mapping[str, DatasetFile]], _Change],
        message: str,
    ) -> str:
        attempt = 0
        while True:
            head = await self.head(token, repo)
            known = await self.existing(token, repo, paths, head)
            adds, gone = await asyncio.to_thread(plan, known)
            if not adds and not gone:
                return head
            work = functools.partial(
                _commit, token=token, repo=repo, adds=adds, gone=gone, message=message, head=head
            )
            try:
                return await self._hub.call(work, again=False)
            except (HubConflict, HubBusy):
                attempt += 1
                if attempt == COMMITS:
                    raise
            await asyncio.sleep(0.2 * 2**attempt)

    async def download(self, token: str, repo: str, path: str, revision: str) -> Path:
        """The file in the cache of downloads; fetched if it is not there. Raises HubMissing."""
        return await self._hub.call(
            lambda api: Path(
                api.hf_hub_download(
                    repo,
                    path,
                    repo_type="dataset",
                    revision=revision,
                    cache_dir=self._hub.cache,
                    token=token,
                )
            )
        )

    async def list(
        self, token: str, repo: str, folder: str, revision: str, *, limit: int
    ) -> list[DatasetFile]:
        """Files below a folder, at most so many."""

        def work(api: HfApi) -> list[DatasetFile]:
            found: list[DatasetFile] = []
            for info in api.list_repo_tree(
                repo, folder, repo_type="dataset", revision=revision, token=token
            ):
                if (entry := _entry(info)) is not None:
                    found.append(entry)
                if len(found) >= limit:
                    break
            return found

        return await self._hub.call(work)

    async def trim(self, limit: int) -> int:
        """Take downloads away, those that were used longest ago first, until `limit` bytes are
        left; returns how many bytes were freed."""
        cache = self._hub.cache
        if cache is None or not cache.exists():
            return 0
        return await asyncio.to_thread(_trim, cache, limit)


def same(entry: DatasetFile | None, content: Path | bytes) -> bool:
    """Whether the repository has this content there already."""
    if entry is None:
        return False
    size = content.stat().st_size if isinstance(content, Path) else len(content)
    if entry.size != size:
        return False
    if entry.sha256 is None:
        data = content.read_bytes() if isinstance(content, Path) else content
        return entry.blob == blob_id(data)
    if isinstance(content, bytes):
        return entry.sha256 == hashlib.sha256(content).hexdigest()
    with content.open("rb") as file:
        return entry.sha256 == hashlib.file_digest(file, "sha256").hexdigest()


def _commit(
    api: HfApi,
    *,
    token: str,
    repo: str,
    adds: Mapping[str, Path | bytes],
    gone: Sequence[str],
    message: str,
    head: str,
) -> str:
    from huggingface_hub import CommitOperationAdd, CommitOperationDelete

    changes: list[Any] = [CommitOperationAdd(path, content) for path, content in adds.items()]
    changes += [CommitOperationDelete(path) for path in gone]
    done = api.create_commit(
        repo,
        changes,
        commit_message=message,
        repo_type="dataset",
        parent_commit=head,
        token=token,
        num_threads=2,
    )
    return str(done.oid)


def _entry(info: Any) -> DatasetFile | None:
    if not hasattr(info, "size"):
        return None
    lfs = info.lfs
    return DatasetFile(info.path, int(info.size), str(info.blob_id), lfs.sha256 if lfs else None)


def _trim(cache: Path, limit: int) -> int:
    from huggingface_hub import scan_cache_dir

    found = scan_cache_dir(cache)
    revisions = [
        (max((file.blob_last_accessed for file in one.files), default=0.0), one.commit_hash, one)
        for repo in found.repos
        for one in repo.revisions
    ]
    left, chosen = found.size_on_disk, []
    for _, commit, one in sorted(revisions, key=lambda entry: entry[:2]):
        if left <= limit:
            break
        chosen.append(commit)
        left -= one.size_on_disk
    if not chosen:
        return 0
    strategy = found.delete_revisions(*chosen)
    strategy.execute()
    return int(strategy.expected_freed_size)
