"""Where we call out to over HTTP: URLs of hosts, and what hosts that users registered may reach.

Theirs are called at public addresses, and by https only. The address that is connected to is
checked on every connection: neither a redirect nor the name server leads inside.
"""

from __future__ import annotations

import asyncio
import functools
import ipaddress
import re
import socket
import ssl
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

import httpx2
from yarl import URL

from contracts import references
from contracts.host import Endpoint, Host, Remote, StreamableHttp, operated

SPACES = "https://{subdomain}.hf.space"
"""Address of a Space; `{subdomain}` is `owner-space`."""
SPACE_MCP = "/gradio_api/mcp/"
CONNECT_S = 10.0
"""Limit for one connection: name look-up, TCP and TLS."""
ADVICE = "The operator can allow it with METAMCP_ALLOW_PRIVATE_HOSTS=true."
REFUSAL_S = 1.0
"""A name that leads to no public address is refused no sooner: an inner name is often found at
once, and one that nobody has takes longer."""
_LONGEST = 2048
_MOST_ADDRESSES = 4
_SPACE = re.compile(r"(?i:hf)://([A-Za-z0-9][\w.-]{0,95})/([A-Za-z0-9][\w.-]{0,95})", re.ASCII)
_LABEL = 63
_LABELS = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?")
_HOST = re.compile(r"[a-z0-9_]([a-z0-9._-]{0,252})")
_NUMBER = re.compile(r"(.*\.)?(\d+|0x[0-9a-f]*)\.?")
_TOKEN = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,128}")
_VALUE = re.compile(r"[\x20-\x7e\x80-\xff]{0,4096}")
_OWN_HEADERS = frozenset(
    "accept-encoding connection content-encoding content-length content-type cookie expect host"
    " keep-alive te trailer transfer-encoding upgrade".split()
)
_CREDENTIALS = frozenset(
    "authorization proxy-authorization x-api-key api-key x-auth-token x-access-token".split()
)
_V4_CLOSED = tuple(
    ipaddress.IPv4Network(text)
    # Protocol assignments, relays of 6to4, and the address at which Azure answers its guests.
    for text in ("192.0.0.0/24", "192.88.99.0/24", "168.63.129.16/32")
)
_V6_OPEN = ipaddress.IPv6Network("2000::/3")
_V6_CLOSED = tuple(
    ipaddress.IPv6Network(text)
    # Protocol assignments with Teredo, examples, 6to4, the old 6bone, examples again.
    for text in ("2001::/23", "2001:db8::/32", "2002::/16", "3ffe::/16", "3fff::/20")
)
_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")
# Of our own, so that a name server that lets us wait holds up nothing else that needs a thread.
_LOOK_UPS = ThreadPoolExecutor(16, thread_name_prefix="look-up")

Lookup = Callable[[str, int], Awaitable[Sequence[str]]]
"""From a name and a port to addresses. Raises OSError."""
Rule = Callable[[str], bool]
"""Tells whether an address may be connected to."""


class AddressRefused(OSError):
    """This is not called, or not taken from whom we called; the message says why."""


def resolve(url: str, *, spaces: str = SPACES, mcp: bool = False, subdomain: str = "") -> str:
    """Return the address of a host: `hf://owner/space` is put into the template `spaces`.

    `subdomain` is the Hub's own for that Space; without it, one is made of owner and name. With
    `mcp`, the address of its MCP endpoint; without, one that a path can be added to. Messages never
    repeat the URL, which may hold a password. Raises AddressRefused.
    """
    if is_space(url):
        made = _subdomain(url)
        if subdomain and not _LABELS.fullmatch(subdomain):
            raise AddressRefused("the Space's subdomain is none: use a-z 0-9 and - only")
        base = _checked(spaces.replace("{subdomain}", subdomain or made)).rstrip("/")
        return base + SPACE_MCP if mcp else base
    known = _checked(url)
    if mcp:
        return known
    if "?" in known:
        raise AddressRefused(
            "the URL has a query: leave it out, because a path is added to the URL"
        )
    return known.rstrip("/")


def guessed(endpoint: Endpoint) -> bool:
    """Whether a Space's address is made of its name alone: two Spaces may have such a one."""
    if not isinstance(endpoint, Remote):
        return False
    return is_space(endpoint.url) and not endpoint.subdomain


GUESSED = (
    "no secret is sent to a Space's address that is only guessed: say the Space's `subdomain`, as"
    " Hugging Face shows it, or add the host anew"
)


def is_space(url: str) -> bool:
    """Whether it is the URL of a Space, `hf://owner/space`."""
    return url[:5].lower() == "hf://"


def audience(host: Host, spaces: str = SPACES) -> str:
    """Whom a permit for this host is for: the origin that is called, which nobody can register in
    another's place; the id of a host that has no address. Raises AddressRefused."""
    endpoint = host.endpoint
    if not isinstance(endpoint, Remote):
        return host.id
    mcp = isinstance(endpoint, StreamableHttp)
    url = resolve(endpoint.url, spaces=spaces, mcp=mcp, subdomain=endpoint.subdomain)
    return str(URL(url).origin())


def _subdomain(url: str) -> str:
    match = _SPACE.fullmatch(url)
    if match is None:
        raise AddressRefused("the URL names no Space: expected hf://OWNER/SPACE and nothing more")
    name = re.sub(r"[^a-z0-9-]", "-", f"{match[1]}-{match[2]}".lower())
    if len(name) > _LABEL:
        raise AddressRefused("the Space's name is too long for a subdomain: give its https:// URL")
    return name


def _checked(url: str) -> str:
    if not 0 < len(url) <= _LONGEST or not url.isascii() or not url.isprintable() or " " in url:
        text = f"expected a URL of at most {_LONGEST} visible ASCII characters"
        raise AddressRefused(f"{text}; write other characters as xn--… or %…")
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        raise AddressRefused(f"this is no URL: {error}") from None
    if parts.scheme not in ("https", "http"):
        raise AddressRefused("expected a URL that begins with https://, http:// or hf://")
    if "@" in parts.netloc or "\\" in url:
        raise AddressRefused("the URL has a user or password in it: use bearer_from, or a header")
    if "#" in url:
        raise AddressRefused("the URL has a fragment (#…): leave it out")
    if port == 0 or parts.netloc.endswith(":"):
        raise AddressRefused("the URL has no usable port: leave the colon out, or give 1 to 65535")
    _check_host(parts.hostname or "", bracketed="[" in parts.netloc)
    # Lower case for good: a client that compares `HTTPS` with `https` would send in the clear.
    origin = f"{parts.scheme}://{parts.netloc}"
    return origin.lower() + url[len(origin) :]


def _check_host(host: str, *, bracketed: bool) -> None:
    if _address(host) is not None:
        if bracketed and "%" in host:
            raise AddressRefused(
                "the URL has an address with a zone: such an address is of no use here"
            )
    elif _NUMBER.fullmatch(host):
        # What some programs take for an address and others for a name is neither for us.
        raise AddressRefused(
            "the URL's host is an oddly written address: expected one like 192.0.2.1"
        )
    elif bracketed or not _HOST.fullmatch(host):
        raise AddressRefused("the URL names no host, or has characters in it that no name has")


def _address(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(text)
    except ValueError:
        return None


def public(address: str) -> bool:
    """Tell whether an address is one of the public internet, as far as anybody can tell.

    Addresses that stand for an IPv4 address are judged as that one, or refused with their kind.
    """
    known = _address(address)
    if isinstance(known, ipaddress.IPv6Address):
        if known.scope_id is not None:
            return False
        if known in _NAT64:
            known = ipaddress.IPv4Address(int(known) & 0xFFFFFFFF)
        elif known.ipv4_mapped is not None:
            known = known.ipv4_mapped
    match known:
        case ipaddress.IPv4Address():
            closed = known.is_multicast or known.is_reserved or any(known in n for n in _V4_CLOSED)
            return known.is_global and not closed
        case ipaddress.IPv6Address():
            return known.is_global and known in _V6_OPEN and not any(known in n for n in _V6_CLOSED)
        case _:
            return False


def kept_public(host: Host, *, allow_private: bool) -> bool:
    """Whether calls to this host are kept to public addresses: unless it is the operator's own."""
    return not operated(host) and not allow_private


def anywhere(address: str) -> bool:
    """The rule of calls that may lead inside."""
    return True


def check_scheme(url: str, *, public_only: bool) -> None:
    """Refuse plain http for calls to public addresses only. Raises AddressRefused."""
    if public_only and not url.startswith("https://"):
        raise AddressRefused(f"hosts that users have registered are called by https only. {ADVICE}")


def check_foreign(url: str) -> None:
    """Refuse at once what calls of a user's host to this URL are refused for.

    Raises AddressRefused.

    A name is judged when it is called: then it is known where it leads.
    """
    check_scheme(url, public_only=True)
    host = urlsplit(url).hostname or ""
    if _address(host) is not None and not public(host):
        raise AddressRefused(f"{host} is a private address. {ADVICE}")


def check_headers(headers: Mapping[str, str]) -> None:
    """Check the headers that a host's endpoint wants to be sent. Raises AddressRefused."""
    for name, value in headers.items():
        if name.lower() in _CREDENTIALS and not references.named(value):
            why = "credentials don't stand in the log: write {secret:NAME}, or use bearer_from"
            raise AddressRefused(f"{name}: {why}")
        if name.lower() in _OWN_HEADERS:
            raise AddressRefused(f"{name}: this header is set by the client: leave it out")
        if not _TOKEN.fullmatch(name):
            raise AddressRefused(f"{name[:40]!r} is no name of a header")
        if not _VALUE.fullmatch(value):
            raise AddressRefused(
                f"{name}: expected at most 4096 characters, none of them a line break"
            )


async def look_up(host: str, port: int) -> Sequence[str]:
    """Ask the system for the addresses of a name. Raises OSError."""
    loop = asyncio.get_running_loop()
    ask = functools.partial(socket.getaddrinfo, host, port, type=socket.SOCK_STREAM)
    found = await loop.run_in_executor(_LOOK_UPS, ask)
    return list(dict.fromkeys(str(entry[4][0]) for entry in found))


async def addresses(host: str, port: int, lookup: Lookup, may: Rule) -> Sequence[str]:
    """Return those addresses of a host that may be connected to. Raises AddressRefused, OSError."""
    if may is anywhere:
        found = [host] if _address(host) is not None else await lookup(host, port)
        if not found:
            raise AddressRefused("its name has no address")
        return found[:_MOST_ADDRESSES]
    return await _allowed(host, port, lookup, may)


async def _allowed(host: str, port: int, lookup: Lookup, may: Rule) -> Sequence[str]:
    """The same where not every address may be. Raises AddressRefused: whether a name leads inside
    or nowhere stays with us, because users could read the names of the inner network."""
    if _address(host) is not None:
        if not may(host):
            raise AddressRefused(f"{host} is not a public address. {ADVICE}")
        return [host]
    began = time.monotonic()
    try:
        found = await lookup(host, port)
    except OSError:
        found = ()
    allowed = [address for address in found if may(address)]
    if not allowed:
        await asyncio.sleep(REFUSAL_S - (time.monotonic() - began))
        raise AddressRefused(f"{host} has no public address. {ADVICE}")
    return allowed[:_MOST_ADDRESSES]


@functools.cache
def tls() -> ssl.SSLContext:
    """Return the certificates this machine trusts; SSL_CERT_FILE and SSL_CERT_DIR count."""
    return ssl.create_default_context()


def proxy_for(url: str) -> str | None:
    """Return the HTTP proxy that the environment names for this URL."""
    parts = urlsplit(url)
    if proxy_bypass(parts.hostname or ""):
        return None
    known = getproxies()
    found = known.get(parts.scheme) or known.get("all") or ""
    return found if found.startswith(("http://", "https://")) else None


def transport(*, public_only: bool, lookup: Lookup = look_up) -> httpx2.AsyncBaseTransport:
    """The way out for an httpx2 client, to one origin.

    Where it may lead inside, it takes the environment's proxy. A refusal is an httpx2.ConnectError.
    """
    return _PublicOnly(lookup) if public_only else _Open()


class _Open(httpx2.AsyncBaseTransport):
    """Goes where it is sent."""

    def __init__(self) -> None:
        self._inner: httpx2.AsyncHTTPTransport | None = None

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        if self._inner is None:
            proxy = proxy_for(str(request.url))
            self._inner = httpx2.AsyncHTTPTransport(verify=tls(), trust_env=False, proxy=proxy)
        return await self._inner.handle_async_request(request)

    async def aclose(self) -> None:
        if self._inner is not None:
            await self._inner.aclose()


class _PublicOnly(httpx2.AsyncBaseTransport):
    """Looks names up itself and connects to addresses that were checked."""

    def __init__(self, lookup: Lookup, may: Rule = public) -> None:
        self._lookup = lookup
        self._may = may
        self._inner = httpx2.AsyncHTTPTransport(verify=tls(), trust_env=False)
        self._origin: tuple[str, int | None] | None = None

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        try:
            async with asyncio.timeout(CONNECT_S):
                found = await self._addresses(request.url)
        except TimeoutError:
            raise httpx2.ConnectTimeout(f"no address of {request.url.host} was found") from None
        except OSError as error:
            raise httpx2.ConnectError(str(error)) from error
        for address in found[:-1]:
            try:
                return await self._inner.handle_async_request(_at(request, address))
            except (httpx2.ConnectError, httpx2.ConnectTimeout):
                continue  # Nothing was sent.
        return await self._inner.handle_async_request(_at(request, found[-1]))

    async def aclose(self) -> None:
        await self._inner.aclose()

    async def _addresses(self, url: httpx2.URL) -> Sequence[str]:
        check_scheme(str(url), public_only=True)
        # Connections are told apart by address alone: two names at one address must not share one.
        origin = (url.host, url.port)
        if self._origin not in (None, origin):
            raise AddressRefused("this connection is for another host")
        self._origin = origin
        return await addresses(url.host, url.port or 443, self._lookup, self._may)


def _at(request: httpx2.Request, address: str) -> httpx2.Request:
    """The same request to this address; certificate and Host header stay those of the name."""
    extensions: dict[str, Any] = dict(request.extensions)
    if _address(request.url.host) is None:
        extensions["sni_hostname"] = request.url.host
    return httpx2.Request(
        request.method,
        request.url.copy_with(host=address),
        headers=request.headers,
        stream=request.stream,
        extensions=extensions,
    )
