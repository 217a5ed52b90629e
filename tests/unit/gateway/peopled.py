"""Gateways that follow their people, as the service has them do, and accounts to come in with."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import msgspec

from services.bus.bus import Bus
from services.gateway.settings import Settings
from services.keys.vault import key_path
from tests.support.facts import name
from tests.unit.gateway.world import KEY, SETTINGS, World, world

ADMIN = "admin-token"
PASSWORD = "correct horse battery"


@contextlib.asynccontextmanager
async def peopled(
    folder: Path, bus: Bus, settings: Settings = SETTINGS, *, key: bytes = KEY, follow: bool = True
) -> AsyncIterator[World]:
    """Run a gateway with all that is to be followed."""
    path = key_path(folder, None)
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    path.touch(mode=0o600)
    path.write_bytes(key)
    async with world(folder, bus, settings) as one:
        parts = one.site.parts
        await parts.tokens.refresh()
        await parts.state.refresh()
        followed = (parts.tokens, parts.state) if follow else ()
        following = [asyncio.create_task(each.follow()) for each in followed]
        try:
            yield one
        finally:
            for task in following:
                task.cancel()
            await asyncio.gather(*following, return_exceptions=True)


async def added(one: World, user: str = "", **fields: Any) -> str:
    """Make an account with the password; the answer is its name."""
    made = user or name("u")
    async with one.http(ADMIN) as admin:
        body = {"name": made, "password": PASSWORD} | fields
        answer = await admin.post("/api/users", json=body)
        assert answer.status_code == 201, answer.text
    return made


async def login(one: World, user: str, password: str = PASSWORD, **more: Any) -> httpx.Response:
    """Sign in, whatever comes of it."""
    async with one.http(None) as client:
        body = {"user": user, "password": password} | more
        return await client.post("/api/auth/login", json=body)


async def signed_in(one: World, user: str, **more: Any) -> dict[str, Any]:
    """Sign in; the answer is what was given out."""
    answer = await login(one, user, **more)
    assert answer.status_code == 200, answer.text
    return answer.json()["data"]  # type: ignore[no-any-return]


async def refreshed(one: World, token: str) -> httpx.Response:
    """Show a refresh token."""
    async with one.http(None) as client:
        return await client.post("/api/auth/refresh", json={"refresh_token": token})


async def good(one: World, token: str) -> bool:
    """Whether a token lets somebody in."""
    async with one.http(token) as client:
        return (await client.get("/api/preferences")).status_code == 200


def kinds(one: World, user: str) -> list[tuple[str, str, str]]:
    """What was noted of a user: kind, outcome and reason."""
    waiting = list(one.site.parts.trail.waiting)
    return [(event.kind, event.outcome, event.reason) for event in waiting if event.user == user]


def noted(one: World) -> str:
    """All that was noted, as it is stored."""
    return msgspec.json.encode(list(one.site.parts.trail.waiting)).decode()
