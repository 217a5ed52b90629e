"""Names that come from users: none of them leads to another place of the API."""

from __future__ import annotations

from urllib.parse import unquote, urlsplit

import httpx
from hypothesis import given
from hypothesis import strategies as st

from services.github import names
from services.github.answers import followed, next_page
from services.github.errors import GitHubRefused
from services.github.service import GitHubService
from services.github.site import MOST_DOWNLOADS, Bearer, GitHubSite

ANY = st.text(st.characters(), max_size=30) | st.text("ab./\\%?#@~^:;-_ \0\n", max_size=12)


def sent(path: str) -> str:
    """The path as httpx sends it."""
    return httpx.URL(f"https://api.github.example{path}").raw_path.decode()


@given(ANY, ANY, ANY)
def test_a_path_stays_in_its_repository(owner: str, name: str, path: str) -> None:
    try:
        made = names.of_repository(owner, name, "contents", names.check_path(path))
    except GitHubRefused:
        return
    raw = sent(made)
    assert "?" not in raw
    assert "#" not in raw
    assert [unquote(one) for one in raw.split("/")] == [
        *("", "repos", owner, name, "contents"),
        *path.split("/"),
    ]
    assert not {".", ".."} & set(path.split("/"))


@given(ANY)
def test_a_revision_stays_where_it_is_put(revision: str) -> None:
    try:
        made = names.of_repository("ann", "app", "commits", names.check_revision(revision))
    except GitHubRefused:
        return
    assert unquote(sent(made)) == f"/repos/ann/app/commits/{revision}"
    assert not {"", ".", ".."} & set(revision.split("/"))


@given(ANY | st.builds(lambda host: f"https://{host}/x", ANY))
def test_a_redirect_stays_at_its_host(location: str) -> None:
    for downloads in (False, True):
        try:
            target = followed("https://api.github.example/user", location, downloads=downloads)
        except GitHubRefused:
            continue
        host = urlsplit(target).hostname
        assert host == "api.github.example" or (downloads and host == "codeload.github.example")


def test_archives_may_come_from_where_github_keeps_them() -> None:
    api = "https://api.github.example/repos/a/b/tarball/c"
    there = "https://codeload.github.example/a/b/legacy.tar.gz/c?token=x"
    assert followed(api, there, downloads=True) == there
    for wrong in (
        "http://codeload.github.example/x",
        "https://codeload.github.example:444/x",
        "https://codeload.github.example.evil.example/x",
        "https://evilcodeload.github.example/x",
    ):
        try:
            followed(api, wrong, downloads=True)
        except GitHubRefused:
            continue
        raise AssertionError(wrong)


def test_the_next_page_of_a_link_header() -> None:
    there = '<https://x/?page=1>; rel="prev", <https://x/?page=3>; rel="next"'
    assert next_page(there)
    assert not next_page('<https://x/?page=1>; rel="prev", <https://x/?page=9>; rel="last"')
    assert not next_page(None)
    assert not next_page('rel="next"')


async def test_the_token_is_not_shown_where_archives_lie() -> None:
    shown: dict[str, bool] = {}

    def answer(request: httpx.Request) -> httpx.Response:
        shown[request.url.host] = "authorization" in request.headers
        if request.url.host == "api.github.example":
            there = "https://codeload.github.example/a/b/c?token=once"
            return httpx.Response(302, headers={"Location": there})
        return httpx.Response(200, stream=httpx.ByteStream(b"archive"))

    site = GitHubSite("https://api.github.example")
    # Two hosts of names that no test can have: the way out is replaced, and nothing else.
    site._clients[MOST_DOWNLOADS] = httpx.AsyncClient(transport=httpx.MockTransport(answer))
    service = GitHubService(site, Bearer("alice", "ghp_secret"))
    data = b"".join([part async for part in service.archive("ann", "app", "0" * 40)])
    assert data == b"archive"
    assert shown == {"api.github.example": True, "codeload.github.example": False}
    await site.close()
