"""Revisions and archives, asked of the stand-in of GitHub."""

from __future__ import annotations

import io
import tarfile
import zipfile

import pytest
from aiohttp import web

from services.github.errors import (
    GitHubBusy,
    GitHubDenied,
    GitHubMissing,
    GitHubRefused,
    GitHubTooLarge,
)
from services.github.service import GitHubService
from tests.support.github.server import GitHubServer, github_server


async def whole(service: GitHubService, *asked: str, **options: object) -> bytes:
    return b"".join([part async for part in service.archive(*asked, **options)])  # type: ignore[arg-type]


async def test_a_revision_is_resolved_to_a_commit(github: GitHubServer, ann: GitHubService) -> None:
    repo = github.repo("ann", "app", private=True)
    first = repo.commit({"a.py": b"1"})
    second = repo.commit({"a.py": b"2"}, branch="feature/x")
    repo.tags["v1"] = first.sha
    for revision, commit in {
        "": first,
        "main": first,
        "v1": first,
        "heads/main": first,
        "feature/x": second,
        second.sha: second,
        second.sha[:8]: second,
    }.items():
        assert await ann.resolve("ann", "app", revision) == commit.sha, revision
    assert github.asked[0].headers["X-GitHub-Api-Version"] == "2022-11-28"


async def test_revisions_that_are_none(github: GitHubServer, ann: GitHubService) -> None:
    github.repo("ann", "empty")
    github.repo("ann", "app").commit({"a": b""})
    github.repo("bob", "secret", private=True).commit({"a": b""})
    for name in ("ann/empty", "ann/app", "bob/secret", "ann/none"):
        with pytest.raises(GitHubMissing, match=f"{name} has no revision 'nope'"):
            await ann.resolve(*name.split("/"), "nope")
    asked = len(github.asked)
    for bad in ("../x", "a b", "a..b", "-x", "x\n", "x?ref=y", "@", "a//b", "x.lock", "y" * 300):
        with pytest.raises(GitHubRefused, match="is no branch, tag or commit"):
            await ann.resolve("ann", "app", bad)
    for owner, name in (("..", "app"), ("ann", ".."), ("a/b", "c"), ("ann", "a b"), ("", "x")):
        with pytest.raises(GitHubRefused, match="is no name of"):
            await ann.resolve(owner, name, "main")
    assert len(github.asked) == asked, "nothing of it was asked"


async def test_an_archive_holds_the_files_of_a_commit(
    github: GitHubServer, ann: GitHubService
) -> None:
    repo = github.repo("ann", "app", private=True)
    commit = repo.commit({"a.py": b"print(1)\n", "lib/b.txt": b"b" * 5000})
    data = await whole(ann, "ann", "app", commit.sha)
    with tarfile.open(fileobj=io.BytesIO(data)) as tar:
        top = f"ann-app-{commit.sha[:7]}"
        assert tar.getnames() == [f"{top}/a.py", f"{top}/lib/b.txt"]
        file = tar.extractfile(f"{top}/a.py")
        assert file is not None
        assert file.read() == b"print(1)\n"
    zipped = await whole(ann, "ann", "app", commit.sha, kind="zipball")
    with zipfile.ZipFile(io.BytesIO(zipped)) as packed:
        assert packed.read(f"{top}/lib/b.txt") == b"b" * 5000


async def test_archives_that_are_refused(github: GitHubServer, ann: GitHubService) -> None:
    commit = github.repo("ann", "app").commit({"a.py": bytes(range(256)) * 40})
    with pytest.raises(GitHubRefused, match="is no commit"):
        await whole(ann, "ann", "app", "main")
    with pytest.raises(GitHubRefused, match="no archive 'rar'"):
        await whole(ann, "ann", "app", commit.sha, kind="rar")
    assert github.asked == []
    with pytest.raises(GitHubTooLarge, match="more than the 100 bytes"):
        await whole(ann, "ann", "app", commit.sha, limit=100)
    with pytest.raises(GitHubMissing):
        await whole(ann, "ann", "app", "0" * 40)
    github.tokens.clear()
    with pytest.raises(GitHubDenied, match="metamcp link github"):
        await whole(ann, "ann", "app", commit.sha)


async def test_an_archive_without_a_length_is_cut_at_the_limit(
    github: GitHubServer, ann: GitHubService
) -> None:

    async def endless(request: web.Request) -> web.StreamResponse:
        answer = web.StreamResponse()
        await answer.prepare(request)
        for _ in range(100):
            await answer.write(b"x" * 1000)
        return answer

    github.trouble.append(endless)
    with pytest.raises(GitHubTooLarge):
        await whole(ann, "ann", "app", "0" * 40, limit=5000)


async def test_an_archive_is_asked_for_again_before_its_first_byte_only(
    github: GitHubServer, ann: GitHubService
) -> None:
    commit = github.repo("ann", "app").commit({"a.py": b"1"})
    github.fail(502)
    github.cut()
    assert await whole(ann, "ann", "app", commit.sha)
    github.fail(502, times=3)
    with pytest.raises(GitHubBusy, match="502"):
        await whole(ann, "ann", "app", commit.sha)
    assert github.trouble == []

    async def broken(request: web.Request) -> web.StreamResponse:
        answer = web.StreamResponse(headers={"Content-Length": "1000"})
        await answer.prepare(request)
        await answer.write(b"x" * 10)
        assert request.transport is not None
        request.transport.close()
        return answer

    before = len(github.asked)
    github.trouble.append(broken)
    with pytest.raises(GitHubBusy, match="can't be reached"):
        await whole(ann, "ann", "app", commit.sha)
    assert len(github.asked) == before + 1


async def test_archives_come_from_no_other_host(github: GitHubServer, ann: GitHubService) -> None:
    async with github_server() as other:
        github.fail(302, Location=f"{other.url}/codeload/x")
        with pytest.raises(GitHubRefused, match="another host"):
            await whole(ann, "ann", "app", "0" * 40)
        assert other.asked == []
