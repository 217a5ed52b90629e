"""The account, its repositories and their branches, asked of the stand-in of GitHub."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest
from aiohttp import web

from services.github.errors import GitHubConflict, GitHubError, GitHubMissing, GitHubRefused
from services.github.service import GitHubService
from services.github.shapes import GitHubPerson
from services.github.site import Bearer, GitHubSite
from tests.support.github.server import GitHubServer


async def test_whose_the_account_is(github: GitHubServer, site: GitHubSite) -> None:
    token = github.account("ann", scopes="repo, read:org")
    found = await GitHubService(site, Bearer("alice", token)).user()
    assert found == GitHubPerson("ann", 1, "Ann", scopes=("repo", "read:org"))
    assert token not in repr(Bearer("alice", token))


async def test_repositories_come_in_pages_and_in_order(
    github: GitHubServer, ann: GitHubService
) -> None:
    for n in range(7):
        github.repo("ann", f"r{n}", private=n % 2 == 0)
    github.repo("bob", "other")
    seen, page = [], 1
    while True:
        found = await ann.repositories(page, 3)
        seen.append([one.full_name for one in found.repositories])
        if not found.more:
            break
        page += 1
    assert seen == [
        ["ann/r6", "ann/r5", "ann/r4"],
        ["ann/r3", "ann/r2", "ann/r1"],
        ["ann/r0"],
    ]
    by_name = await ann.repositories(1, 2, sort="full_name")
    assert [one.full_name for one in by_name.repositories] == ["ann/r0", "ann/r1"]
    back = await ann.repositories(1, 1, sort="full_name", direction="desc")
    assert back.repositories[0].full_name == "ann/r6"
    assert (back.repositories[0].private, back.repositories[0].may_write) == (True, True)


@pytest.mark.parametrize(("page", "size"), [(0, 1), (1, 0), (1, 101), (1001, 1)])
async def test_pages_that_there_are_not(
    github: GitHubServer, ann: GitHubService, page: int, size: int
) -> None:
    with pytest.raises(GitHubRefused, match="1 to 100 entries"):
        await ann.repositories(page, size)
    assert github.asked == []


async def test_a_repository_is_made_once(github: GitHubServer, ann: GitHubService) -> None:
    made = await ann.create("app", description="An app", private=True)
    assert (made.full_name, made.private, made.description) == ("ann/app", True, "An app")
    assert await ann.resolve("ann", "app")
    with pytest.raises(GitHubConflict, match="name already exists on this account"):
        await ann.create("app")
    empty = await ann.create("empty", begin=False, private=False)
    assert not empty.private
    sent = json.loads(github.asked[-1].body)
    assert sent == {"name": "empty", "description": "", "private": False, "auto_init": False}
    with pytest.raises(GitHubRefused, match="is no name of a repository"):
        await ann.create("a/b")


async def test_a_repository_is_shown_to_whom_it_concerns(
    github: GitHubServer, ann: GitHubService
) -> None:
    github.repo("bob", "open", description="Seen")
    github.repo("bob", "secret", private=True)
    shown = await ann.repository("bob", "open")
    assert (shown.description, shown.may_write, shown.default_branch) == ("Seen", False, "main")
    with pytest.raises(GitHubMissing, match="linked account may see"):
        await ann.repository("bob", "secret")


async def test_a_renamed_repository_is_found(github: GitHubServer, ann: GitHubService) -> None:
    commit = github.repo("ann", "new").commit({"a": b"1"})
    github.api.renamed["ann/old"] = "ann/new"
    assert (await ann.repository("ann", "old")).full_name == "ann/new"
    assert await ann.resolve("ann", "old", "main") == commit.sha
    assert (await ann.file("ann", "old", "a")).content == b"1"


async def test_a_redirect_to_another_host_is_not_followed(
    github: GitHubServer, ann: GitHubService
) -> None:
    here = github.url
    for where in (
        "https://evil.example/repos/ann/app",
        here.replace("http:", "https:"),
        here.replace("127.0.0.1", "localhost"),
        here.replace("http://", "http://user@"),
        "//evil.example/x",
        "",
    ):
        github.fail(301, Location=where)
        with pytest.raises(GitHubRefused, match="another host"):
            await ann.repository("ann", "app")
    assert len(github.asked) == 6


async def test_redirects_in_a_circle_end(github: GitHubServer, ann: GitHubService) -> None:
    github.fail(301, times=10, Location=f"{github.url}/repos/ann/app")
    with pytest.raises(Exception, match="redirects more than 3 times"):
        await ann.repository("ann", "app")
    assert len(github.asked) == 4


async def test_branches_come_in_pages(github: GitHubServer, ann: GitHubService) -> None:
    repo = github.repo("ann", "app")
    main = repo.commit({"a": b"1"})
    for n in range(4):
        repo.branches[f"b{n}"] = main.sha
    first = await ann.branches("ann", "app", 1, 3)
    assert [one.name for one in first.branches] == ["b0", "b1", "b2"]
    assert first.more
    last = await ann.branches("ann", "app", 2, 3)
    assert [(one.name, one.commit) for one in last.branches] == [
        ("b3", main.sha),
        ("main", main.sha),
    ]
    assert not last.more


ASKED: list[Callable[[GitHubService], object]] = [
    lambda one: one.user(),
    lambda one: one.repositories(),
    lambda one: one.repository("ann", "app"),
    lambda one: one.branches("ann", "app"),
    lambda one: one.contents("ann", "app"),
]


@pytest.mark.parametrize("body", [b"", b"null", b"<html>", b"\xff", b"[1]", b"{}", b"[" * 9999])
@pytest.mark.parametrize("ask", ASKED)
async def test_answers_that_are_none(
    github: GitHubServer, ann: GitHubService, ask: Callable[[GitHubService], object], body: bytes
) -> None:
    async def nonsense(_: web.Request) -> web.StreamResponse:
        return web.Response(body=body)

    github.trouble.append(nonsense)
    with pytest.raises(GitHubError, match="not understood"):
        await ask(ann)  # type: ignore[misc]
