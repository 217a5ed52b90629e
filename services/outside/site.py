"""One base URL over HTTP, and the connections to it: what is not MCP is called through this.

aiohttp and not httpx, because httpx gets slower with every connection: 0.7 k calls/s with 32 at a
time, where aiohttp makes 10.8 k.
"""

from __future__ import annotations

import itertools
import os
import random
import re
import socket
import ssl
import time
from collections.abc import Iterator, Mapping, Sequence
from email.utils import parsedate_to_datetime
from typing import NamedTuple
from urllib.parse import urlsplit

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult
from aiohttp.connector import Connection
from yarl import URL

from services.outside import addresses
from services.outside.addresses import AddressRefused, Lookup, Rule, look_up
from services.process import tracing
from services.process.backoff import delay

AGENT = "metamcp"
MOST_REDIRECTS = 3
MOST_HEADERS, LONGEST_HEADER = 128, 8190
IDLE_S = 4.0
"""How long an unused connection is kept. Many servers close theirs after 5 s; a request that meets
that moment is lost, and nobody knows whether it was carried out."""
MESSAGE_CHARS = 300
BUSY = frozenset({429, 503})
"""Come back later: a Space that wakes up answers so."""
SHORTEST_WAIT_S, FIRST_WAIT_S, LONGEST_WAIT_S = 0.1, 0.25, 10.0
_MOVED = frozenset({301, 302, 303, 307, 308})
_OTHER_NAME = frozenset({62, 64})
"""Of OpenSSL: the certificate is for other names, or another address."""
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]+")

NOT_SENT = (
    aiohttp.ClientConnectorError,
    aiohttp.ConnectionTimeoutError,
    aiohttp.ClientHttpProxyError,
    aiohttp.InvalidURL,
    aiohttp.NonHttpUrlClientError,
    AddressRefused,
)
"""Errors after which it is certain that the request has not left."""


class SitePage(NamedTuple):
    """An answer to a GET, whole."""

    status: int
    media_type: str
    """Lower case, without parameters."""
    retry_after_s: float | None
    body: bytes


class _Carried(aiohttp.ClientResponse):
    """An answer that knows the connection it came over, which others may be using by now."""

    async def start(self, connection: Connection) -> aiohttp.ClientResponse:
        self.carrier = connection.protocol
        return await super().start(connection)


class HttpSite:
    """Calls paths below one URL. No cookies, no redirects to elsewhere, bounded headers."""

    def __init__(
        self,
        url: str,
        *,
        public_only: bool,
        connections: int,
        headers: Mapping[str, str] | None = None,
        bearer: str | None = None,
        lookup: Lookup = look_up,
        discreet: bool = False,
    ) -> None:
        """`url` as `addresses.resolve` gives it; `discreet`: no error says where it leads on.

        Raises AddressRefused for http in public.
        """
        addresses.check_scheme(url, public_only=public_only)
        self._url = url
        self._may = addresses.public if public_only else addresses.anywhere
        self._connections = connections
        self._headers = {"User-Agent": AGENT, **(headers or {})}
        if bearer is not None:
            self._headers["Authorization"] = f"Bearer {bearer}"
        self._lookup = lookup
        self._proxy = None if public_only else addresses.proxy_for(url)
        self._sessions: dict[bool, aiohttp.ClientSession] = {}
        """By whether each connection is used for one request alone."""
        self._closed = False
        self._discreet = discreet

    async def post(self, path: str, body: bytes, *, alone: bool = False) -> aiohttp.ClientResponse:
        """Send JSON and return the answer as it begins; `close` it, whatever becomes of it.

        `alone`: over a connection that has carried nothing yet, and carries nothing afterwards.
        Nothing is followed, nothing sent twice. Raises aiohttp.ClientError and OSError.
        """
        return await self._open(alone=alone).post(
            URL(self._url + path, encoded=True),
            data=body,
            headers=tracing.carried({"Content-Type": "application/json"}),
            allow_redirects=False,
            proxy=self._proxy,
        )

    async def send(
        self, method: str, path: str, headers: Mapping[str, str], body: bytes | None
    ) -> aiohttp.ClientResponse:
        """Make any request and return the answer as it begins; `close` it, whatever becomes of it.

        Over a connection of its own: nothing that came before can be taken for its answer. What
        changes nothing is followed within the origin; any other redirect is the answer. Raises
        aiohttp.ClientError and OSError.
        """
        url = URL(self._url + path, encoded=True)
        for left in reversed(range(MOST_REDIRECTS + 1)):
            response = await self._open(alone=True).request(
                method,
                url,
                data=body,
                headers=tracing.carried(dict(headers)),
                allow_redirects=False,
                proxy=self._proxy,
            )
            if response.status not in _MOVED or method not in ("GET", "HEAD") or not left:
                break
            try:
                url = self._target(url, response)
            except AddressRefused:
                break
            response.close()
        return response

    async def get(self, path: str, limit: int, *, cut: bool = False) -> SitePage:
        """Fetch a page of at most `limit` bytes, at most three redirects within its origin away.

        `cut`: of a longer one the beginning.

        Raises AddressRefused for anything else; aiohttp.ClientError and OSError.
        """
        url = URL(self._url + path, encoded=True)
        for _ in range(MOST_REDIRECTS + 1):
            response = await self._open().get(url, allow_redirects=False, proxy=self._proxy)
            try:
                if response.status not in _MOVED:
                    body = await beginning(response, limit + 1)
                    if len(body) > limit and not cut:
                        raise AddressRefused(f"{path} has more than {limit} bytes")
                    return SitePage(
                        response.status, media_type(response), retry_after_s(response), body
                    )
                url = self._target(url, response)
            finally:
                response.close()
        raise AddressRefused(f"{path} is redirected more than {MOST_REDIRECTS} times")

    async def close(self) -> None:
        """Close all connections; calls under way fail, and so do later ones."""
        self._closed = True
        sessions, self._sessions = self._sessions, {}
        for session in sessions.values():
            await session.close()

    def _target(self, url: URL, response: aiohttp.ClientResponse) -> URL:
        """Where a redirect leads. Raises AddressRefused if that is another origin."""
        try:
            target = url.join(URL(response.headers.get("Location", "")))
            same = target.origin() == url.origin()
        except ValueError:
            same = False
        if not same:
            where = self.whither(response)
            raise AddressRefused(f"redirected with status {response.status} to {where}")
        return target

    def whither(self, response: aiohttp.ClientResponse) -> str:
        """Name where a redirect leads, as far as users may know."""
        return "another place" if self._discreet else location(response)

    def _open(self, *, alone: bool = False) -> aiohttp.ClientSession:
        if self._closed:
            raise AddressRefused("the connection was closed")
        if alone not in self._sessions:
            self._sessions[alone] = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(
                    limit=self._connections,
                    resolver=_Resolver(self._lookup, self._may),
                    ssl=addresses.tls(),
                    force_close=alone,
                    keepalive_timeout=None if alone else IDLE_S,
                    socket_factory=self._socket,
                ),
                headers=self._headers,
                response_class=_Carried,
                cookie_jar=aiohttp.DummyCookieJar(),
                # Each call has a limit of its own; a connection has this one.
                timeout=aiohttp.ClientTimeout(total=None, connect=addresses.CONNECT_S),
                trust_env=False,
                max_headers=MOST_HEADERS,
                max_line_size=LONGEST_HEADER,
                max_field_size=LONGEST_HEADER,
            )
        return self._sessions[alone]

    def _socket(self, info: tuple[int, int, int, str, Sequence[object]]) -> socket.socket:
        """Make the socket of one connection. Addresses that stand in a URL pass no resolver."""
        family, kind, protocol, _, address = info
        if not self._may(str(address[0])):
            raise AddressRefused(f"{address[0]} is not a public address. {addresses.ADVICE}")
        return socket.socket(family, kind, protocol)


def part_with(response: aiohttp.ClientResponse) -> None:
    """Have nothing else come over its connection. To be said at once when it has begun: a short
    answer has been read whole by then, and its connection is among those that are kept."""
    assert isinstance(response, _Carried)
    if response.carrier is None:
        return
    if response.connection is None:
        response.carrier.close()
    else:
        response.carrier.force_close()


class _Resolver(AbstractResolver):
    """Names to addresses that may be connected to."""

    def __init__(self, lookup: Lookup, may: Rule) -> None:
        self._lookup = lookup
        self._may = may

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        found = await addresses.addresses(host, port, self._lookup, self._may)
        return [_result(host, port, address) for address in found]

    async def close(self) -> None:
        pass


def _result(host: str, port: int, address: str) -> ResolveResult:
    return ResolveResult(
        hostname=host,
        host=address,
        port=port,
        family=socket.AF_INET6 if ":" in address else socket.AF_INET,
        proto=socket.IPPROTO_TCP,
        flags=socket.AI_NUMERICHOST | socket.AI_NUMERICSERV,
    )


def location(response: aiohttp.ClientResponse) -> str:
    """Name where a redirect leads."""
    return named(response.headers.get("Location", ""))


def named(location: str) -> str:
    """Name a place without what may be secret in it."""
    try:
        parts = urlsplit(location)
    except ValueError:
        return "a place that is no URL"
    place = f"{parts.scheme}://{parts.hostname or ''}{parts.path}" if parts.netloc else parts.path
    return plain(place) or "nowhere"


async def beginning(response: aiohttp.ClientResponse, limit: int) -> bytes:
    """Read at most this much of an answer, counted after decompression."""
    data = bytearray()
    while len(data) < limit and (part := await response.content.read(limit - len(data))):
        data += part
    return bytes(data)


def media_type(response: aiohttp.ClientResponse) -> str:
    """Return the media type, lower case and without parameters; empty if there is none."""
    return response.headers.get("Content-Type", "").partition(";")[0].strip().lower()


def is_json(media: str) -> bool:
    """Tell whether this media type is JSON."""
    return media == "application/json" or (media.startswith("application/") and "+json" in media)


def retry_after_s(response: aiohttp.ClientResponse) -> float | None:
    """Return the seconds after which the host wants to be asked again, if it says so."""
    return rest_s(response.headers.get("Retry-After", ""), time.time())


def rest_s(asked: str, now: float) -> float | None:
    """The seconds in a `Retry-After`, which may be a date; `now`: seconds since the epoch."""
    asked = asked.strip()
    if asked.isascii() and asked.isdigit():
        return float(asked) if len(asked) < 10 else None
    try:
        return max(0.0, parsedate_to_datetime(asked).timestamp() - now)
    except (ValueError, OverflowError):
        return None


def pauses(first: float = FIRST_WAIT_S, last: float = LONGEST_WAIT_S) -> Iterator[float]:
    """Pauses that double, with jitter, so that many callers don't come back at once."""
    for n in itertools.count(1):
        yield delay(n, first, last, random.random())


def wait_s(asked_s: float | None, own_s: float) -> float:
    """How long to wait for a busy host: as long as it asks, within bounds."""
    if asked_s is None:
        return own_s
    return min(max(asked_s, SHORTEST_WAIT_S), LONGEST_WAIT_S)


def why(error: BaseException) -> str:
    """Say in one bounded line what went wrong with a connection, and never where it led: users
    read it, and addresses of the operator's hosts are his."""
    if isinstance(error, aiohttp.ConnectionTimeoutError):
        return f"no connection within {addresses.CONNECT_S:g} s"
    if isinstance(error, aiohttp.ClientConnectorError):
        return cause(error.os_error)
    if isinstance(error, OSError) and not isinstance(error, aiohttp.ClientError):
        return cause(error)
    return plain(str(error)) or type(error).__name__


def cause(error: OSError) -> str:
    """The same of what the system or TLS says: its kind, without names and addresses."""
    match error:
        case AddressRefused():
            return plain(str(error))
        case ssl.SSLCertVerificationError(verify_code=code, verify_message=text):
            why_not = "it is for another name" if code in _OTHER_NAME else plain(text)
            return f"its certificate is not accepted: {why_not}"
        case ssl.SSLError(reason=reason):
            return f"TLS failed: {plain(str(reason or type(error).__name__))}"
        case socket.gaierror():
            return "its name has no address"
        case OSError(errno=int(number)) if number > 0:
            return os.strerror(number)
        case _:
            return type(error).__name__


def plain(text: str) -> str:
    """Make a short line of what a host has sent."""
    return _CONTROL.sub(" ", text).strip()[:MESSAGE_CHARS]
