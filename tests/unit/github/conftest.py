"""The stand-in of GitHub, and the way to it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable

import pytest

from services.github.service import GitHubService
from services.github.site import Bearer, GitHubSite
from tests.support.github.server import GitHubServer, github_server

Of = Callable[..., GitHubService]


@pytest.fixture
async def github() -> AsyncIterator[GitHubServer]:
    async with github_server() as server:
        yield server


@pytest.fixture
async def site(github: GitHubServer) -> AsyncIterator[GitHubSite]:
    one = GitHubSite(github.url, first_wait_s=0.01)
    yield one
    await one.close()


@pytest.fixture
def ann(github: GitHubServer, site: GitHubSite) -> GitHubService:
    """Alice, who is ann at GitHub."""
    return GitHubService(site, Bearer("alice", github.account("ann")))
