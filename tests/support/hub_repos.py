"""What the stand-in of the Hub keeps: users and their tokens, repositories with git's own ids.

All in memory. Only the server's thread changes it; tests may read from theirs.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, NamedTuple

import yaml
from starlette.requests import Request

KINDS = {"models": "model", "datasets": "dataset", "spaces": "space"}
"""The words in paths, and what the library calls the types."""
PREFIXES = {"model": "", "dataset": "datasets/", "space": "spaces/"}
LFS_ENDINGS = "7z arrow bin bz2 ftz gz h5 joblib lz4 msgpack npy npz onnx parquet pt pth zip zst"
ATTRIBUTES = "".join(
    f"*.{ending} filter=lfs diff=lfs merge=lfs -text\n" for ending in LFS_ENDINGS.split()
)
MAX_BODY = 512 * 1024 * 1024


class Refused(Exception):
    """Answered as the Hub does: a status, `X-Error-Message`, `X-Error-Code`, and JSON."""

    def __init__(
        self,
        status: int,
        message: str,
        code: str = "",
        *,
        headers: Mapping[str, str] | None = None,
        body: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.headers = {"X-Error-Message": message, **(headers or {})}
        if code:
            self.headers["X-Error-Code"] = code
        self.body = {"error": message, **(body or {})}


class Token(NamedTuple):
    """Whose it is, and what it may do."""

    user: str
    role: str
    permissions: tuple[str, ...]
    orgs: tuple[str, ...]
    created: datetime

    @property
    def writes(self) -> bool:
        return self.role == "write" or "repo.write" in self.permissions

    def owns(self, repo: str) -> bool:
        return repo.split("/")[0] in (self.user, *self.orgs)


class Entry(NamedTuple):
    """One file of a commit. An LFS file has a `sha256`, and its `oid` is that of its pointer."""

    oid: str
    size: int
    sha256: str = ""
    pointer_size: int = 0

    @property
    def etag(self) -> str:
        return self.sha256 or self.oid


class Commit(NamedTuple):
    """One commit; `files` are all files at it, `paths` those that it changed."""

    oid: str
    parent: str
    title: str
    message: str
    author: str
    date: datetime
    files: Mapping[str, Entry]
    paths: tuple[str, ...]


@dataclass
class Runtime:
    """A Space at work, as its owner sees it."""

    stage: str = "NO_APP_FILE"
    hardware: str | None = None
    requested: str = "cpu-basic"
    sleep_s: int | None = None
    error: str = ""
    variables: dict[str, dict[str, Any]] = field(default_factory=dict)
    secrets: dict[str, dict[str, Any]] = field(default_factory=dict)
    volumes: list[dict[str, Any]] | None = None
    target: str = ""
    """Where its requests go; set while it runs."""
    served: str = ""
    """The URL that a test has given in place of a process."""
    served_at: str = ""
    """The path of the Space behind which that URL is."""


@dataclass
class Repo:
    """One repository."""

    kind: str
    id: str
    private: bool
    sdk: str = ""
    created: datetime = field(default_factory=lambda: datetime.now(UTC))
    branches: dict[str, str] = field(default_factory=dict)
    commits: dict[str, Commit] = field(default_factory=dict)
    blobs: dict[str, bytes] = field(default_factory=dict)
    """Content of small files, and of LFS pointers, by git's id."""
    objects: dict[str, bytes] = field(default_factory=dict)
    """Content of LFS files by SHA-256, committed or not."""
    tags: set[str] = field(default_factory=set)
    """Set by hand."""
    runtime: Runtime = field(default_factory=Runtime)

    @property
    def head(self) -> Commit:
        return self.commits[self.branches["main"]]

    served_as: str | None = None
    """The subdomain that a test has given, as the Hub does where the plain one is taken."""

    @property
    def subdomain(self) -> str:
        plain = "".join(c if c.isalnum() else "-" for c in self.id.lower())
        return plain if self.served_as is None else self.served_as

    def at(self, revision: str) -> Commit:
        """The commit of a branch, or of a whole id. Raises Refused."""
        revision = revision.removeprefix("refs/heads/")
        found = self.commits.get(self.branches.get(revision, revision))
        if found is None:
            raise Refused(404, f"Invalid rev id: {revision}", "RevisionNotFound")
        return found

    def history(self, revision: str) -> Iterator[Commit]:
        """From the newest on."""
        commit: Commit | None = self.at(revision)
        while commit is not None:
            yield commit
            commit = self.commits.get(commit.parent)

    def read(self, entry: Entry) -> bytes:
        return self.objects[entry.sha256] if entry.sha256 else self.blobs[entry.oid]

    def keep(self, data: bytes) -> Entry:
        """Store a small file."""
        entry = Entry(git_oid("blob", data), len(data))
        self.blobs[entry.oid] = data
        return entry

    def keep_pointer(self, sha256: str) -> Entry:
        """The entry of an LFS object that has been uploaded."""
        size = len(self.objects[sha256])
        pointer = (
            f"version https://git-lfs.github.com/spec/v1\noid sha256:{sha256}\nsize {size}\n"
        ).encode()
        oid = self.keep(pointer).oid
        return Entry(oid, size, sha256, len(pointer))

    def commit(
        self,
        author: str,
        title: str,
        changes: Mapping[str, Entry | None],
        *,
        message: str = "",
        branch: str = "main",
    ) -> Commit:
        """Put a commit on the branch; a change to None removes the path."""
        parent = self.branches.get(branch, "")
        files = dict(self.commits[parent].files) if parent else {}
        for path, entry in changes.items():
            files.pop(path, None)
            if entry is not None:
                files[path] = entry
        date = datetime.now(UTC)
        who = f"{author} <{author}@users.noreply> {int(date.timestamp())} +0000"
        text = f"tree {tree_oids(files)['']}\n" + (f"parent {parent}\n" if parent else "")
        text += f"author {who}\ncommitter {who}\n\n{title}\n\n{message}\n"
        oid = git_oid("commit", text.encode())
        made = Commit(oid, parent, title, message, author, date, files, tuple(changes))
        self.commits[oid] = made
        self.branches[branch] = oid
        return made

    def card(self, commit: Commit | None = None) -> dict[str, Any]:
        """The front matter of README.md; empty if there is none, or no good one."""
        entry = (commit or self.head).files.get("README.md")
        if entry is None:
            return {}
        try:
            return front_matter(self.read(entry).decode("utf-8", "replace"))
        except ValueError:
            return {}

    def all_tags(self) -> list[str]:
        """As the Hub derives them: from the front matter, the SDK, and by hand."""
        given = self.card().get("tags") or []
        own = [self.sdk] if self.sdk else []
        return list(dict.fromkeys([*own, *map(str, given), *sorted(self.tags), "region:us"]))


def front_matter(text: str) -> dict[str, Any]:
    """The YAML between the first two `---` lines. Raises ValueError if it is no mapping."""
    if not text.startswith("---\n") or "\n---" not in text[3:]:
        return {}
    try:
        found = yaml.safe_load(text[4:].split("\n---", 1)[0])
        return dict(found or {})
    except (yaml.YAMLError, TypeError) as error:
        raise ValueError(f"the metadata is no good: {error}") from error


def git_oid(kind: str, data: bytes) -> str:
    """The id that git gives an object."""
    return hashlib.sha1(b"%s %d\0" % (kind.encode(), len(data)) + data).hexdigest()


def tree_oids(files: Mapping[str, Entry]) -> dict[str, str]:
    """Git's id of every folder by its path; the root is the empty path."""
    folders: dict[str, dict[str, tuple[str, str]]] = {"": {}}
    for path, entry in files.items():
        folder, _, name = path.rpartition("/")
        folders.setdefault(folder, {})[name] = ("100644", entry.oid)
        while folder:
            folder = folder.rpartition("/")[0]
            folders.setdefault(folder, {})
    oids = {}
    for folder in sorted(folders, key=lambda path: path.count("/") + bool(path), reverse=True):
        # Git sorts folders as if their names ended in a slash.
        items = sorted(folders[folder].items(), key=lambda i: i[0] + "/" * (i[1][0] == "40000"))
        body = b"".join(
            f"{mode} {name}".encode() + b"\0" + bytes.fromhex(oid) for name, (mode, oid) in items
        )
        oids[folder] = git_oid("tree", body)
        if folder:
            parent, _, name = folder.rpartition("/")
            folders[parent][name] = ("40000", oids[folder])
    return oids


class State:
    """Everything that is stored, and who may see it."""

    def __init__(self) -> None:
        self.url = ""
        self.storage_url = ""
        self.page = 1000
        """Most entries of one page of a list."""
        self.part_size = 0
        """Bytes of a part of a multipart upload; 0: every upload is a single one."""
        self.tokens: dict[str, Token] = {}
        self.repos: dict[tuple[str, str], Repo] = {}
        self.templates: list[str] = []
        self._key = secrets.token_bytes(16)

    def sign(self, words: str) -> str:
        """What makes a storage URL good without a token."""
        return hmac.new(self._key, words.encode(), hashlib.sha256).hexdigest()

    def token(self, request: Request) -> Token | None:
        """Who asks; None without a token. Raises Refused for one that is not good."""
        given = request.headers.get("authorization")
        if given is None:
            return None
        found = self.tokens.get(given.removeprefix("Bearer "))
        if found is None:
            raise Refused(401, "Invalid credentials in Authorization header")
        return found

    def user(self, request: Request) -> Token:
        """Who asks. Raises Refused."""
        found = self.token(request)
        if found is None:
            raise Refused(401, "Invalid username or password.")
        return found

    def may_read(self, repo: Repo, token: Token | None) -> bool:
        return not repo.private or (token is not None and token.owns(repo.id))

    def repo(self, request: Request, *, write: bool = False) -> Repo:
        """The repository of the path. Raises Refused as the Hub does for strangers."""
        kind = KINDS.get(request.path_params.get("kind", "models"))
        if kind is None:
            raise Refused(404, "Sorry, we can't find the page you are looking for.")
        return self.find(request, kind, _id(request), write=write)

    def find(self, request: Request, kind: str, id_: str, *, write: bool = False) -> Repo:
        token = self.token(request)
        repo = self.repos.get((kind, id_))
        if repo is None or not self.may_read(repo, token):
            if token is None:
                # The Hub doesn't tell strangers what exists.
                raise Refused(401, "Invalid username or password.")
            raise Refused(404, "Repository not found", "RepoNotFound")
        if write:
            self.check_write(self.user(request), id_)
        return repo

    def check_write(self, token: Token, id_: str) -> None:
        """Raises Refused."""
        if not token.writes:
            raise Refused(403, "Forbidden: you must use a write token to upload to a repository.")
        if not token.owns(id_):
            namespace = id_.split("/")[0]
            raise Refused(
                403, f'You don\'t have the rights to write under the namespace "{namespace}"'
            )


def _id(request: Request) -> str:
    return f"{request.path_params['owner']}/{request.path_params['name']}"


async def body(request: Request) -> bytes:
    """The whole body. Raises Refused when it is out of all proportion."""
    data = bytearray()
    async for chunk in request.stream():
        data += chunk
        if len(data) > MAX_BODY:
            raise Refused(413, "Payload too large")
    return bytes(data)


def stamp(date: datetime) -> str:
    """A time as the Hub writes it."""
    return date.strftime("%Y-%m-%dT%H:%M:%S.") + f"{date.microsecond // 1000:03d}Z"
