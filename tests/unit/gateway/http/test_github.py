"""GitHub over the HTTP API, in the name of the linked account: on the stand-in of GitHub."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import itertools
import logging
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import structlog
from aiohttp import web

from services.gateway.http.github import MOST_BODY, MOST_SHOWN
from services.github.shapes import blob_id
from tests.support.github.server import GitHubServer, github_server
from tests.support.nats import NatsServer
from tests.unit.gateway.hub_world import Linked, error_of, linked_world

MIB = 1024 * 1024
APP = "/api/github/repos/ann/app"
PUT: dict[str, Any] = {"content": base64.b64encode(b"new").decode(), "message": "Change"}


class World:
    """A gateway, the stand-in, and alice, who is ann there."""

    def __init__(self, gateway: Linked, github: GitHubServer, client: httpx.AsyncClient) -> None:
        self.gateway, self.github, self.client = gateway, github, client
        self.token = ""

    async def get(self, path: str, /, **query: Any) -> Any:
        answer = await self.client.get(path, params=query)
        assert answer.status_code == 200, answer.text
        return answer.json()["data"]

    async def link(self, client: httpx.AsyncClient, login: str) -> str:
        token = self.github.account(login)
        answer = await client.put("/api/accounts/github", json={"token": token})
        assert answer.status_code == 200, answer.text
        return token


@pytest.fixture
async def one(fresh_nats: NatsServer, tmp_path: Path) -> AsyncIterator[World]:
    async with contextlib.AsyncExitStack() as stack:
        github = await stack.enter_async_context(github_server())
        gateway = await stack.enter_async_context(
            linked_world(fresh_nats, tmp_path, github_url=github.url, rate_limit_requests=0)
        )
        gateway.site.linking._github._first_wait_s = 0.01
        world = World(gateway, github, await stack.enter_async_context(gateway.http()))
        world.token = await world.link(world.client, "ann")
        yield world


async def test_the_account_and_its_repositories(one: World) -> None:
    assert (await one.get("/api/github/user"))["login"] == "ann"
    for n in range(5):
        one.github.repo("ann", f"r{n}")
    names, cursor = [], None
    while True:
        query = {"limit": 2, "sort": "full_name"} | ({"cursor": cursor} if cursor else {})
        page = (await one.client.get("/api/github/repos", params=query)).json()
        names.append([row["full_name"] for row in page["data"]])
        if (cursor := page.get("next_cursor")) is None:
            break
    assert names == [["ann/r0", "ann/r1"], ["ann/r2", "ann/r3"], ["ann/r4"]]
    newest = await one.get("/api/github/repos", limit=1)
    assert newest[0]["full_name"] == "ann/r4"
    assert (await one.get("/api/github/repos/ann/r0"))["may_write"] is True


async def test_a_repository_is_made_once(one: World) -> None:
    made = await one.client.post("/api/github/repos", json={"name": "app", "description": "Mine"})
    assert made.status_code == 201, made.text
    data = made.json()["data"]
    assert (data["full_name"], data["private"], data["description"]) == ("ann/app", True, "Mine")
    again = await one.client.post("/api/github/repos", json={"name": "app"})
    assert "name already exists" in error_of(again, 409).message
    for body in ({}, {"name": ""}, {"name": "a/b"}, {"name": "x", "more": 1}, {"name": "x" * 101}):
        assert error_of(await one.client.post("/api/github/repos", json=body), 400).message, body


async def test_folders_come_in_pages(one: World) -> None:
    repo = one.github.repo("ann", "app")
    repo.commit({f"lib/{n}.py": b"x" for n in range(5)} | {"a": b"1"})
    top = await one.get(f"{APP}/contents")
    assert [(row["path"], row["type"]) for row in top] == [("a", "file"), ("lib", "dir")]
    query: dict[str, Any] = {"path": "lib", "limit": 3}
    first = (await one.client.get(f"{APP}/contents", params=query)).json()
    assert first["next_cursor"] == 3
    rest = await one.client.get(f"{APP}/contents", params=query | {"cursor": 3})
    assert "next_cursor" not in rest.json() or rest.json()["next_cursor"] is None
    found = [*first["data"], *rest.json()["data"]]
    assert [row["path"] for row in found] == [f"lib/{n}.py" for n in range(5)]
    assert [row["name"] for row in await one.get(f"{APP}/branches")] == ["main"]


@pytest.mark.parametrize("size", [0, 10, MIB, MIB + 1])
async def test_a_file_in_base64_and_as_it_is(one: World, size: int) -> None:
    content = bytes(n * 11 % 256 for n in range(size))
    repo = one.github.repo("ann", "app")
    first = repo.commit({"a b/ü.bin": content})
    repo.commit({"a b/ü.bin": b"later"})
    query = {"path": "a b/ü.bin", "ref": first.sha}
    data = await one.get(f"{APP}/file", **query)
    assert base64.b64decode(data["content"]) == content
    assert (data["sha"], data["size"], data["encoding"]) == (blob_id(content), size, "base64")
    raw = await one.client.get(f"{APP}/file", params=query | {"raw": True})
    assert raw.content == content
    assert raw.headers["etag"] == f'"{blob_id(content)}"'
    assert raw.headers["content-type"] == "application/octet-stream"
    assert raw.headers["content-disposition"] == "attachment"


async def test_a_big_file_comes_as_it_is_only(one: World) -> None:
    content = b"0123456789abcdef" * (MOST_SHOWN // 16 + 1)
    one.github.repo("ann", "app").commit({"big": content})
    refused = await one.client.get(f"{APP}/file", params={"path": "big"})
    assert "raw=true" in error_of(refused, 413).message
    raw = await one.client.get(f"{APP}/file", params={"path": "big", "raw": True})
    assert raw.content == content


async def test_a_download_that_breaks_off_is_cut(one: World) -> None:
    content = bytes(2 * MIB)
    repo = one.github.repo("ann", "app")
    sha = repo.commit({"big": content}).files["big"].sha

    async def nothing(_: web.Request) -> None:
        return None

    async def broken(request: web.Request) -> web.StreamResponse:
        answer = web.StreamResponse(headers={"Content-Length": str(len(content))})
        await answer.prepare(request)
        await answer.write(content[:MIB])
        assert request.transport is not None
        request.transport.close()
        return answer

    query = {"path": "big", "raw": True}
    one.github.trouble += [nothing, broken]
    with pytest.raises(httpx.HTTPError):
        await one.client.get(f"{APP}/file", params=query)
    repo.blobs[sha] = content[:-1] + b"x"
    with pytest.raises(httpx.HTTPError):
        await one.client.get(f"{APP}/file", params=query)


async def test_a_file_is_written_and_conflicts_are_told(one: World) -> None:
    repo = one.github.repo("ann", "app")
    repo.commit({"a": b"old"})
    url = f"{APP}/file"
    stale = await one.client.put(url, params={"path": "a"}, json=PUT | {"sha": blob_id(b"x")})
    assert blob_id(b"old") in error_of(stale, 409).message
    good = await one.client.put(url, params={"path": "a"}, json=PUT | {"sha": blob_id(b"old")})
    assert good.status_code == 200, good.text
    assert good.json()["data"]["commit"] == repo.branches["main"]
    again = await one.client.put(url, params={"path": "a"}, json=PUT)
    assert (again.json()["data"]["changed"], again.json()["message"]) == (
        False,
        "it has this content already",
    )
    fresh = PUT | {"branch": "fix", "create_from": "HEAD"}
    made = await one.client.put(url, params={"path": "b"}, json=fresh)
    assert made.json()["data"]["created"] is True
    assert repo.branches["fix"] == made.json()["data"]["commit"]
    missing = await one.client.put(url, params={"path": "b"}, json=PUT | {"branch": "none"})
    assert "Branch none not found" in error_of(missing, 404).message


UNFIT: list[tuple[dict[str, str], dict[str, Any], str]] = [
    ({}, PUT, "path"),
    ({"path": "../a"}, PUT, "is no path"),
    ({"path": "a"}, {}, "content"),
    ({"path": "a"}, PUT | {"content": "%"}, "expected base64"),
    ({"path": "a"}, PUT | {"content": "\u0131"}, "expected base64"),
    ({"path": "a"}, PUT | {"message": ""}, "message"),
    ({"path": "a"}, PUT | {"sha": "zz"}, "is no commit"),
    ({"path": "a"}, PUT | {"branch": "a b"}, "is no branch"),
    ({"path": "a"}, PUT | {"more": 1}, "more"),
]


async def test_writing_what_does_not_fit(one: World) -> None:
    asked = len(one.github.asked)
    for query, body, words in UNFIT:
        refused = await one.client.put(f"{APP}/file", params=query, json=body)
        assert words in error_of(refused, 400).message, (query, body)
    assert len(one.github.asked) == asked


async def test_more_than_is_written(one: World) -> None:
    one.github.repo("ann", "app")
    body = PUT | {"content": "A" * MOST_BODY}
    refused = await one.client.put(f"{APP}/file", params={"path": "a"}, json=body)
    assert error_of(refused, 413).reason == "too_large"
    five = base64.b64encode(bytes(5 * MIB)).decode()
    good = await one.client.put(f"{APP}/file", params={"path": "a"}, json=PUT | {"content": five})
    assert good.status_code == 200, good.text


async def test_one_file_of_a_user_is_written_at_a_time(one: World) -> None:
    one.github.repo("ann", "app")
    one.github.repo("bob", "app")
    here, go = asyncio.Event(), asyncio.Event()

    async def held(_: web.Request) -> None:
        here.set()
        await go.wait()

    one.github.trouble.append(held)
    url, query = f"{APP}/file", {"path": "a"}
    async with one.gateway.http("bob-token") as bob, asyncio.timeout(60):
        first = asyncio.create_task(one.client.put(url, params=query, json=PUT))
        await here.wait()
        refused = await one.client.put(url, params=query, json=PUT)
        assert "one after the other" in error_of(refused, 429).message
        assert refused.headers["retry-after"]
        await one.link(bob, "bob")
        other = await bob.put("/api/github/repos/bob/app/file", params=query, json=PUT)
        assert other.status_code == 200, other.text
        go.set()
        assert (await first).status_code == 200
    assert (await one.client.put(url, params=query, json=PUT)).status_code == 200


async def test_a_strangers_body_is_not_waited_for(one: World) -> None:
    address = httpx.URL(one.gateway.url)
    for token, status in ("", 401), ("bob-token", 404):
        reader, writer = await asyncio.open_connection(address.host, address.port)
        head = f"PUT {APP}/file?path=a HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\n"
        if token:
            head += f"Authorization: Bearer {token}\r\n"
        writer.write(f"{head}\r\n".encode())
        async with asyncio.timeout(50):
            line = await reader.readline()
        assert line.split()[1] == str(status).encode()
        writer.close()


READS = (
    *("/api/github/user", "/api/github/repos", APP, f"{APP}/contents", f"{APP}/branches"),
    f"{APP}/file?path=a",
)


async def test_what_github_says_in_our_words(one: World) -> None:
    one.github.repo("ann", "app").commit({"a": b"1"})
    said = (
        (401, 403, "metamcp link github"),
        (403, 403, "does not allow"),
        (404, 404, "linked account may see"),
        (409, 409, "otherwise now"),
        (422, 400, "refuses it"),
        (500, 503, "has a fault"),
    )
    for path, (status, asked, words) in itertools.product(READS, said):
        one.github.fail(status, "Said", times=3 if status == 500 else 1)
        refused = await one.client.get(path)
        assert words in error_of(refused, asked).message, (path, status)
        assert one.token not in refused.text + repr(refused.headers)


async def test_a_limit_of_github_says_when_it_is_over(one: World) -> None:
    one.github.fail(403, "You have exceeded a secondary rate limit", Retry_After="41")
    refused = await one.client.get(APP)
    assert error_of(refused, 429).reason == "rate_limited"
    assert refused.headers["retry-after"] == "42"
    assert "free again in 41 s" in refused.text
    asked = len(one.github.asked)
    for path in READS:
        assert error_of(await one.client.get(path), 429).message
    assert len(one.github.asked) == asked, "GitHub is left alone until then"


async def test_without_an_account_it_is_said_how_to_link_one(one: World) -> None:
    one.github.repo("ann", "app").commit({"a": b"1"})
    asked = len(one.github.asked)
    async with one.gateway.http("bob-token") as bob, one.gateway.http(None) as nobody:
        for path in READS:
            assert "`metamcp link github`" in error_of(await bob.get(path), 404).message
            assert error_of(await nobody.get(path), 401).reason == "unauthorized"
        query = {"path": "a"}
        refused = await bob.put(f"{APP}/file", params=query, json=PUT)
        assert "`metamcp link github`" in error_of(refused, 404).message
        refused = await bob.post("/api/github/repos", json={"name": "x"})
        assert "`metamcp link github`" in error_of(refused, 404).message
    assert len(one.github.asked) == asked


async def test_everybody_asks_with_their_own_account(one: World) -> None:
    one.github.repo("ann", "app", private=True).commit({"a": b"1"})
    one.github.repo("bob", "his", private=True).commit({"b": b"2"})
    assert (await one.get(f"{APP}/file", path="a"))["size"] == 1
    async with one.gateway.http("bob-token") as bob:
        await one.link(bob, "bob")
        assert (await bob.get("/api/github/user")).json()["data"]["login"] == "bob"
        for path in READS[2:]:
            assert error_of(await bob.get(path), 404).reason == "not_found"
        refused = await bob.put(f"{APP}/file", params={"path": "a"}, json=PUT)
        assert error_of(refused, 404).reason == "not_found"
        assert (await bob.get("/api/github/repos/bob/his")).status_code == 200
    assert error_of(await one.client.get("/api/github/repos/bob/his"), 404).message
    async with one.gateway.http("admin-token") as admin:
        assert "metamcp link github" in error_of(await admin.get(APP), 404).message


async def test_an_unlinked_account_is_used_no_more(one: World) -> None:
    one.github.repo("ann", "app").commit({"a": b"1"})
    assert await one.get(f"{APP}/file", path="a")
    await one.client.delete("/api/accounts/github")
    asked = len(one.github.asked)
    refused = await one.client.get(f"{APP}/file", params={"path": "a"})
    assert "metamcp link github" in error_of(refused, 404).message
    assert len(one.github.asked) == asked


async def test_a_token_is_shown_nowhere(one: World, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    one.github.repo("ann", "app").commit({"a": b"1"})
    answers = []
    with structlog.testing.capture_logs() as lines:
        for path in (*READS, "/api/github/repos/ann/none"):
            answers.append(await one.client.get(path))
        one.github.cut(times=3)
        answers.append(await one.client.get(APP))
        one.github.fail(200, f"{one.token}")
        answers.append(await one.client.get(APP))
    # httpcore's own lines at DEBUG, which no service of ours writes, name headers.
    ours = [line.getMessage() for line in caplog.records if not line.name.startswith("httpcore")]
    texts = [answer.text + repr(answer.headers) for answer in answers] + [repr(lines), repr(ours)]
    assert [text for text in texts if one.token in text] == []


UNASKED = (
    *("/api/github/repos?limit=0", "/api/github/repos?limit=101", "/api/github/repos?cursor=0"),
    *("/api/github/repos?sort=size", "/api/github/repos?direction=up"),
    *(f"{APP}/contents?cursor=-1", f"{APP}/contents?limit=501", f"{APP}/contents?path=a//b"),
    *(f"{APP}/contents?ref=a..b", f"{APP}/file", f"{APP}/file?path=", f"{APP}/file?path=/a"),
    *("/api/github/repos/a%20b/c", "/api/github/repos/-/c", f"{APP}/branches?limit=x"),
)


async def test_questions_that_do_not_fit(one: World) -> None:
    asked = len(one.github.asked)
    for path in UNASKED:
        assert error_of(await one.client.get(path), 400).reason == "bad_request", path
    assert len(one.github.asked) == asked
