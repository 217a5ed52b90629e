"""Routes of GitHub in the name of the linked account: each user's own account only."""

from __future__ import annotations

import asyncio
import base64
import binascii
import contextlib
from collections.abc import AsyncIterator, Iterator
from typing import Annotated, Any

import msgspec
from litestar import Request, Response, get, post, put
from litestar.di import NamedDependency
from litestar.params import FromPath, QueryParameter, RawBody
from litestar.response import Stream

from contracts.errors import Reason, Rejected
from contracts.scopes import HOSTS_WRITE
from services.gateway.http.linking import LimitedElsewhere, Linking, refusing
from services.gateway.http.parts import MOST_LISTED, Asking, Envelope, Page, ok, read
from services.gateway.openapi.document import described
from services.github.service import MOST_PAGE, MOST_PAGES, Direction, GitHubService, Sort
from services.github.shapes import (
    FileWritten,
    GitHubBranch,
    GitHubPerson,
    GitHubRepository,
    RepositoryEntry,
    RepositoryFile,
)
from services.github.writing import LONGEST_MESSAGE, MOST_WRITTEN, NewContent

MOST_SHOWN = 8 * 1024 * 1024
"""Bytes of a file in an answer of JSON; bigger ones are had with `raw`."""
MOST_BODY = MOST_WRITTEN * 4 // 3 + 64 * 1024
"""Bytes of a request that writes a file."""
MOST_WRITES = 16
"""Files that are written at once, one of each user: GitHub takes the writes of one branch in turn,
and a file is in memory until it is written."""
BODY_S = 120.0
"""How long the body of such a request may take to come."""
_REPO = "/api/github/repos/{owner:str}/{repo:str}"

Links = NamedDependency[Linking]
Size = Annotated[int, QueryParameter(ge=1, le=MOST_PAGE, description="At most so many.")]
Number = Annotated[
    int | None,
    QueryParameter(ge=1, le=MOST_PAGES, description="`next_cursor` of the page before."),
]
Entries = Annotated[int, QueryParameter(ge=1, le=MOST_LISTED, description="At most so many.")]
Place = Annotated[
    int | None,
    QueryParameter(ge=0, le=1_000_000, description="`next_cursor` of the page before."),
]
Order = Annotated[Sort, QueryParameter(description="By what they are in order.")]
Way = Annotated[
    Direction | None,
    QueryParameter(description="Without one, `asc` by name and `desc` by time."),
]
Folder = Annotated[
    str, QueryParameter(max_length=4096, description="A folder, or a file; empty: the topmost.")
]
File = Annotated[str, QueryParameter(max_length=4096, description="The file.")]
Ref = Annotated[
    str,
    QueryParameter(max_length=250, description="Branch, tag or commit; empty: the default branch."),
]
Raw = Annotated[
    bool, QueryParameter(description="Answer the file's bytes themselves, up to 100 MB.")
]


class NewRepository(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A repository to make."""

    name: Annotated[str, msgspec.Meta(min_length=1, max_length=100)]
    description: Annotated[str, msgspec.Meta(max_length=350)] = ""
    private: bool = True
    auto_init: bool = True
    """With a first commit, so that it has a default branch."""


class NewFile(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a file of a repository shall be."""

    content: str
    """In base64."""
    message: Annotated[str, msgspec.Meta(min_length=1, max_length=LONGEST_MESSAGE)]
    """Of the commit."""
    branch: str = ""
    """Empty: the default branch."""
    sha: str = ""
    """The content that it replaces, as `sha` of the file says it: if another is there, nothing is
    written. Empty: whatever is there is replaced."""
    create_from: str = ""
    """Make the branch here if it is not there: a branch, tag or commit, `HEAD` for the default
    branch. Empty: the branch has to be there."""


class FileView(msgspec.Struct, frozen=True):
    """A file of a repository."""

    path: str
    sha: str
    """Names its content; give it back to replace this and nothing else."""
    size: int
    content: str
    encoding: str = "base64"


SHA = "ce013625030ba8dba906f756967f9e9ca394464a"
EXAMPLES = (
    GitHubPerson("ann", 1, "Ann", url="https://github.com/ann", scopes=("repo",)),
    GitHubRepository(
        "ann/app", "main", True, "An app", url="https://github.com/ann/app", may_write=True
    ),
    GitHubBranch("main", "7fd1a60b01f91b314f59955a4e4d4e80d8edf11d"),
    RepositoryEntry("src/app.py", "file", SHA, 6),
    FileView("src/app.py", SHA, 6, "aGVsbG8K"),
    FileWritten("src/app.py", SHA, "7fd1a60b01f91b314f59955a4e4d4e80d8edf11d"),
    NewRepository("app", "An app"),
    NewFile("aGVsbG8K", "Say hello"),
)


class FileWrites:
    """Who is writing a file, at one gateway."""

    def __init__(self) -> None:
        self._writing: set[str] = set()

    @contextlib.contextmanager
    def of(self, user: str) -> Iterator[None]:
        """Have a place for one. Raises Rejected(RATE_LIMITED)."""
        if user in self._writing:
            raise LimitedElsewhere("a file of yours is being written: one after the other", 1.0)
        if len(self._writing) >= MOST_WRITES:
            raise LimitedElsewhere("many files are being written now: try again", 5.0)
        self._writing.add(user)
        try:
            yield
        finally:
            self._writing.discard(user)


Writes = NamedDependency[FileWrites]


@get("/api/github/user", opt=described(scope=HOSTS_WRITE, errors=(403, 404, 503)))
async def github_user(principal: Asking, linking: Links) -> Envelope[GitHubPerson]:
    """Say whose the linked account at GitHub is, as GitHub says it now."""
    with refusing():
        return ok(await (await linking.github(principal.user)).user())


@get("/api/github/repos", opt=described(scope=HOSTS_WRITE, errors=(403, 404, 503)))
async def list_repositories(
    principal: Asking,
    linking: Links,
    limit: Size = 30,
    cursor: Number = None,
    sort: Order = "updated",
    direction: Way = None,
) -> Page[GitHubRepository]:
    """List the repositories of the linked account, and those it works on with others."""
    github, page = await linking.github(principal.user), cursor or 1
    with refusing():
        found = await github.repositories(page, limit, sort=sort, direction=direction)
    more = page + 1 if found.more and page < MOST_PAGES else None
    return Page(True, list(found.repositories), next_cursor=more)


@post(
    "/api/github/repos",
    opt=described(scope=HOSTS_WRITE, body=NewRepository, errors=(403, 404, 409, 503)),
)
async def create_repository(
    body: RawBody, principal: Asking, linking: Links
) -> Envelope[GitHubRepository]:
    """Make a repository of the linked account."""
    wanted = read(body, NewRepository)
    github = await linking.github(principal.user)
    with refusing():
        made = await github.create(
            wanted.name,
            description=wanted.description,
            private=wanted.private,
            begin=wanted.auto_init,
        )
    return ok(made, "made")


@get(_REPO, opt=described(scope=HOSTS_WRITE, errors=(403, 503)))
async def get_repository(
    owner: FromPath[str], repo: FromPath[str], principal: Asking, linking: Links
) -> Envelope[GitHubRepository]:
    """Return one repository as it is now."""
    with refusing():
        return ok(await (await linking.github(principal.user)).repository(owner, repo))


@get(f"{_REPO}/contents", opt=described(scope=HOSTS_WRITE, errors=(403, 413, 503)))
async def list_contents(
    owner: FromPath[str],
    repo: FromPath[str],
    principal: Asking,
    linking: Links,
    path: Folder = "",
    ref: Ref = "",
    limit: Entries = 100,
    cursor: Place = None,
) -> Page[RepositoryEntry]:
    """List what lies in a folder of a repository."""
    github, start = await linking.github(principal.user), cursor or 0
    with refusing():
        found = await github.contents(owner, repo, path, ref)
    end = start + limit
    return Page(True, list(found[start:end]), next_cursor=end if end < len(found) else None)


@get(
    f"{_REPO}/file",
    opt={"no_compression": True}
    | described(scope=HOSTS_WRITE, answer=Envelope[FileView], errors=(403, 413, 503)),
)
async def get_file(
    owner: FromPath[str],
    repo: FromPath[str],
    principal: Asking,
    linking: Links,
    path: File = "",
    ref: Ref = "",
    raw: Raw = False,
) -> Response[Envelope[FileView]] | Stream:
    """Return a file of a repository: in base64 up to 8 MiB, with `raw` as it is."""
    github = await linking.github(principal.user)
    with refusing():
        found = await github.file(owner, repo, path, ref)
        if raw:
            return await _stream(github, owner, repo, found)
        if found.size > MOST_SHOWN:
            text = (
                f"the file has {found.size} bytes: ask with `raw=true` for more than {MOST_SHOWN}"
            )
            raise Rejected(Reason.TOO_LARGE, text)
        content = found.content
        if content is None:
            content = b"".join([part async for part in github.blob(owner, repo, found)])
    coded = base64.b64encode(content).decode()
    return Response(ok(FileView(found.path, found.sha, found.size, coded)))


@put(
    f"{_REPO}/file",
    opt=described(scope=HOSTS_WRITE, body=NewFile, errors=(403, 409, 503)),
    request_max_body_size=MOST_BODY,
)
async def put_file(
    request: Request[Any, Any, Any],
    owner: FromPath[str],
    repo: FromPath[str],
    principal: Asking,
    linking: Links,
    writes: Writes,
    path: File = "",
) -> Envelope[FileWritten]:
    """Write a file of a repository, with a commit; the same content again makes none."""
    github = await linking.github(principal.user)
    with writes.of(principal.user):
        new = _content(read(await _body(request), NewFile))
        with refusing():
            written = await github.write(owner, repo, path, new)
    return ok(written, "written" if written.changed else "it has this content already")


@get(f"{_REPO}/branches", opt=described(scope=HOSTS_WRITE, errors=(403, 503)))
async def list_branches(
    owner: FromPath[str],
    repo: FromPath[str],
    principal: Asking,
    linking: Links,
    limit: Size = 30,
    cursor: Number = None,
) -> Page[GitHubBranch]:
    """List the branches of a repository by name, each with its newest commit."""
    github, page = await linking.github(principal.user), cursor or 1
    with refusing():
        found = await github.branches(owner, repo, page, limit)
    more = page + 1 if found.more and page < MOST_PAGES else None
    return Page(True, list(found.branches), next_cursor=more)


async def _body(request: Request[Any, Any, Any]) -> bytes:
    """Read here, once it is known who asks: a stranger's is not held in memory."""
    try:
        async with asyncio.timeout(BODY_S):
            return await request.body()
    except TimeoutError:
        text = f"the body took longer than {BODY_S:.0f} s"
        raise Rejected(Reason.BAD_REQUEST, text) from None


def _content(wanted: NewFile) -> NewContent:
    try:
        content = base64.b64decode("".join(wanted.content.split()), validate=True)
    except (binascii.Error, ValueError):
        raise Rejected(Reason.BAD_REQUEST, "`content`: expected base64") from None
    return NewContent(
        content, wanted.message, wanted.branch, wanted.sha.lower(), start=wanted.create_from
    )


async def _stream(github: GitHubService, owner: str, repo: str, found: RepositoryFile) -> Stream:
    """The bytes themselves. What is wrong before the first still gets an error of its own."""
    headers = {
        "Content-Disposition": "attachment",
        "Content-Length": str(found.size),
        "ETag": f'"{found.sha}"',
    }
    parts = github.blob(owner, repo, found)
    first = await anext(parts, b"")

    async def content() -> AsyncIterator[bytes]:
        async with contextlib.aclosing(parts):
            yield first
            async for part in parts:
                yield part

    return Stream(content(), media_type="application/octet-stream", headers=headers)


ROUTES = (
    *(github_user, list_repositories, create_repository, get_repository),
    *(list_contents, get_file, list_branches, put_file),
)
