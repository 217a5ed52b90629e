"""Fixtures of sign-in: the stand-ins, and a gateway that takes all new people."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from services.bus.bus import Bus
from tests.support.github_sign_in import GitHubOAuth, github_oauth
from tests.support.nats import NatsServer
from tests.support.oidc import OidcServer, hugging_face, oidc_server
from tests.unit.gateway.people.providers.signing import (
    Signing,
    of_company,
    of_github,
    of_hub,
    signing,
)


@pytest.fixture
async def github() -> AsyncIterator[GitHubOAuth]:
    async with github_oauth() as one:
        yield one


@pytest.fixture
async def hub() -> AsyncIterator[OidcServer]:
    async with hugging_face() as one:
        yield one


@pytest.fixture
async def company() -> AsyncIterator[OidcServer]:
    async with oidc_server() as one:
        yield one


@pytest.fixture
async def own_bus(copied_nats: NatsServer) -> AsyncIterator[Bus]:
    """A connection to a server on which nobody else has people."""
    async with copied_nats.connected("gateway") as one:
        yield one


@pytest.fixture
def chosen(
    github: GitHubOAuth, hub: OidcServer, company: OidcServer, tmp_path: Path
) -> dict[str, Any]:
    return {
        **of_github(github),
        **of_hub(hub),
        **of_company(company, tmp_path),
        "admit_new_people": "all",
    }


@pytest.fixture
async def gateway(own_bus: Bus, tmp_path: Path, chosen: dict[str, Any]) -> AsyncIterator[Signing]:
    async with signing(tmp_path, own_bus, chosen) as one:
        yield one
