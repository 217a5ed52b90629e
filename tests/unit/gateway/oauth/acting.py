"""A gateway whose people are followed, and who they are."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

from services.gateway.oauth.server import OAuth
from services.gateway.people.records import User
from services.gateway.people.users import Users
from tests.support.facts import name
from tests.support.oauth_browser import PASSWORD, Browser, browsing
from tests.unit.gateway.world import World


def oauth_of(one: World) -> OAuth:
    return one.site.oauth


def people_of(one: World) -> Users:
    return one.site.parts.users


@contextlib.asynccontextmanager
async def followed(one: World) -> AsyncIterator[World]:
    """Follow people, as a gateway's service does."""
    await one.site.parts.state.refresh()
    following = asyncio.create_task(one.site.parts.state.follow())
    try:
        yield one
    finally:
        following.cancel()
        await asyncio.wait((following,))


@contextlib.asynccontextmanager
async def person(
    one: World, gateway: str | None = None, **fields: object
) -> AsyncIterator[Browser]:
    """Make a user, and their browser."""
    user = name("u")
    await people_of(one).create(User(name=user, **fields), asked_by="test")  # type: ignore[arg-type]
    await one.site.parts.entrance.set_password(user, PASSWORD, "test")
    async with browsing(user, gateway or one.url) as found:
        yield found
