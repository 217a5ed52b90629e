"""Names of owners, repositories, paths and revisions, checked, and the paths of the API made of
them. Pure: nothing that is let through here can lead to another place of the API."""

from __future__ import annotations

import re
from urllib.parse import quote

from services.github.errors import GitHubRefused

LONGEST_PATH = 4096
LONGEST_REVISION = 250
MOST_SEGMENTS = 128
_OWNER = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,99}")
_REPOSITORY = re.compile(r"[A-Za-z0-9_.-]{1,100}")
_COMMIT = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
# As `git check-ref-format` has it.
_NO_REVISION = re.compile(
    r"[\x00-\x20\x7f~^:?*\[\\]|\.\.|@\{|//|\.lock(?:/|$)|(?:^|/)\.|^[/-]|[/.]$"
)


def of_repository(owner: str, name: str, *more: str) -> str:
    """The API's path of a repository, and of what is below it; `more` is put into it as it is.

    Raises GitHubRefused.
    """
    if not _OWNER.fullmatch(owner):
        raise GitHubRefused(f"{owner[:60]!r} is no name of an owner at GitHub")
    check_repository(name)
    return "/".join(("/repos", owner, name, *more))


def check_repository(name: str) -> str:
    """Return the name of a repository. Raises GitHubRefused."""
    if not _REPOSITORY.fullmatch(name) or name in (".", ".."):
        raise GitHubRefused(f"{name[:60]!r} is no name of a repository at GitHub")
    return name


def is_commit(text: str) -> bool:
    """Whether this is the whole name of a commit."""
    return _COMMIT.fullmatch(text) is not None


def check_commit(sha: str) -> str:
    """Return the name of a commit. Raises GitHubRefused."""
    if not is_commit(sha):
        raise GitHubRefused(f"{sha[:70]!r} is no commit: expected its 40 or 64 hex digits")
    return sha


def check_revision(revision: str) -> str:
    """Return a branch, tag or commit as it can be in an URL. Raises GitHubRefused."""
    fits = 0 < len(revision.encode("utf-8", "replace")) <= LONGEST_REVISION
    if not fits or revision == "@" or _NO_REVISION.search(revision) or not _encodes(revision):
        raise GitHubRefused(f"{revision[:60]!r} is no branch, tag or commit")
    return quote(revision, safe="/")


def check_path(path: str, *, folder: bool = False) -> str:
    """Return a path inside a repository as it can be in an URL. Raises GitHubRefused.

    `folder`: an empty one, for the whole repository, and a slash at the end are all right.
    """
    inside = path.removesuffix("/") if folder else path
    if folder and not inside:
        return ""
    if not _encodes(inside) or len(inside.encode()) > LONGEST_PATH or _CONTROL.search(inside):
        text = f"at most {LONGEST_PATH} bytes, no control characters"
        raise GitHubRefused(f"{path[:60]!r} is no path in a repository: {text}")
    segments = inside.split("/")
    if len(segments) > MOST_SEGMENTS or any(one in ("", ".", "..") for one in segments):
        text = "without /, . or .. at its ends or between"
        raise GitHubRefused(f"{path[:60]!r} is no path in a repository: {text}")
    return quote(inside, safe="/")


def _encodes(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
