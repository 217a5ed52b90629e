"""Folders, files and trees of repositories, read from the stand-in of GitHub."""

from __future__ import annotations

import hashlib

import pytest
from aiohttp import web

from services.github import shapes
from services.github.errors import (
    GitHubError,
    GitHubForbidden,
    GitHubMissing,
    GitHubRefused,
    GitHubTooLarge,
)
from services.github.service import FULL_FOLDER, GitHubService
from services.github.shapes import RepositoryFile
from services.github.trees import MOST_TREES
from tests.support.github.repos import SUBMODULE, SYMLINK, Node
from tests.support.github.server import GitHubServer

MIB = 1024 * 1024
ODD = ("ü/naïve file.txt", "100%.md", "a?b#c&d=e.txt", "q=1/+ +.txt", ".github/x", "..a/b..")


async def test_a_folder_and_what_is_below_it(github: GitHubServer, ann: GitHubService) -> None:
    repo = github.repo("ann", "app")
    first = repo.commit(
        {
            "a.py": b"1",
            "lib/b.py": b"22",
            "lib/in/c.py": b"3",
            "link": Node(SYMLINK, repo.blob(b"a.py")),
            "sub": Node(SUBMODULE, "1" * 40),
        }
    )
    repo.commit({"later": b""})
    top = await ann.contents("ann", "app", ref=first.sha)
    assert [(one.path, one.type, one.size) for one in top] == [
        ("a.py", "file", 1),
        ("lib", "dir", 0),
        ("link", "symlink", 4),
        ("sub", "submodule", 0),
    ]
    for path in ("lib", "lib/"):
        inside = await ann.contents("ann", "app", path, first.sha)
        assert [(one.path, one.type) for one in inside] == [("lib/b.py", "file"), ("lib/in", "dir")]
    (alone,) = await ann.contents("ann", "app", "lib/b.py")
    assert (alone.path, alone.size) == ("lib/b.py", 2)
    assert len(await ann.contents("ann", "app")) == 5
    with pytest.raises(GitHubMissing):
        await ann.contents("ann", "app", "nope")
    with pytest.raises(GitHubMissing, match="No commit found for the ref nope"):
        await ann.contents("ann", "app", ref="nope")


async def test_a_folder_of_more_than_github_lists(github: GitHubServer, ann: GitHubService) -> None:
    repo = github.repo("ann", "app")
    names = sorted(f"many/below/{n}.txt" for n in range(FULL_FOLDER + 7))
    repo.commit({name: b"x" for name in names})
    found = await ann.contents("ann", "app", "many/below")
    assert [one.path for one in found] == names
    assert {one.type for one in found} == {"file"}


@pytest.mark.parametrize("size", [0, 1, 44, 45, 46, 100_000, MIB])
async def test_a_file_comes_with_its_content(
    github: GitHubServer, ann: GitHubService, size: int
) -> None:
    content = bytes(n * 7 % 256 for n in range(size))
    github.repo("ann", "app").commit({"x.bin": content})
    found = await ann.file("ann", "app", "x.bin")
    assert (found.content, found.size) == (content, size)
    assert found.sha == shapes.blob_id(content)


async def test_a_bigger_file_comes_by_its_blob(github: GitHubServer, ann: GitHubService) -> None:
    content = b"0123456789abcdef" * (MIB // 16) + b"x"
    github.repo("ann", "app").commit({"big": content})
    found = await ann.file("ann", "app", "big")
    assert (found.content, found.size) == (None, MIB + 1)
    got = b"".join([part async for part in ann.blob("ann", "app", found)])
    assert hashlib.sha256(got).digest() == hashlib.sha256(content).digest()
    assert "raw" in github.asked[-1].headers["Accept"]


async def test_a_file_beyond_what_github_gives(github: GitHubServer, ann: GitHubService) -> None:
    repo = github.repo("ann", "app")
    made = repo.commit({"huge": b"x"})
    repo.blobs[made.files["huge"].sha] = bytes(100 * MIB + 1)
    with pytest.raises(GitHubTooLarge, match="at most 100 MB"):
        await ann.file("ann", "app", "huge")
    huge = RepositoryFile("huge", made.files["huge"].sha, 100 * MIB + 1, None)
    with pytest.raises(GitHubTooLarge, match="at most 100 MB"):
        [part async for part in ann.blob("ann", "app", huge)]


async def test_what_is_no_file(github: GitHubServer, ann: GitHubService) -> None:
    repo = github.repo("ann", "app")
    link, sub = Node(SYMLINK, repo.blob(b"a")), Node(SUBMODULE, "1" * 40)
    repo.commit({"lib/a": b"", "link": link, "sub": sub})
    for path, words in {"lib": "is a folder", "link": "a symlink", "sub": "a submodule"}.items():
        with pytest.raises(GitHubRefused, match=words):
            await ann.file("ann", "app", path)


@pytest.mark.parametrize("path", ODD)
async def test_odd_names_reach_github_as_they_are(
    github: GitHubServer, ann: GitHubService, path: str
) -> None:
    github.repo("ann", "app").commit({path: path.encode()})
    assert (await ann.file("ann", "app", path)).content == path.encode()


@pytest.mark.parametrize(
    "path",
    [
        *("", "/", "/a", "a/", "a//b", ".", "..", "../x", "a/../b", "a/./b"),
        *("a\0b", "a\nb", "\ud800", "x" * 5000, "/".join("x" * 200)),
    ],
)
async def test_paths_that_lead_elsewhere(
    github: GitHubServer, ann: GitHubService, path: str
) -> None:
    with pytest.raises(GitHubRefused, match="is no path in a repository"):
        await ann.file("ann", "app", path)
    assert github.asked == []


async def test_content_that_is_not_what_it_is_called(
    github: GitHubServer, ann: GitHubService
) -> None:
    repo = github.repo("ann", "app")
    made = repo.commit({"a": b"1"})
    repo.blobs[made.files["a"].sha] = b"2"
    with pytest.raises(GitHubError, match="other content than it names"):
        await ann.file("ann", "app", "a")
    named = RepositoryFile("a", made.files["a"].sha, 1, None)
    with pytest.raises(GitHubError, match="other content than it names"):
        # The end of it is kept back: here that is all of it.
        await anext(ann.blob("ann", "app", named))


async def test_a_tree_is_whole(github: GitHubServer, ann: GitHubService) -> None:
    repo = github.repo("ann", "app")
    files = {f"{a}/{b}/{c}": b"x" for a in "abc" for b in "de" for c in "fgh"} | {"top": b""}
    commit = repo.commit(files)
    whole = await ann.tree("ann", "app", commit.sha)
    assert [one.path for one in whole if one.type == "blob"] == sorted(files)
    assert len(github.asked) == 1
    for limit in (0, 1, 5, 12):
        github.api.tree_entries = limit
        assert await ann.tree("ann", "app") == whole, limit
    assert github.count("GET", "git/trees") > 5


async def test_a_tree_that_takes_too_many_requests(
    github: GitHubServer, ann: GitHubService
) -> None:
    repo = github.repo("ann", "app")
    repo.commit({f"{n}/a/b": b"%d" % n for n in range(MOST_TREES)})
    github.api.tree_entries = 0
    with pytest.raises(GitHubTooLarge, match="more than 500 requests"):
        await ann.tree("ann", "app")


async def test_an_answer_without_end_is_left(github: GitHubServer, ann: GitHubService) -> None:
    async def endless(request: web.Request) -> web.StreamResponse:
        answer = web.StreamResponse()
        await answer.prepare(request)
        for _ in range(40):
            await answer.write(b" " * MIB)
        return answer

    github.trouble.append(endless)
    with pytest.raises(GitHubTooLarge, match="more than the"):
        await ann.contents("ann", "app")


async def test_single_sign_on_and_missing_rights_are_named(
    github: GitHubServer, ann: GitHubService
) -> None:
    text = "Resource protected by organization SAML enforcement."
    github.fail(403, text, X_GitHub_SSO="required; url=https://github.example/sso?x=secret")
    with pytest.raises(GitHubForbidden, match="single sign-on") as error:
        await ann.contents("ann", "app")
    assert "secret" not in str(error.value)
    text = "Resource not accessible by personal access token"
    github.fail(403, text, X_Accepted_GitHub_Permissions="contents=read")
    with pytest.raises(GitHubForbidden, match="it needs contents=read"):
        await ann.contents("ann", "app")
