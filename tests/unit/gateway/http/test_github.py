"""Whose a GitHub token is, asked of a server that answers as GitHub does, or doesn't."""

from __future__ import annotations

import pytest

from services.gateway.http import github
from services.gateway.http.github import GitHubDenied, GitHubError
from tests.support.http_host import Reply, answer, cut, serving

TOKEN = "ghp_secret"
ANN = {"login": "ann", "id": 1, "name": "Ann"}


async def test_a_name_and_scopes() -> None:
    async with serving(answer(ANN, X_OAuth_Scopes="repo, read:org")) as host:
        assert await github.whoami(TOKEN, host.url + "/") == ("ann", ("repo", "read:org"))
        (seen,) = host.seen
    assert (seen.method, seen.path) == ("GET", "/user")
    assert seen.headers["Authorization"] == f"Bearer {TOKEN}"
    assert seen.headers["Accept"] == "application/vnd.github+json"


@pytest.mark.parametrize("headers", [{}, {"X_OAuth_Scopes": ""}, {"X_OAuth_Scopes": " , "}])
async def test_a_token_that_names_no_scopes(headers: dict[str, str]) -> None:
    async with serving(answer(ANN, **headers)) as host:
        assert await github.whoami(TOKEN, host.url) == ("ann", ())


@pytest.mark.parametrize("status", [401, 403])
async def test_a_token_that_is_not_accepted(status: int) -> None:
    async with serving(answer({"message": f"Bad credentials {TOKEN}"}, status)) as host:
        with pytest.raises(GitHubDenied, match="make a new one") as denied:
            await github.whoami(TOKEN, host.url)
    assert TOKEN not in repr(denied.value)


@pytest.mark.parametrize(
    ("reply", "words"),
    [
        (answer(ANN, 500), "answered 500: try again later"),
        (answer(ANN, 404), "answered 404"),
        (answer(ANN, 429), "limits how often"),
        (answer(ANN, 403, X_RateLimit_Remaining="0"), "limits how often"),
        (answer(b"<html>"), "answered 200"),
        (answer(b"\xff"), "answered 200"),
        (answer([ANN]), "answered 200"),
        (answer({"id": 1}), "answered 200"),
        (cut(), "can't be reached: RemoteProtocolError"),
    ],
)
async def test_no_answer_that_helps(reply: Reply, words: str) -> None:
    async with serving(reply) as host:
        with pytest.raises(GitHubError, match=words) as error:
            await github.whoami(TOKEN, host.url)
        assert len(host.seen) == 1
    assert not isinstance(error.value, GitHubDenied)
    assert TOKEN not in repr(error.value)
    assert error.value.__suppress_context__ or error.value.__context__ is None


async def test_nobody_is_there() -> None:
    async with serving(answer(ANN)) as host:
        url = host.url
    with pytest.raises(GitHubError, match="can't be reached: ConnectError"):
        await github.whoami(TOKEN, url)


async def test_a_token_goes_nowhere_else() -> None:
    async with serving(answer(ANN)) as other:
        async with serving(answer({}, 302, Location=f"{other.url}/user")) as host:
            with pytest.raises(GitHubError, match="answered 302"):
                await github.whoami(TOKEN, host.url)
        assert other.seen == []
