"""What is told of repositories, and how it is read from GitHub's answers. Pure."""

from __future__ import annotations

import base64
import binascii
import hashlib
from typing import Any

import msgspec

from services.github.errors import GitHubError


class GitHubPerson(msgspec.Struct, frozen=True):
    """Whose the linked account is."""

    login: str
    id: int = 0
    name: str = ""
    email: str = ""
    """Empty: it is not public."""
    url: str = ""
    scopes: tuple[str, ...] = ()
    """What the token allows; tokens with fine-grained rights say nothing of them."""


class GitHubRepository(msgspec.Struct, frozen=True):
    """A repository as the linked account sees it."""

    full_name: str
    """`owner/name`."""
    default_branch: str
    private: bool
    description: str = ""
    fork: bool = False
    archived: bool = False
    """Nobody can write to it."""
    size_kib: int = 0
    url: str = ""
    updated_at: str = ""
    pushed_at: str = ""
    may_write: bool = False


class RepositoryPage(msgspec.Struct, frozen=True):
    """Some of the repositories; `more`: there is another page."""

    repositories: tuple[GitHubRepository, ...]
    more: bool


class GitHubBranch(msgspec.Struct, frozen=True):
    """A branch, and the commit it is at."""

    name: str
    commit: str
    protected: bool = False


class BranchPage(msgspec.Struct, frozen=True):
    """Some of the branches; `more`: there is another page."""

    branches: tuple[GitHubBranch, ...]
    more: bool


class RepositoryEntry(msgspec.Struct, frozen=True):
    """Something in a folder of a repository."""

    path: str
    type: str
    """`file`, `dir`, `symlink` or `submodule`."""
    sha: str
    size: int = 0


class RepositoryFile(msgspec.Struct, frozen=True):
    """A file of a repository."""

    path: str
    sha: str
    """Name of its content, as git makes it."""
    size: int
    content: bytes | None
    """None: it is a bigger one, and read by `sha`."""


class TreeEntry(msgspec.Struct, frozen=True):
    """A path of a commit."""

    path: str
    mode: str
    """As git has it: 100644, 100755, 120000 for a link, 160000 for a submodule, 040000."""
    type: str
    sha: str
    size: int = 0


class FileWritten(msgspec.Struct, frozen=True):
    """A file that is in a repository now."""

    path: str
    sha: str
    commit: str = ""
    """Empty: no commit was made now."""
    created: bool = False
    changed: bool = True
    """False: it had this content already."""


class RawPerson(msgspec.Struct):
    """As GitHub says it."""

    login: str
    id: int = 0
    name: str | None = None
    email: str | None = None
    html_url: str = ""


class RawRepository(msgspec.Struct):
    """As GitHub says it."""

    full_name: str
    default_branch: str
    private: bool = False
    description: str | None = None
    fork: bool = False
    archived: bool = False
    size: int = 0
    html_url: str = ""
    updated_at: str | None = None
    pushed_at: str | None = None
    permissions: dict[str, bool] = {}


class RawObject(msgspec.Struct):
    """As GitHub names a git object."""

    sha: str


class RawBranch(msgspec.Struct):
    """As GitHub says it."""

    name: str
    commit: RawObject
    protected: bool = False


class RawContent(msgspec.Struct):
    """As GitHub says what lies at a path."""

    path: str
    sha: str
    type: str
    size: int = 0
    content: str = ""
    encoding: str = ""
    git_url: str | None = None


class RawTree(msgspec.Struct):
    """As GitHub says it."""

    tree: list[dict[str, Any]]
    truncated: bool = False


class RawWritten(msgspec.Struct):
    """As GitHub says that a file was written."""

    content: RawContent
    commit: RawObject


def person(raw: RawPerson, scopes: str) -> GitHubPerson:
    """`scopes` as the header has them."""
    allowed = tuple(one.strip() for one in scopes.split(",") if one.strip())
    return GitHubPerson(
        raw.login, raw.id, raw.name or "", raw.email or "", raw.html_url, scopes=allowed
    )


def repository(raw: RawRepository) -> GitHubRepository:
    """In our words."""
    return GitHubRepository(
        full_name=raw.full_name,
        default_branch=raw.default_branch,
        private=raw.private,
        description=raw.description or "",
        fork=raw.fork,
        archived=raw.archived,
        size_kib=raw.size,
        url=raw.html_url,
        updated_at=raw.updated_at or "",
        pushed_at=raw.pushed_at or "",
        may_write=raw.permissions.get("push", False) and not raw.archived,
    )


def branch(raw: RawBranch) -> GitHubBranch:
    """In our words."""
    return GitHubBranch(raw.name, raw.commit.sha, raw.protected)


def entry(raw: RawContent) -> RepositoryEntry:
    """In our words."""
    return RepositoryEntry(raw.path, kind(raw), raw.sha, raw.size)


def kind(raw: RawContent) -> str:
    """What lies at a path. In a folder's list GitHub calls a submodule a file, but a file is a
    blob of git's, and that is none."""
    is_blob = "/git/trees/" not in (raw.git_url or "")
    return raw.type if is_blob or raw.type != "file" else "submodule"


def file(raw: RawContent) -> RepositoryFile:
    """A file with its content, if GitHub has sent it along. Raises GitHubError."""
    if raw.encoding != "base64":
        return RepositoryFile(raw.path, raw.sha, raw.size, b"" if raw.size == 0 else None)
    try:
        # GitHub's lines of base64 have ends, which are no part of it.
        content = base64.b64decode("".join(raw.content.split()), validate=True)
    except (binascii.Error, ValueError):
        raise GitHubError("GitHub sent content that can't be read: try again later") from None
    if blob_id(content, raw.sha) != raw.sha:
        raise GitHubError("GitHub sent other content than it names: try again later")
    return RepositoryFile(raw.path, raw.sha, len(content), content)


def tree_entry(raw: dict[str, Any], before: str = "") -> TreeEntry:
    """`before` is the folder in which the tree lies, with its slash. Raises GitHubError."""
    try:
        size = int(raw.get("size") or 0)
        names = (str(raw[key]) for key in ("path", "mode", "type", "sha"))
        path, mode, type_, sha = names
    except (KeyError, TypeError, ValueError):
        raise GitHubError("GitHub sent a tree that can't be read: try again later") from None
    return TreeEntry(before + path, mode, type_, sha, size)


def entry_of_tree(one: TreeEntry) -> RepositoryEntry:
    """The same as a folder's list has it."""
    names = {"tree": "dir", "commit": "submodule"}
    type_ = "symlink" if one.mode == "120000" else names.get(one.type, "file")
    return RepositoryEntry(one.path, type_, one.sha, one.size)


class BlobDigest:
    """Names content that comes in parts, as git does."""

    def __init__(self, size: int, like: str = "") -> None:
        """`like`: a name by the same digest."""
        sha1 = len(like) != 64
        self._digest = hashlib.sha1(usedforsecurity=False) if sha1 else hashlib.sha256()
        self._digest.update(b"blob %d\0" % size)

    def update(self, part: bytes) -> None:
        """Take what follows."""
        self._digest.update(part)

    @property
    def name(self) -> str:
        """Of all that was taken."""
        return self._digest.hexdigest()


def blob_id(content: bytes, like: str = "") -> str:
    """How git names this content; `like`: a name by the same digest."""
    digest = BlobDigest(len(content), like)
    digest.update(content)
    return digest.name
