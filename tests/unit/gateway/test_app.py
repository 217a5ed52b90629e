"""What all of HTTP has in common: web pages of other origins, HEAD, who is never told to wait."""

from __future__ import annotations

import asyncio
import gzip
import json
from pathlib import Path

import httpx
import pytest

from contracts.result import inline
from services.bus.bus import Bus
from services.gateway.settings import Settings
from tests.support import facts
from tests.support.nats import NatsServer
from tests.unit.gateway.world import TASK, World, error_of, world

PAGE = "http://localhost:3000"
ASK = {
    "origin": PAGE,
    "access-control-request-method": "POST",
    "access-control-request-headers": "authorization",
}
ALLOWED = {"access-control-allow-origin": PAGE, "access-control-allow-credentials": "true"}


def about_origins(answer: httpx.Response) -> dict[str, str]:
    return {k: v for k, v in answer.headers.items() if k.startswith("access-control-allow")}


@pytest.mark.parametrize("path", ["/api/tasks", "/mcp", "/api/events", "/nothing"])
async def test_a_browser_asks_first_for_an_allowed_page(gateway: World, path: str) -> None:
    async with gateway.http(None) as client:
        good = await client.options(path, headers=ASK)
        assert (good.status_code, good.content) == (204, b"")
        found = about_origins(good)
        assert ALLOWED.items() <= found.items()
        assert {"GET", "HEAD", "DELETE"} <= set(found["access-control-allow-methods"].split(", "))
        names = found["access-control-allow-headers"].lower().split(", ")
        assert {"authorization", "range", "if-none-match", "mcp-session-id"} <= set(names)
        bad = await client.options(path, headers=ASK | {"origin": "http://evil.example"})
        assert about_origins(bad) == {}


async def test_answers_say_which_page_may_read_them(gateway: World) -> None:
    async with gateway.http() as client:
        good = await client.get("/api/tasks", headers={"origin": PAGE})
        assert about_origins(good) == ALLOWED
        shown = good.headers["access-control-expose-headers"].lower().split(", ")
        assert {"etag", "retry-after", "content-range", "x-request-id"} <= set(shown)
        for headers in ({"origin": "http://evil.example"}, {}):
            other = await client.get("/api/tasks", headers=headers)
            assert about_origins(other) == {}
            assert "origin" in other.headers["vary"].lower()
        failed = await client.get("/api/tasks/none", headers={"origin": PAGE})
        assert about_origins(failed) == ALLOWED


async def test_over_the_limit_browsers_and_watchers_are_answered(tmp_path: Path, bus: Bus) -> None:
    strict = Settings(port=0, rate_limit_requests=2, allowed_origins=(PAGE,))
    async with world(tmp_path, bus, strict) as gateway, gateway.http(None) as client:
        for _ in range(3):
            over = await client.get("/", headers={"origin": PAGE})
        assert error_of(over).reason == "rate_limited"
        assert about_origins(over) == ALLOWED
        assert (await client.options("/api/tasks", headers=ASK)).status_code == 204
        assert (await client.get("/api/health")).status_code == 200
        assert (await client.get("/.well-known/jwks.json")).status_code == 200
        assert (await client.get("/")).status_code == 429


async def test_head_is_get_without_the_body(gateway: World) -> None:
    done = facts.done("alice", "t1", result=inline(b'{"x":1}'))
    await gateway.append(facts.created("alice", "t1"), done)
    await gateway.settled()
    async with gateway.http() as client:
        for path in ("/", "/api/tasks/t1", "/api/docs"):
            head, whole = await client.head(path), await client.get(path)
            assert (head.status_code, head.content) == (200, b"")
            kept = ("content-type", "etag", "content-security-policy")
            assert [head.headers.get(k) for k in kept] == [whole.headers.get(k) for k in kept]
        endless = await client.head("/api/events")
        assert endless.headers["content-type"].startswith("text/event-stream")
        assert (await client.head("/api/tasks/none")).status_code == 404
        assert (await client.head("/api/tasks/t1/cancel")).status_code == 405
        assert (await client.post("/api/tasks", json=TASK)).status_code == 201, "it still works"


async def test_a_bad_token_is_told_apart_from_none(gateway: World) -> None:
    at = f"{gateway.url}/.well-known/oauth-protected-resource/mcp"
    asked = f'resource_metadata="{at}", scope="mcp:call"'
    for path, more in (("/api/tasks", ""), ("/mcp", asked)):
        async with gateway.http(None) as client:
            none = await client.post(path)
            bad = await client.post(path, headers={"authorization": "Bearer made-up"})
        assert "send `Authorization" in error_of(none).message
        assert none.headers["www-authenticate"] == f"Bearer {more}".strip()
        assert error_of(bad).message == "unknown or expired token"
        told = 'Bearer error="invalid_token"'
        assert bad.headers["www-authenticate"] == (f"{told}, {more}" if more else told)


@pytest.mark.parametrize("path", ["/api/tasks", "/api/blobs", "/mcp"])
async def test_encoded_bodies_are_refused_for_what_they_are(gateway: World, path: str) -> None:
    async with gateway.http() as client:
        answer = await client.request(
            "PUT" if path == "/api/blobs" else "POST",
            path,
            content=gzip.compress(b"{}"),
            headers={"content-encoding": "gzip"},
        )
    assert error_of(answer).reason == "unsupported_media_type"
    assert answer.status_code == 415


async def test_who_forgets_the_websocket_is_told(gateway: World) -> None:
    async with gateway.http() as client:
        answer = await client.get("/api/stream")
    assert error_of(answer).reason == "upgrade_required"
    assert (answer.status_code, answer.headers["upgrade"]) == (426, "websocket")


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ("statuss=failed", "unknown query parameter 'statuss': there are status, type, user,"),
        ("status=done", "status: expected one of cancelled, failed,"),
        ("type=a&type=b", "type: given 2 times"),
        ("limit=1&limit=2", "limit: given 2 times"),
        ("x" * 500 + "=1", "unknown query parameter 'xxx"),
    ],
)
async def test_a_query_that_would_mean_something_else_is_refused(
    gateway: World, query: str, words: str
) -> None:
    async with gateway.http() as client:
        error = error_of(await client.get(f"/api/tasks?{query}"))
        assert (error.code, error.reason) == (400, "bad_request")
        assert words in error.message
        assert len(error.message) < 300
        assert (await client.get("/api/tasks?limit=1&status=failed")).status_code == 200
        async with (
            asyncio.timeout(30),
            client.stream("GET", "/api/events?types=job.done&types=task.created") as several,
        ):
            assert several.status_code == 200


async def test_what_does_not_fit_is_told_with_its_place(gateway: World) -> None:
    async with gateway.http() as client:
        error = error_of(await client.post("/api/tasks", json=TASK | {"priority": "urgent"}))
        plain = (await client.get("/api/tasks/none")).json()["error"]
    assert error.details == [
        {"message": "Invalid enum value 'urgent'", "key": "priority", "source": "body"}
    ]
    assert plain["details"] is None, "it is there in every error"


@pytest.mark.parametrize(
    ("body", "end"),
    [
        (b'{"type":"t","%b":1}' % (b"x" * 900_000), "x`"),
        (b'{"type":"t","priority":"%b"}' % (b"x" * 900_000), "` - at `$.priority`"),
        (b'{"type":"t","%b":1}' % (b" - at `$" * 100_000), " - at `$`"),
    ],
    ids=["name", "value", "places"],
)
async def test_an_error_repeats_little_of_what_was_sent(
    gateway: World, body: bytes, end: str
) -> None:
    async with gateway.http() as client:
        error = error_of(await client.post("/api/tasks", content=body))
        assert (error.code, len(error.message)) == (400, 1000)
        assert error.message.startswith("not a task: ")
        assert error.message.endswith(end.removeprefix("`"))
        assert len(json.dumps(error.details)) < 2000
        lost = (await client.get("/api/" + "y" * 20_000)).json()["error"]
        assert len(lost["message"]) == len(lost["path"]) == 1000


async def test_watchers_are_answered_whatever_they_show(
    fresh_nats: NatsServer, tmp_path: Path
) -> None:
    async with fresh_nats.connected("gateway") as bus, world(tmp_path, bus) as gateway:
        await fresh_nats.kill()
        async with gateway.http("mtm_unknown") as client:
            assert (await client.get("/api/health/live")).status_code == 200
            asked = await client.get("/api/tasks")
            assert (asked.status_code, error_of(asked).reason) == (503, "unavailable")
            assert "retry-after" in asked.headers
        async with gateway.http() as known:
            assert (await known.get("/api/preferences")).status_code == 200


async def test_a_network_of_ipv6_is_one_client(tmp_path: Path, bus: Bus) -> None:
    strict = Settings(port=0, rate_limit_requests=2, trusted_proxies=("127.0.0.1",))
    async with world(tmp_path, bus, strict) as one, one.http(None) as client:

        async def asks(address: str) -> int:
            answer = await client.get("/", headers={"X-Forwarded-For": address})
            return answer.status_code

        same = [await asks(f"2001:db8:0:1::{n:x}") for n in range(3)]
        assert same == [200, 200, 429]
        assert await asks("2001:db8:0:2::1") == 200
        mapped = [await asks(f"{prefix}192.0.2.1") for prefix in ("", "::ffff:", "")]
        assert mapped == [200, 200, 429]
