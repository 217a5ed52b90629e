"""Files that are written: what they replace, branches, conflicts, lost answers."""

from __future__ import annotations

import asyncio

import pytest
from aiohttp import web

from services.github.errors import (
    GitHubBusy,
    GitHubConflict,
    GitHubForbidden,
    GitHubMissing,
    GitHubRefused,
    GitHubTooLarge,
)
from services.github.service import GitHubService
from services.github.shapes import blob_id
from services.github.writing import MOST_WRITTEN, NewContent
from tests.support.github.server import GitHubServer


def new(content: bytes, **fields: str) -> NewContent:
    return NewContent(content, fields.pop("message", "Change it"), **fields)


async def test_a_file_is_made_and_replaced(github: GitHubServer, ann: GitHubService) -> None:
    repo = github.repo("ann", "app")
    repo.commit({"README.md": b""})
    made = await ann.write("ann", "app", "src/a.py", new(b"1"))
    assert (made.created, made.changed, made.sha) == (True, True, blob_id(b"1"))
    assert repo.branches["main"] == made.commit
    replaced = await ann.write("ann", "app", "src/a.py", new(b"2"))
    assert (replaced.created, replaced.changed) == (False, True)
    named = await ann.write("ann", "app", "src/a.py", new(b"3", sha=replaced.sha))
    assert (await ann.file("ann", "app", "src/a.py")).content == b"3"
    assert repo.commits[named.commit].message == "Change it"


async def test_the_first_file_of_an_empty_repository(
    github: GitHubServer, ann: GitHubService
) -> None:
    github.repo("ann", "app")
    assert (await ann.write("ann", "app", "a", new(b"1"))).created


async def test_the_same_content_makes_no_commit(github: GitHubServer, ann: GitHubService) -> None:
    repo = github.repo("ann", "app")
    repo.commit({"a": b"1"})
    before = len(repo.commits)
    for sha in ("", blob_id(b"1"), "0" * 40):
        again = await ann.write("ann", "app", "a", new(b"1", sha=sha))
        assert (again.changed, again.commit, again.sha) == (False, "", blob_id(b"1"))
    assert len(repo.commits) == before


async def test_a_conflict_says_what_is_there(github: GitHubServer, ann: GitHubService) -> None:
    github.repo("ann", "app").commit({"a": b"theirs"})
    with pytest.raises(GitHubConflict, match=blob_id(b"theirs")) as conflict:
        await ann.write("ann", "app", "a", new(b"mine", sha=blob_id(b"before")))
    assert conflict.value.present == blob_id(b"theirs")
    with pytest.raises(GitHubConflict, match="is not there"):
        await ann.write("ann", "app", "gone", new(b"mine", sha=blob_id(b"before")))
    assert github.count("PUT", "") == 0


@pytest.mark.parametrize("before", [b"old", None])
async def test_somebody_is_faster(
    github: GitHubServer, ann: GitHubService, before: bytes | None
) -> None:
    repo = github.repo("ann", "app")
    repo.commit({"a": before, "b": b""})

    async def nothing(_: web.Request) -> None:
        return None

    async def meanwhile(_: web.Request) -> None:
        repo.commit({"a": b"theirs"})

    github.trouble += [nothing, meanwhile]
    with pytest.raises(GitHubConflict, match=blob_id(b"theirs")):
        await ann.write("ann", "app", "a", new(b"mine"))
    assert [one.status for one in github.asked if one.method == "PUT"] == [409 if before else 422]
    assert (await ann.file("ann", "app", "a")).content == b"theirs"


async def test_a_lost_answer_is_found_out(github: GitHubServer, ann: GitHubService) -> None:
    repo = github.repo("ann", "app")
    repo.commit({"b": b""})

    async def nothing(_: web.Request) -> None:
        return None

    async def lost(request: web.Request) -> web.StreamResponse:
        repo.commit({"a": b"mine"})
        assert request.transport is not None
        request.transport.close()
        return web.StreamResponse()

    github.trouble += [nothing, lost]
    written = await ann.write("ann", "app", "a", new(b"mine"))
    assert (written.created, written.sha) == (True, blob_id(b"mine"))
    assert github.count("PUT", "") == 1, "it is not sent twice"


async def test_an_outcome_that_stays_open_is_said(github: GitHubServer, ann: GitHubService) -> None:
    github.repo("ann", "app").commit({"b": b""})

    async def nothing(_: web.Request) -> None:
        return None

    github.trouble.append(nothing)
    github.fail(500, times=4)
    with pytest.raises(GitHubBusy, match="whether the file was written is not known"):
        await ann.write("ann", "app", "a", new(b"mine"))
    assert (await ann.write("ann", "app", "a", new(b"mine"))).created


async def test_a_branch_is_made_on_wish(github: GitHubServer, ann: GitHubService) -> None:
    repo = github.repo("ann", "app")
    first = repo.commit({"a": b"1"})
    with pytest.raises(GitHubMissing, match="Branch fix not found"):
        await ann.write("ann", "app", "a", new(b"2", branch="fix"))
    assert "fix" not in repo.branches
    made = await ann.write("ann", "app", "a", new(b"2", branch="fix", start="HEAD"))
    assert repo.branches["fix"] == made.commit
    assert repo.branches["main"] == first.sha
    assert repo.commits[made.commit].parents == (first.sha,)
    again = await ann.write("ann", "app", "a", new(b"3", branch="fix", start="main"))
    assert repo.commits[again.commit].parents == (made.commit,), "it begins where it is"
    with pytest.raises(GitHubMissing, match="no revision 'nope'"):
        await ann.write("ann", "app", "a", new(b"2", branch="new", start="nope"))


async def test_two_make_one_branch(github: GitHubServer, ann: GitHubService) -> None:
    repo = github.repo("ann", "app")
    first = repo.commit({"a": b"1"})

    async def nothing(_: web.Request) -> None:
        return None

    async def meanwhile(_: web.Request) -> None:
        repo.branches["fix"] = first.sha

    github.trouble += [nothing, nothing, meanwhile]
    await ann.write("ann", "app", "b", new(b"2", branch="fix", start="HEAD"))
    assert [one.status for one in github.asked if one.method == "POST"] == [422]


async def test_files_written_at_the_same_time_are_both_there(
    github: GitHubServer, ann: GitHubService
) -> None:
    repo = github.repo("ann", "app")
    repo.commit({"README.md": b""})
    names = [f"f{n}" for n in range(8)]
    await asyncio.gather(*(ann.write("ann", "app", one, new(one.encode())) for one in names))
    assert {one.path for one in await ann.contents("ann", "app")} == {*names, "README.md"}


async def test_who_may_not_write(github: GitHubServer, ann: GitHubService) -> None:
    repo = github.repo("bob", "open")
    repo.commit({"a": b"1"})
    repo.may_read.add("ann")
    with pytest.raises(GitHubForbidden, match="Must have write access"):
        await ann.write("bob", "open", "a", new(b"2"))


@pytest.mark.parametrize(
    ("path", "wanted", "words"),
    [
        ("a", new(b"1", message=" "), "a commit has a message"),
        ("a", new(b"1", message="x" * 9000), "a commit has a message"),
        ("a", new(b"1", sha="abc"), "is no commit"),
        ("a", new(b"1", branch="a..b"), "is no branch"),
        ("a/../b", new(b"1"), "is no path"),
    ],
)
async def test_what_is_refused_before_it_is_sent(
    github: GitHubServer, ann: GitHubService, path: str, wanted: NewContent, words: str
) -> None:
    with pytest.raises(GitHubRefused, match=words):
        await ann.write("ann", "app", path, wanted)
    assert github.asked == []


async def test_files_too_big_and_folders(github: GitHubServer, ann: GitHubService) -> None:
    github.repo("ann", "app").commit({"lib/a": b"1"})
    with pytest.raises(GitHubTooLarge, match="at most 10485760 are written"):
        await ann.write("ann", "app", "a", new(bytes(MOST_WRITTEN + 1)))
    assert github.asked == []
    with pytest.raises(GitHubRefused, match="is a folder"):
        await ann.write("ann", "app", "lib", new(b"1"))
