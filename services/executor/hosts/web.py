"""What hosts over HTTP that are no MCP servers have in common."""

from __future__ import annotations

import asyncio
import contextlib

from contracts.facts import FailureKind
from contracts.host import Execute, OpenApi, operated
from services.executor.attempt.call import HostError, Opening
from services.outside import addresses
from services.outside.site import HttpSite


class HostBusy(Exception):
    """The host did not take the request."""

    def __init__(self, why: str, wait_s: float | None) -> None:
        """`wait_s`: when it wants to be asked again, if it says so."""
        super().__init__(why)
        self.wait_s = wait_s


async def pause(seconds: float, closed: asyncio.Event) -> None:
    """Wait, but not beyond the session's end."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await closed.wait()


def site_of(opening: Opening, endpoint: Execute | OpenApi) -> HttpSite:
    """Where the host is called, for one set of credentials. Raises HostError(UNREACHABLE)."""
    host = opening.host
    try:
        return HttpSite(
            addresses.resolve(endpoint.url, spaces=opening.spaces, subdomain=endpoint.subdomain),
            public_only=addresses.kept_public(host, allow_private=opening.allow_private),
            connections=host.limits.max_concurrency,
            headers=endpoint.headers,
            bearer=opening.bearer,
            discreet=operated(host),
        )
    except addresses.AddressRefused as refused:
        raise HostError(FailureKind.UNREACHABLE, f"host {host.id}: {refused}") from None
