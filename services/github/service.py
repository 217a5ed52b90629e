"""GitHub in the name of one user, with the account they have linked."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncGenerator
from typing import Literal

import msgspec

from services.github import answers, names, shapes, trees, writing
from services.github.errors import GitHubError, GitHubMissing, GitHubRefused, GitHubTooLarge
from services.github.shapes import (
    BranchPage,
    FileWritten,
    GitHubPerson,
    GitHubRepository,
    RawBranch,
    RawContent,
    RawPerson,
    RawRepository,
    RepositoryEntry,
    RepositoryFile,
    RepositoryPage,
    TreeEntry,
)
from services.github.site import RAW, SHA, Bearer, GitHubSite
from services.github.writing import NewContent

MOST_ARCHIVE = 256 * 1024 * 1024
"""Bytes of one archive, as it comes."""
MOST_FILE = 100 * 1024 * 1024
"""Bytes of one file; GitHub's API gives no bigger ones."""
MOST_PAGE = 100
"""Of repositories or branches; GitHub gives no bigger ones."""
MOST_PAGES = 1000
FULL_FOLDER = 1000
"""As many entries as GitHub lists of a folder: there may be more."""
DEFAULT = "HEAD"
"""The default branch."""
ARCHIVES = ("tarball", "zipball")

Sort = Literal["created", "updated", "pushed", "full_name"]
Direction = Literal["asc", "desc"]


class GitHubService:
    """Whatever is asked is asked with this user's token. Raises GitHubError."""

    def __init__(self, site: GitHubSite, bearer: Bearer) -> None:
        self._site = site
        self._bearer = bearer

    async def user(self) -> GitHubPerson:
        """Whose the account is."""
        answer = await self._site.get(self._bearer, "/user")
        raw = answers.decoded(answer.body, RawPerson)
        return shapes.person(raw, answer.headers.get("x-oauth-scopes", ""))

    async def repositories(
        self,
        page: int = 1,
        size: int = 30,
        *,
        sort: Sort = "updated",
        direction: Direction | None = None,
    ) -> RepositoryPage:
        """A page of those that the account may see as its own, a member's or a collaborator's."""
        order = direction or ("asc" if sort == "full_name" else "desc")
        query = {"sort": sort, "direction": order} | _paged(page, size)
        answer = await self._site.get(self._bearer, "/user/repos", query)
        raw = answers.decoded(answer.body, list[RawRepository])
        more = answers.next_page(answer.headers.get("link"))
        return RepositoryPage(tuple(map(shapes.repository, raw)), more)

    async def create(
        self, name: str, *, description: str = "", private: bool = True, begin: bool = True
    ) -> GitHubRepository:
        """Make a repository of the account; `begin`: with a first commit. Raises GitHubConflict."""
        wanted = {
            "name": names.check_repository(name),
            "description": description,
            "private": private,
            "auto_init": begin,
        }
        body = msgspec.json.encode(wanted)
        answer = await self._site.send(self._bearer, "POST", "/user/repos", body)
        return shapes.repository(answers.decoded(answer.body, RawRepository))

    async def repository(self, owner: str, name: str) -> GitHubRepository:
        """One repository as it is now, also under the name it had before."""
        answer = await self._site.get(self._bearer, names.of_repository(owner, name))
        return shapes.repository(answers.decoded(answer.body, RawRepository))

    async def branches(self, owner: str, name: str, page: int = 1, size: int = 30) -> BranchPage:
        """A page of its branches, by name."""
        path = names.of_repository(owner, name, "branches")
        answer = await self._site.get(self._bearer, path, _paged(page, size))
        raw = answers.decoded(answer.body, list[RawBranch])
        more = answers.next_page(answer.headers.get("link"))
        return BranchPage(tuple(map(shapes.branch, raw)), more)

    async def resolve(self, owner: str, name: str, ref: str = "") -> str:
        """The commit that a branch, a tag, a commit (also the beginning of its name) is now; of
        nothing, that of the default branch."""
        path = names.of_repository(owner, name, "commits", names.check_revision(ref or DEFAULT))
        try:
            answer = await self._site.get(self._bearer, path, accept=SHA, limit=1024)
        except (GitHubMissing, GitHubRefused) as error:
            where = f"{owner}/{name}"
            text = f"{where} has no revision {ref or DEFAULT!r} that the linked account may see"
            raise GitHubMissing(text) from error
        found = answer.body.decode("ascii", "replace").strip()
        if not names.is_commit(found):
            raise GitHubError("GitHub named no commit: try again later")
        return found

    async def contents(
        self, owner: str, name: str, path: str = "", ref: str = ""
    ) -> tuple[RepositoryEntry, ...]:
        """What lies in a folder, or the one file that lies at the path."""
        found = await self._at(owner, name, names.check_path(path, folder=True), ref)
        if isinstance(found, RawContent):
            return (shapes.entry(found),)
        if len(found) < FULL_FOLDER:
            return tuple(map(shapes.entry, found))
        commit = await self.resolve(owner, name, ref)
        inside = await trees.folder(self._site, self._bearer, owner, name, commit, path)
        return tuple(map(shapes.entry_of_tree, inside))

    async def file(self, owner: str, name: str, path: str, ref: str = "") -> RepositoryFile:
        """A file; its content comes along up to 1 MiB. Raises GitHubTooLarge."""
        found = await self._at(owner, name, names.check_path(path), ref)
        if isinstance(found, list):
            raise GitHubRefused(f"{path[:200]} is a folder: list its contents")
        if (kind := shapes.kind(found)) != "file":
            raise GitHubRefused(f"{path[:200]} is a {kind}, which has no content of its own")
        if found.size > MOST_FILE:
            raise GitHubTooLarge(f"{path[:200]} has {found.size} bytes: at most {MOST_FILE}")
        return shapes.file(found)

    async def blob(self, owner: str, name: str, file: RepositoryFile) -> AsyncGenerator[bytes]:
        """A file's content as it comes; the last of it only if all of it is what it is called."""
        if file.content is not None:
            yield file.content
            return
        path = names.of_repository(owner, name, "git/blobs", names.check_commit(file.sha))
        digest, held = shapes.BlobDigest(file.size, file.sha), b""
        download = self._site.download(self._bearer, path, accept=RAW, limit=MOST_FILE)
        async with contextlib.aclosing(download) as parts:
            async for part in parts:
                digest.update(part)
                if held:
                    yield held
                held = part
        if digest.name != file.sha:
            raise GitHubError("GitHub sent other content than it names: try again later")
        yield held

    async def write(self, owner: str, name: str, path: str, wanted: NewContent) -> FileWritten:
        """Put a file in its place. Raises GitHubConflict, which says what is there."""
        return await writing.write(self, self._site, self._bearer, (owner, name), path, wanted)

    async def tree(self, owner: str, name: str, ref: str = "") -> tuple[TreeEntry, ...]:
        """All paths of a revision, also where GitHub does not say them in one answer."""
        commit = ref if names.is_commit(ref) else await self.resolve(owner, name, ref)
        return await trees.whole(self._site, self._bearer, owner, name, commit)

    async def archive(
        self,
        owner: str,
        name: str,
        sha: str,
        *,
        kind: str = "tarball",
        limit: int = MOST_ARCHIVE,
    ) -> AsyncGenerator[bytes]:
        """The files of a commit as a gzipped tar (or `zipball`), all in one folder of any name.

        Raises GitHubTooLarge as soon as there are more than `limit` bytes: what has come so far is
        of no use then.
        """
        if kind not in ARCHIVES:
            raise GitHubRefused(f"there is no archive {kind[:20]!r}: one of {', '.join(ARCHIVES)}")
        path = names.of_repository(owner, name, kind, names.check_commit(sha))
        download = self._site.download(self._bearer, path, limit=limit)
        async with contextlib.aclosing(download) as parts:
            async for part in parts:
                yield part

    async def _at(
        self, owner: str, name: str, quoted: str, ref: str
    ) -> RawContent | list[RawContent]:
        where = names.of_repository(owner, name, "contents", *([quoted] if quoted else []))
        if ref:
            names.check_revision(ref)
        query = {"ref": ref} if ref else None
        answer = await self._site.get(self._bearer, where, query)
        if answer.body.lstrip()[:1] == b"[":
            return answers.decoded(answer.body, list[RawContent])
        return answers.decoded(answer.body, RawContent)


def _paged(page: int, size: int) -> dict[str, str]:
    if not 1 <= page <= MOST_PAGES or not 1 <= size <= MOST_PAGE:
        text = f"a page has 1 to {MOST_PAGE} entries, and there are at most {MOST_PAGES} pages"
        raise GitHubRefused(text)
    return {"page": str(page), "per_page": str(size)}
