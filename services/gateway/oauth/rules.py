"""What OAuth 2.1 wants compared, word for word. Pure: no clock, no randomness, no I/O."""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
from collections.abc import Iterable, Mapping, Sequence
from enum import Enum
from typing import NamedTuple
from urllib.parse import parse_qsl, urlencode, urlsplit

from contracts.scopes import EVERY, MCP_CALL

MOST_PARAMETERS = 40
LONGEST_REDIRECT = 2048
LONGEST_STATE = 4096
LOST_ANSWER_S = 60.0
"""How long a refresh token that was used gives the same successor again: its answer may be lost."""
SAYING_NOTHING = frozenset({"offline_access", "openid", "profile", "email"})
"""Scopes that clients ask any server for: refresh tokens are always given here, ID tokens never."""

_LOOPBACK = re.compile(r"http://(127\.0\.0\.1|\[::1\]|localhost)(?::(\d{1,5}))?([/?].*)?")
_SCHEME = re.compile(r"([a-z][a-z0-9+.-]{1,63}):.+")
_CLOSED = frozenset(
    "about blob data file filesystem ftp http intent javascript mailto sms tel urn vbscript"
    " view-source ws wss".split()
)
"""Schemes that are no program's own, or that a browser does more with than open a program."""
_VERIFIER = re.compile(r"[A-Za-z0-9._~-]{43,128}")
_CHALLENGE = re.compile(r"[A-Za-z0-9_-]{43}")
_VISIBLE = re.compile(r"[\x21-\x7e]+")


class OAuthError(Exception):
    """A refusal in the words of OAuth; `description` is for whoever writes the client."""

    def __init__(self, error: str, description: str, status: int = 400) -> None:
        super().__init__(f"{error}: {description}")
        self.error = error
        self.description = description
        self.status = status


class AuthorizationAsked(NamedTuple):
    """An authorization request that is in order."""

    scopes: tuple[str, ...]
    challenge: str
    """Of PKCE, S256."""
    prompt: str


class RefreshTurn(Enum):
    """What a refresh token that is shown leads to."""

    NEXT = "the good one: its successor is the good one now"
    AGAIN = "the one before, whose answer may be lost: the same successor again"
    REUSE = "somebody else has it: the whole family ends"


def single(pairs: str) -> dict[str, list[str]]:
    """Read a query or a form; only `resource` may come twice. Raises OAuthError."""
    try:
        found = parse_qsl(pairs, keep_blank_values=True, max_num_fields=MOST_PARAMETERS)
    except ValueError:
        text = f"more than {MOST_PARAMETERS} parameters"
        raise OAuthError("invalid_request", text) from None
    made: dict[str, list[str]] = {}
    for name, value in found:
        made.setdefault(name, []).append(value)
    for name, values in made.items():
        if len(values) > 1 and name != "resource":
            raise OAuthError("invalid_request", f"{name[:40]} is given {len(values)} times")
    # RFC 6749, 3.1: a parameter without a value counts as left out.
    return {name: values for name, values in made.items() if any(values)}


def check_redirect(uri: str) -> str:
    """Return an address that a client may have people sent back to. Raises OAuthError."""
    said = f"redirect URI {uri[:100]!r}"
    if len(uri) > LONGEST_REDIRECT or not _VISIBLE.fullmatch(uri) or "\\" in uri:
        text = f"{said}: expected at most {LONGEST_REDIRECT} visible ASCII characters"
        raise _bad_redirect(text)
    if "#" in uri:
        raise _bad_redirect(f"{said} has a fragment")
    scheme = _SCHEME.fullmatch(uri)
    if scheme is None:
        raise _bad_redirect(f"{said} is no absolute URI")
    if scheme[1] == "https":
        _check_https(uri, said)
    elif scheme[1] == "http" and not is_loopback(uri):
        raise _bad_redirect(f"{said}: http is for loopback addresses only, others need https")
    elif scheme[1] in _CLOSED - {"http"}:
        raise _bad_redirect(f"{said}: the scheme {scheme[1]} is no program's own")
    return uri


def _check_https(uri: str, said: str) -> None:
    try:
        parts = urlsplit(uri)
        named = bool(parts.hostname) and parts.port != 0
    except ValueError:
        named = False
    if not named or "@" in uri.split("/")[2]:
        raise _bad_redirect(f"{said} names no host, or a user")


def _bad_redirect(text: str) -> OAuthError:
    return OAuthError("invalid_redirect_uri", text)


def is_loopback(uri: str) -> bool:
    """Whether it is an http address of the machine that the browser runs on."""
    return _LOOPBACK.fullmatch(uri) is not None


def same_redirect(asked: str, registered: str) -> bool:
    """Compare two redirect URIs: as texts, but for the port of a loopback address (RFC 8252)."""
    if asked == registered:
        return True
    one, other = _LOOPBACK.fullmatch(asked), _LOOPBACK.fullmatch(registered)
    if one is None or other is None or int(one[2] or 80) not in range(1, 65536):
        return False
    return (one[1], one[3] or "") == (other[1], other[3] or "")


def redirect_of(asked: str | None, registered: Sequence[str]) -> str:
    """Return where an answer goes. Raises OAuthError, which must not be sent anywhere."""
    if asked is None:
        if len(registered) != 1:
            raise OAuthError("invalid_request", "redirect_uri is missing")
        return registered[0]
    if not any(same_redirect(asked, known) for known in registered):
        raise OAuthError("invalid_request", "this redirect_uri is not one of the client's")
    return asked


def answered(redirect: str, **parameters: str | None) -> str:
    """The address that takes an answer back."""
    given = {name: value for name, value in parameters.items() if value is not None}
    return f"{redirect}{'&' if '?' in redirect else '?'}{urlencode(given)}"


def check_asked(
    given: Mapping[str, Sequence[str]], resource: str, allowed: Iterable[str]
) -> AuthorizationAsked:
    """Read an authorization request; `allowed`: the client's scopes, empty: any.

    Raises OAuthError.
    """
    kind = first(given, "response_type")
    if kind is None:
        raise OAuthError("invalid_request", "response_type is missing")
    if kind != "code":
        raise OAuthError("unsupported_response_type", "the only response_type is `code`")
    challenge = first(given, "code_challenge") or ""
    if not challenge or first(given, "code_challenge_method") != "S256":
        text = "PKCE is needed: send code_challenge, and code_challenge_method=S256"
        raise OAuthError("invalid_request", text)
    if not _CHALLENGE.fullmatch(challenge):
        raise OAuthError("invalid_request", "code_challenge is no SHA-256 in base64url")
    check_resource(given.get("resource", ()), resource)
    scopes = scopes_of(first(given, "scope"), allowed)
    return AuthorizationAsked(scopes, challenge, first(given, "prompt") or "")


def check_resource(asked: Sequence[str], resource: str) -> None:
    """Refuse tokens for what we are not (RFC 8707): there is one resource, with all below it."""
    for one in asked:
        if one.rstrip("/") != resource and not one.startswith(f"{resource}/"):
            text = f"this server gives tokens for {resource} only"
            raise OAuthError("invalid_target", text)


def scopes_of(asked: str | None, allowed: Iterable[str] = ()) -> tuple[str, ...]:
    """Return the scopes that are asked for, in order; `mcp:call` if none are. Raises OAuthError."""
    known = frozenset(allowed) or EVERY
    words = set((asked or "").split()) - SAYING_NOTHING
    if not words:
        # Whoever may less than what is usual gets what they may.
        return (MCP_CALL,) if MCP_CALL in known else tuple(sorted(known))
    if wrong := sorted(words - known):
        text = f"{wrong[0][:64]!r} is no scope of this client: there are {', '.join(sorted(known))}"
        raise OAuthError("invalid_scope", text)
    return tuple(sorted(words))


def narrowed(asked: str | None, granted: Sequence[str]) -> tuple[str, ...]:
    """Return the scopes of a refreshed token: what was granted or less. Raises OAuthError."""
    return tuple(granted) if not asked else scopes_of(asked, granted)


def proves(verifier: str, challenge: str) -> bool:
    """Whether whoever shows the verifier has made the challenge (RFC 7636)."""
    if not _VERIFIER.fullmatch(verifier):
        return False
    made = base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).rstrip(b"=")
    return hmac.compare_digest(made, challenge.encode())


def turn(number: int, rotated: float, shown: int, now: float) -> RefreshTurn:
    """Decide about refresh token `shown` of a family whose good one is `number`."""
    if shown == number:
        return RefreshTurn.NEXT
    # As soon as the successor is used, `number` is two ahead and nothing is lost any more.
    if shown == number - 1 and now - rotated <= LOST_ANSWER_S:
        return RefreshTurn.AGAIN
    return RefreshTurn.REUSE


def first(given: Mapping[str, Sequence[str]], name: str) -> str | None:
    """Return the value of a parameter that may be left out."""
    values = given.get(name)
    return values[0] if values else None
