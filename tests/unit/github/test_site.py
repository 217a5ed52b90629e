"""Tags, limits, faults and tries: how GitHub is asked, whatever is asked for."""

from __future__ import annotations

import asyncio
import time

import pytest
from aiohttp import web

from services.github import etags
from services.github import site as sites
from services.github.errors import (
    GitHubBusy,
    GitHubDenied,
    GitHubError,
    GitHubForbidden,
    GitHubLimited,
    GitHubRefused,
)
from services.github.service import GitHubService
from services.github.site import Bearer, GitHubSite
from tests.support.github.server import GitHubServer, hang


async def test_what_has_not_changed_counts_nothing(
    github: GitHubServer, ann: GitHubService
) -> None:
    repo = github.repo("ann", "app")
    repo.commit({"a": b"1"})
    first = await ann.contents("ann", "app")
    for _ in range(5):
        assert await ann.contents("ann", "app") == first
    assert [one.status for one in github.asked] == [200, 304, 304, 304, 304, 304]
    assert github.used["ann"] == 1
    repo.commit({"b": b"2"})
    assert len(await ann.contents("ann", "app")) == 2
    assert github.used["ann"] == 2


async def test_what_one_token_was_told_is_not_another_s(
    github: GitHubServer, site: GitHubSite
) -> None:
    repo = github.repo("ann", "app", private=True)
    repo.commit({"a": b"1"})
    one = Bearer("alice", github.account("ann"))
    assert await GitHubService(site, one).contents("ann", "app")
    for other in (Bearer("alice", github.account("bob")), Bearer("bob", github.account("bob"))):
        with pytest.raises(GitHubError):
            await GitHubService(site, other).contents("ann", "app")
    assert "If-None-Match" not in github.asked[-1].headers
    del github.tokens[one.token]
    with pytest.raises(GitHubDenied):
        await GitHubService(site, one).contents("ann", "app")


async def test_pages_are_known_from_a_kept_answer(github: GitHubServer, ann: GitHubService) -> None:
    for n in range(3):
        github.repo("ann", f"r{n}")
    for _ in range(2):
        assert (await ann.repositories(1, 2)).more
    assert github.asked[-1].status == 304


def test_kept_answers_are_bounded() -> None:
    kept = etags.Etags()
    for n in range(etags.MOST_USERS + 1):
        kept.keep(Bearer(f"u{n}", "t"), "/x", "json", {"etag": "1"}, b"x")
    assert kept.get(Bearer("u0", "t"), "/x", "json") is None
    ann = Bearer("u1", "t")
    for n in range(etags.MOST_KEPT):
        kept.keep(ann, f"/{n}", "json", {"etag": "1"}, b"x")
    assert kept.get(ann, "/x", "json") is None, "the oldest made room"
    assert kept.get(ann, "/0", "json") is not None
    big = bytes(etags.MOST_KEPT_ANSWER)
    for n in range(5):
        kept.keep(ann, f"/big{n}", "json", {"etag": "1"}, big)
    assert kept.get(ann, "/big0", "json") is None
    assert kept.get(ann, "/big4", "json") is not None
    kept.keep(ann, "/big4", "json", {"etag": "2"}, big + b"x")
    assert kept.get(ann, "/big4", "json") is None, "an old answer is not kept in a new one's place"
    kept.keep(ann, "/none", "json", {}, b"x")
    assert kept.get(ann, "/none", "json") is None


async def test_the_limit_of_an_account(github: GitHubServer, ann: GitHubService) -> None:
    github.repo("ann", "app").commit({"a": b"1"})
    github.limit = 1
    github.reset = int(time.time()) + 100
    await ann.user()
    with pytest.raises(GitHubLimited, match="free again in") as limited:
        await ann.contents("ann", "app")
    assert 90 < limited.value.wait_s <= 101
    asked = len(github.asked)
    with pytest.raises(GitHubLimited) as again:
        await ann.user()
    assert len(github.asked) == asked, "GitHub is left alone until then"
    assert again.value.wait_s <= limited.value.wait_s


async def test_one_s_limit_holds_up_nobody_else(
    github: GitHubServer, ann: GitHubService, site: GitHubSite
) -> None:
    github.fail(429, "slow down", Retry_After="60")
    with pytest.raises(GitHubLimited):
        await ann.user()
    bob = GitHubService(site, Bearer("bob", github.account("bob")))
    assert (await bob.user()).login == "bob"


@pytest.mark.parametrize(
    ("status", "message", "headers", "wait_s"),
    [
        (429, "", {"Retry_After": "7"}, 7),
        (403, "You have exceeded a secondary rate limit.", {"Retry_After": "30"}, 30),
        (403, "You have exceeded a secondary rate limit.", {}, 60),
        (429, "", {}, 60),
        (429, "", {"Retry_After": "soon"}, 60),
        (429, "", {"X_RateLimit_Remaining": "0", "X_RateLimit_Reset": "1"}, 1),
        (429, "", {"Retry_After": "99999999"}, 7200),
    ],
)
async def test_how_long_to_wait(
    github: GitHubServer,
    ann: GitHubService,
    status: int,
    message: str,
    headers: dict[str, str],
    wait_s: float,
) -> None:
    github.fail(status, message, **headers)
    with pytest.raises(GitHubLimited) as limited:
        await ann.user()
    assert limited.value.wait_s == wait_s
    assert len(github.asked) == 1, "a limit is not tried against"


async def test_faults_are_tried_again_a_bounded_number_of_times(
    github: GitHubServer, ann: GitHubService
) -> None:
    github.fail(502)
    github.cut()
    assert (await ann.user()).login == "ann"
    github.fail(503, times=3)
    with pytest.raises(GitHubBusy, match="has a fault"):
        await ann.user()
    github.cut(times=3)
    with pytest.raises(GitHubBusy, match="can't be reached: RemoteProtocolError"):
        await ann.user()
    assert github.trouble == []
    github.fail(500, times=2)
    with pytest.raises(GitHubBusy):
        await ann.create("app")
    assert len(github.trouble) == 1, "what changes something is sent once"


async def test_silence_ends(
    github: GitHubServer, ann: GitHubService, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sites, "ANSWER_S", 0.1)
    github.trouble += [hang, hang, hang]
    with pytest.raises(GitHubBusy, match="can't be reached: TimeoutError"):
        await ann.user()


async def test_nobody_is_there() -> None:
    site = GitHubSite("http://127.0.0.1:1", first_wait_s=0.01)
    with pytest.raises(GitHubBusy, match="can't be reached: ConnectError") as error:
        await GitHubService(site, Bearer("alice", "ghp_secret")).user()
    assert "ghp_secret" not in repr(error.value)
    assert "127.0.0.1" not in str(error.value)
    await site.close()


@pytest.mark.parametrize(
    ("status", "message", "kind", "words"),
    [
        (401, "Bad credentials ghp_x", GitHubDenied, "link the account again"),
        (403, "Must have admin rights", GitHubForbidden, "Must have admin rights"),
        (451, "Repository unavailable", GitHubForbidden, "Repository unavailable"),
        (400, "Problems\x1b[31m parsing\nJSON", GitHubRefused, r"\(400\): Problems \[31m parsing"),
        (418, "x" * 5000, GitHubRefused, "x{200}$"),
        (302, "", GitHubRefused, "another host"),
        (204, "", GitHubError, "not understood"),
    ],
)
async def test_refusals_in_our_words(
    github: GitHubServer,
    ann: GitHubService,
    status: int,
    message: str,
    kind: type[GitHubError],
    words: str,
) -> None:
    github.fail(status, message)
    with pytest.raises(kind, match=words) as error:
        await ann.user()
    assert "ghp_x" not in str(error.value)
    assert "\x1b" not in str(error.value)


async def test_one_user_takes_a_few_places_only(
    github: GitHubServer, ann: GitHubService, site: GitHubSite
) -> None:
    go, waiting, all_there = asyncio.Event(), 0, asyncio.Event()

    async def held(_: web.Request) -> None:
        nonlocal waiting
        waiting += 1
        if waiting == sites.MOST_REQUESTS_EACH:
            all_there.set()
        await go.wait()

    github.trouble += [held] * sites.MOST_REQUESTS_EACH
    mine = [asyncio.create_task(ann.user()) for _ in range(3 * sites.MOST_REQUESTS_EACH)]
    async with asyncio.timeout(30):
        await all_there.wait()
        bob = GitHubService(site, Bearer("bob", github.account("bob")))
        assert (await bob.user()).login == "bob"
        assert waiting == sites.MOST_REQUESTS_EACH
        go.set()
        assert {one.login for one in await asyncio.gather(*mine)} == {"ann"}
    assert (site._places, site._asking) == ({}, {})


async def test_one_user_downloads_a_few_at_once(
    github: GitHubServer, ann: GitHubService, site: GitHubSite
) -> None:
    commit = github.repo("ann", "app").commit({"a": b"1"})
    begun = [ann.archive("ann", "app", commit.sha) for _ in range(sites.MOST_DOWNLOADS_EACH)]
    for one in begun:
        assert await anext(one)
    with pytest.raises(GitHubLimited, match="let one end"):
        await anext(ann.archive("ann", "app", commit.sha))
    bob = GitHubService(site, Bearer("bob", github.account("bob")))
    assert [part async for part in bob.archive("ann", "app", commit.sha)]
    for one in begun:
        await one.aclose()
    assert [part async for part in ann.archive("ann", "app", commit.sha)]
    assert site._downloading == {}
