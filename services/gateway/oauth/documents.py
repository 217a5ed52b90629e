"""Descriptions of clients at an address of their own (client ID metadata documents).

Whoever is signed in can have us fetch one, so it goes the guarded way out, is small, and is kept.
"""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from collections.abc import Callable
from typing import NamedTuple
from urllib.parse import urlsplit

import aiohttp
import msgspec

from services.gateway.oauth.clients import ClientMetadata
from services.gateway.oauth.rules import OAuthError
from services.outside import addresses, site
from services.outside.addresses import AddressRefused, Lookup, look_up
from services.outside.site import HttpSite, SitePage

LONGEST = 500
"""Characters of such an id."""
LIMIT = 64 * 1024
FETCH_S = 5.0
KEEP_S = 600.0
KEEP_FAILED_S = 30.0
MOST_KEPT = 1000
MOST_FETCHING = 8
OFF = (
    ". If this gateway does not reach the internet, its operator has to set"
    " METAMCP_GATEWAY_OAUTH_CLIENT_DOCUMENTS=false: such programs register then"
)


class _Kept(NamedTuple):
    until: float
    found: ClientMetadata | OAuthError


class ClientDocuments:
    """Fetches and keeps them. Raises OAuthError."""

    def __init__(
        self,
        *,
        private: Callable[[], bool],
        lookup: Lookup = look_up,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`private`: whether addresses of this machine, and http, may be fetched from."""
        self._private = private
        self._lookup = lookup
        self._clock = clock
        self._kept: OrderedDict[str, _Kept] = OrderedDict()
        self._fetching: dict[str, asyncio.Task[ClientMetadata]] = {}

    async def of(self, url: str) -> ClientMetadata:
        """Return the document at a client's address."""
        kept = self._kept.get(url)
        if kept is not None and kept.until > self._clock():
            if isinstance(kept.found, OAuthError):
                raise OAuthError(kept.found.error, kept.found.description)
            return kept.found
        task = self._fetching.get(url)
        if task is None:
            self._check(url)
            if len(self._fetching) >= MOST_FETCHING:
                text = "too many clients' documents are fetched now: try again"
                raise OAuthError("temporarily_unavailable", text, 503)
            task = self._fetching[url] = asyncio.create_task(self._once(url))
            task.add_done_callback(lambda done: self._forget(url, done))
        return await asyncio.shield(task)

    def _forget(self, url: str, done: asyncio.Task[ClientMetadata]) -> None:
        del self._fetching[url]
        if not done.cancelled():
            # Whoever waited may have gone away.
            done.exception()

    def _check(self, url: str) -> None:
        parts = urlsplit(url)
        if len(url) > LONGEST:
            raise _bad(f"it has more than {LONGEST} characters")
        if parts.scheme != "https" and not self._private():
            raise _bad("it has to begin with https://")
        if parts.path in ("", "/") or {".", ".."} & set(parts.path.split("/")):
            raise _bad("it needs a path, without `.` and `..`")

    async def _once(self, url: str) -> ClientMetadata:
        found: ClientMetadata | OAuthError
        try:
            found = read(await self._fetched(url))
        except OAuthError as error:
            found = error
        failed = isinstance(found, OAuthError)
        keep_s = KEEP_FAILED_S if failed else KEEP_S
        self._kept[url] = _Kept(self._clock() + keep_s, found)
        self._kept.move_to_end(url)
        if len(self._kept) > MOST_KEPT:
            self._kept.popitem(last=False)
        if isinstance(found, OAuthError):
            raise found
        return found

    async def _fetched(self, url: str) -> SitePage:
        try:
            checked = addresses.resolve(url, mcp=True)
            http = HttpSite(
                checked,
                public_only=not self._private(),
                connections=1,
                headers={"Accept": "application/json"},
                lookup=self._lookup,
                discreet=True,
            )
        except AddressRefused as error:
            raise _bad(site.why(error)) from None
        try:
            async with asyncio.timeout(FETCH_S):
                return await http.get("", LIMIT)
        except TimeoutError:
            raise _bad(f"no answer within {FETCH_S:g} s{OFF}") from None
        except (aiohttp.ClientError, OSError) as error:
            raise _bad(f"{site.why(error)}{OFF}") from None
        finally:
            await http.close()


async def not_fetched(url: str) -> ClientMetadata:
    """Refuse it: for a gateway that takes registered clients alone."""
    raise _bad("this server fetches none, as its metadata says: the client has to register")


def read(page: SitePage) -> ClientMetadata:
    """Read a document that was fetched. Raises OAuthError."""
    if page.status != 200:
        raise _bad(f"it answers with status {page.status}")
    if not site.is_json(page.media_type):
        raise _bad("it answers with something else than JSON")
    try:
        return msgspec.json.decode(page.body, type=ClientMetadata)
    except (msgspec.DecodeError, UnicodeError) as error:
        raise _bad(f"its document does not fit: {error}") from None


def _bad(why: str) -> OAuthError:
    return OAuthError("invalid_client", f"the client's address can't be used: {why}")
