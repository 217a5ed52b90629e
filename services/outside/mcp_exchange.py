"""What stands in one HTTP request to an MCP server, and in the answer to it. Reads the clock."""

from __future__ import annotations

import http.client
import re
import time

import httpx2
import msgspec

from services.outside import site
from services.outside.challenge import missing_scope
from services.outside.mcp_errors import BadMessage
from services.outside.mcp_reading import opened

LACKING = re.compile(r"403 [A-Za-z]+ \(it wants the scope ([^()]+)\)")
"""Finds again what `lacking` has said of a 403."""


class _Request(msgspec.Struct):
    """The part of a JSON-RPC message that tells whether it wants an answer."""

    id: int | str | msgspec.UnsetType = msgspec.UNSET
    method: str = ""


class _Cancelled(msgspec.Struct, frozen=True, rename="camel"):
    request_id: int | str | None = None


class _Notice(msgspec.Struct, frozen=True):
    method: str
    params: _Cancelled = _Cancelled()


_notice: msgspec.json.Decoder[_Notice] = msgspec.json.Decoder(_Notice)
_request: msgspec.json.Decoder[_Request] = msgspec.json.Decoder(_Request)


class FirstRefusal:
    """What a server says that lets nobody in, where it is tried in the other protocol era then.

    The second refusal may be about that era alone.
    """

    def __init__(self) -> None:
        self._message = ""

    def before(self, request: httpx2.Request, status: int, message: str) -> str:
        """What it has said first, in the place of how it refuses `initialize`; empty: nothing."""
        _, method = asked_in(request) or (0, "")
        if method == "server/discover" and status in (401, 403):
            self._message = message
        return self._message if method == "initialize" and status not in (401, 403) else ""


def asked_in(request: httpx2.Request) -> tuple[int | str, str] | None:
    """Id and method of the JSON-RPC request in an HTTP request; None if it wants no answer."""
    if request.method != "POST":
        return None
    try:
        found = _request.decode(request.content)
    except msgspec.MsgspecError:
        return None
    if isinstance(found.id, msgspec.UnsetType) or not found.method:
        return None
    return found.id, found.method


def cancelled_in(request: httpx2.Request) -> int | str | None:
    """The id of the request that an HTTP request calls off; None: it is something else."""
    try:
        found = _notice.decode(request.content)
    except msgspec.MsgspecError:
        return None
    return found.params.request_id if found.method == "notifications/cancelled" else None


def rest_of(response: httpx2.Response) -> float | None:
    """The seconds after which it wants to be asked again."""
    return site.rest_s(response.headers.get("retry-after", ""), time.time())


def moved(request: httpx2.Request, response: httpx2.Response) -> httpx2.Request | None:
    """The same request at the place where this server has moved it to; None: it has not."""
    keeps = response.status_code in (307, 308) or request.method == "GET"
    if not response.has_redirect_location or not keeps:
        return None
    try:
        url = request.url.join(response.headers["location"])
    except (httpx2.InvalidURL, ValueError):
        return None
    if (url.scheme, url.host, url.port) != (
        request.url.scheme,
        request.url.host,
        request.url.port,
    ):
        return None
    return httpx2.Request(
        request.method,
        url,
        headers=request.headers,
        content=request.content,
        extensions=request.extensions,
    )


def status_of(response: httpx2.Response) -> str:
    """A status in words."""
    status = response.status_code
    return f"{status} {http.client.responses.get(status, '')}".strip()


def lacking(response: httpx2.Response) -> str:
    """Which scope the token lacks that was shown, for people; empty: that is not why."""
    if response.status_code != 403:
        return ""
    scope = missing_scope(response.headers.get_list("www-authenticate"))
    return f" (it wants the scope {scope})" if scope else ""


def error_in(body: bytes) -> msgspec.Raw | None:
    """The error in a body that is a JSON-RPC error."""
    try:
        envelope = opened(body)
    except BadMessage:
        return None
    if isinstance(envelope, list) or not envelope.failed:
        return None
    return envelope.error if bytes(memoryview(envelope.error)[:1]) == b"{" else None
