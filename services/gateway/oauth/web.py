"""Requests to this room, and its answers: forms, pages and JSON as OAuth has them."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from typing import Any, NamedTuple
from urllib.parse import unquote_plus

import msgspec

from services.gateway.oauth import rules
from services.gateway.oauth.pages import ShownPage
from services.gateway.oauth.rules import OAuthError

MOST_BODY = 64 * 1024
FORM = "application/x-www-form-urlencoded"
_NO_STORE = ((b"cache-control", b"no-store"), (b"pragma", b"no-cache"))


class WebRequest(NamedTuple):
    """What was asked."""

    method: str
    path: str
    query: str
    headers: dict[str, str]
    address: str
    """Where it comes from."""
    request_id: str
    body: bytes = b""

    def form(self) -> dict[str, list[str]]:
        """The fields of the body. Raises OAuthError."""
        given = self.headers.get("content-type", "").partition(";")[0].strip().lower()
        if given != FORM:
            raise OAuthError("invalid_request", f"expected a body of type {FORM}")
        try:
            return rules.single(self.body.decode())
        except UnicodeDecodeError:
            raise OAuthError("invalid_request", "the body is no UTF-8") from None


class WebAnswer(NamedTuple):
    """What is answered."""

    status: int
    body: bytes = b""
    headers: tuple[tuple[bytes, bytes], ...] = ()


def json(status: int, value: Any, *headers: tuple[bytes, bytes]) -> WebAnswer:
    """An answer that nobody keeps."""
    kind = (b"content-type", b"application/json")
    return WebAnswer(status, msgspec.json.encode(value), (kind, *_NO_STORE, *headers))


def refused(error: OAuthError, *headers: tuple[bytes, bytes]) -> WebAnswer:
    """Tell a program why not (RFC 6749, 5.2)."""
    told = {"error": error.error, "error_description": error.description}
    return json(error.status, told, *headers)


def redirect(where: str, *headers: tuple[bytes, bytes]) -> WebAnswer:
    """Send a browser on."""
    return WebAnswer(303, b"", ((b"location", where.encode()), *_NO_STORE[:1], *headers))


def shown(page: ShownPage, *headers: tuple[bytes, bytes]) -> WebAnswer:
    """Show a page."""
    own = tuple((name.encode(), value.encode()) for name, value in page.headers)
    return WebAnswer(page.status, page.body.encode(), (*own, *headers))


def credentials(
    headers: Mapping[str, str], form: Mapping[str, list[str]]
) -> tuple[str, str | None]:
    """Return a client's id, and the secret that it shows (RFC 6749, 2.3.1). Raises OAuthError."""
    named, secret = rules.first(form, "client_id"), rules.first(form, "client_secret")
    scheme, _, given = headers.get("authorization", "").partition(" ")
    if scheme.lower() == "basic":
        if secret is not None:
            raise OAuthError("invalid_request", "the client's secret is given twice")
        try:
            text = base64.b64decode(given.strip(), validate=True).decode()
        except (binascii.Error, UnicodeDecodeError):
            raise OAuthError(
                "invalid_client", "the Authorization header can't be read", 401
            ) from None
        user, _, word = text.partition(":")
        id_, secret = unquote_plus(user), unquote_plus(word)
        if named not in (None, id_):
            raise OAuthError("invalid_request", "two client ids are given")
        return id_, secret or None
    if named is None:
        raise OAuthError("invalid_client", "client_id is missing", 401)
    return named, secret
