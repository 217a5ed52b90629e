"""A file is written: what it replaces is looked at first, and again where the outcome is open.

Writing the same twice makes one commit, so that whoever heard no answer may simply try again.
"""

from __future__ import annotations

import base64
from typing import Any, Protocol

import msgspec

from services.github import answers, names
from services.github.errors import (
    GitHubBusy,
    GitHubConflict,
    GitHubError,
    GitHubLimited,
    GitHubMissing,
    GitHubRefused,
    GitHubTooLarge,
)
from services.github.shapes import FileWritten, RawWritten, RepositoryFile, blob_id
from services.github.site import Bearer, GitHubSite

MOST_WRITTEN = 10 * 1024 * 1024
"""Bytes of a file that is written."""
LONGEST_MESSAGE = 8192


class Readable(Protocol):
    """What is read before and after."""

    async def resolve(self, owner: str, name: str, ref: str = "") -> str:
        """The commit of a revision."""

    async def file(self, owner: str, name: str, path: str, ref: str = "") -> RepositoryFile:
        """A file."""


class NewContent(msgspec.Struct, frozen=True):
    """What a file shall be."""

    content: bytes
    message: str
    branch: str = ""
    """Empty: the default branch."""
    sha: str = ""
    """The content that it replaces; empty: whatever is there now."""
    start: str = ""
    """Where the branch begins if it is not there; empty: it has to be."""


async def write(
    service: Readable,
    site: GitHubSite,
    bearer: Bearer,
    repository: tuple[str, str],
    path: str,
    wanted: NewContent,
) -> FileWritten:
    """Put a file in its place. Raises GitHubError."""
    owner, name = repository
    where = names.of_repository(owner, name, "contents", names.check_path(path))
    _check(path, wanted)
    if wanted.branch and wanted.start:
        await _branch(service, site, bearer, repository, wanted)
    before = await _present(service, repository, path, wanted.branch)
    if done := _done(path, before, wanted):
        return done
    if wanted.sha and wanted.sha != (before.sha if before else ""):
        raise _conflict(path, before)
    try:
        answer = await site.send(bearer, "PUT", where, _body(before, wanted))
    except GitHubLimited:
        raise
    except (GitHubBusy, GitHubRefused) as error:
        return await _after(service, repository, path, wanted, before, error)
    raw = answers.decoded(answer.body, RawWritten)
    return FileWritten(path, raw.content.sha, raw.commit.sha, created=answer.status == 201)


def _check(path: str, wanted: NewContent) -> None:
    if len(wanted.content) > MOST_WRITTEN:
        text = f"{path[:200]} has {len(wanted.content)} bytes: at most {MOST_WRITTEN} are written"
        raise GitHubTooLarge(text)
    if not wanted.message.strip() or len(wanted.message) > LONGEST_MESSAGE:
        text = f"a commit has a message of 1 to {LONGEST_MESSAGE} characters"
        raise GitHubRefused(text)
    if wanted.sha:
        names.check_commit(wanted.sha)
    if wanted.branch:
        names.check_revision(wanted.branch)


async def _branch(
    service: Readable,
    site: GitHubSite,
    bearer: Bearer,
    repository: tuple[str, str],
    wanted: NewContent,
) -> None:
    """Make the branch unless it is there."""
    try:
        await service.resolve(*repository, f"heads/{wanted.branch}")
    except GitHubMissing:
        commit = await service.resolve(*repository, wanted.start)
        path = names.of_repository(*repository, "git/refs")
        body = msgspec.json.encode({"ref": f"refs/heads/{wanted.branch}", "sha": commit})
        try:
            await site.send(bearer, "POST", path, body)
        except (GitHubConflict, GitHubBusy) as error:
            if isinstance(error, GitHubLimited):
                raise
            # Somebody else was faster, or only the answer was lost.
            await service.resolve(*repository, f"heads/{wanted.branch}")


async def _present(
    service: Readable, repository: tuple[str, str], path: str, branch: str
) -> RepositoryFile | None:
    try:
        return await service.file(*repository, path, f"heads/{branch}" if branch else "")
    except GitHubMissing:
        return None


def _done(path: str, there: RepositoryFile | None, wanted: NewContent) -> FileWritten | None:
    """What to say if the file is as it shall be."""
    if there is None or there.sha != blob_id(wanted.content, there.sha):
        return None
    return FileWritten(path, there.sha, changed=False)


def _body(before: RepositoryFile | None, wanted: NewContent) -> bytes:
    body: dict[str, Any] = {
        "message": wanted.message,
        "content": base64.b64encode(wanted.content).decode(),
    }
    if wanted.branch:
        body["branch"] = wanted.branch
    if before is not None:
        body["sha"] = before.sha
    return msgspec.json.encode(body)


async def _after(
    service: Readable,
    repository: tuple[str, str],
    path: str,
    wanted: NewContent,
    before: RepositoryFile | None,
    error: GitHubError,
) -> FileWritten:
    """How it is, after GitHub has refused it or has not said."""
    try:
        there = await _present(service, repository, path, wanted.branch)
    except GitHubBusy:
        text = f"{error}; whether the file was written is not known: the same again is safe"
        raise GitHubBusy(text) from error
    if there is not None and there.sha == blob_id(wanted.content, there.sha):
        return FileWritten(path, there.sha, created=before is None)
    if (there.sha if there else "") != (before.sha if before else ""):
        raise _conflict(path, there) from error
    raise error


def _conflict(path: str, there: RepositoryFile | None) -> GitHubConflict:
    if there is None:
        return GitHubConflict(f"{path[:200]} is not there: leave `sha` out to make it")
    text = f"{path[:200]} is {there.sha} now: look at it, and name this as `sha` to replace it"
    return GitHubConflict(text, there.sha)
