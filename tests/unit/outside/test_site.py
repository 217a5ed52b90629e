"""Pages and calls of one site: bounded, redirected within it only, nothing sent twice."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest

from services.outside.addresses import AddressRefused
from services.outside.site import HttpSite, SitePage
from tests.support.http_host import answer, cut, parts, serving


@contextlib.asynccontextmanager
async def site(url: str, **options: Any) -> AsyncIterator[HttpSite]:
    one = HttpSite(url, public_only=False, connections=2, **options)
    try:
        yield one
    finally:
        await one.close()


async def page(url: str, limit: int = 1000) -> SitePage:
    async with site(url) as one:
        return await one.get("/health", limit)


async def test_a_page_comes_whole_with_what_it_is() -> None:
    reply = answer(b"hm", 503, kind="Text/HTML; charset=x", Retry_After="7")
    async with serving(reply) as server:
        assert await page(server.url + "/base") == SitePage(503, "text/html", 7.0, b"hm")
        assert [seen.path for seen in server.seen] == ["/base/health"]


async def test_a_page_over_the_limit_is_refused_before_it_is_read() -> None:
    async with serving(parts(*[b"x" * 1000] * 50)) as server:
        with pytest.raises(AddressRefused, match="more than 1000 bytes"):
            await page(server.url)


async def test_what_a_compressed_page_unfolds_to_is_what_counts() -> None:
    bomb = parts(*[b" " * 1_000_000] * 20, zipped=True)
    async with serving(bomb) as server:
        with pytest.raises(AddressRefused, match="more than 100000 bytes"):
            await page(server.url, 100_000)
    async with serving(parts(b"[", b"1]", zipped=True)) as server:
        assert (await page(server.url)).body == b"[1]"


async def test_redirects_are_followed_within_the_origin_and_at_most_three() -> None:
    there = answer(None, 302, Location="/there")
    async with serving(there, there, there, answer({"a": 1})) as server:
        assert (await page(server.url)).body == b'{"a": 1}'
        assert [seen.path for seen in server.seen] == ["/health"] + ["/there"] * 3
    async with serving(there) as server:
        with pytest.raises(AddressRefused, match="more than 3 times"):
            await page(server.url)


@pytest.mark.parametrize(
    "target", ["https://127.0.0.1:{port}/x", "http://localhost:{port}/x?secret=1", "//evil.test/x"]
)
async def test_a_redirect_to_another_origin_is_not_followed(target: str) -> None:
    async with serving(answer({})) as other:
        location = target.format(port=other.url.rpartition(":")[2])
        async with serving(answer(None, 307, Location=location)) as server:
            with pytest.raises(
                AddressRefused, match=r"redirected with status 307 to .*/x$"
            ) as refused:
                await page(server.url)
        assert other.seen == []
        assert "secret" not in str(refused.value)


async def test_cookies_are_not_kept_and_headers_are_bounded() -> None:
    async with serving(answer({}, Set_Cookie="a=b; Path=/")) as server:
        async with site(server.url, headers={"X-Mine": "1"}, bearer="s3cret") as one:
            await one.get("/health", 100)
            await one.get("/health", 100)
        for seen in server.seen:
            assert "Cookie" not in seen.headers
            assert (seen.headers["X-Mine"], seen.headers["Authorization"]) == ("1", "Bearer s3cret")
        assert len({seen.connection for seen in server.seen}) == 1
    async with serving(answer({}, X_Long="x" * 20_000)) as server:
        with pytest.raises(aiohttp.ClientResponseError):
            await page(server.url)


async def test_a_post_is_sent_once_whatever_becomes_of_it() -> None:
    async with serving(cut()) as server, site(server.url) as one:
        with pytest.raises(aiohttp.ClientError):
            await one.post("/execute", b"{}")
        assert [(seen.method, seen.body) for seen in server.seen] == [("POST", b"{}")]
    with pytest.raises(AddressRefused, match="was closed"):
        await one.post("/execute", b"{}")
