"""Verifies permits of the MetaMCP Orchestrator. One file to copy: it needs PyJWT[crypto] only.

A permit is a JWT that lets one host run one attempt of one task on exactly one input.
"""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
import json
import re
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Collection
from dataclasses import dataclass
from http.client import HTTPException
from typing import Any, NamedTuple, NoReturn, Protocol
from urllib.parse import urlsplit

import jwt
from cryptography.hazmat.primitives.asymmetric import ed25519, rsa

KIT = 2
"""Which permits this takes: 1, those that name the host's id; 2, those that name its address.
`/health` and `mcp.json` say it as `kit`."""
ISSUER = "metamcp"
MAX_TOKEN = 8192
MAX_JWKS = 1024 * 1024
RSA_BITS = 2048
REFETCH_S = 10.0
"""A key set at a URL is fetched at most this often, whatever arrives."""
MAX_AGE_S = 600.0
"""An older key set is fetched again before it is used, so that removed keys stop counting."""
FETCH_S = 5.0
ADVICE = "upgrade the orchestrator, or deploy the kit that came with it"

_ALGORITHMS = {"RSA": "RS256", "OKP": "EdDSA"}
_PUBLIC = {"RSA": ("kty", "n", "e"), "OKP": ("kty", "crv", "x")}
_TOKEN = re.compile(r"[A-Za-z0-9_-]{1,64}")
_DIGEST = re.compile(r"[0-9a-f]{64}")
_SPACE = re.compile(r"[ \t\n\r]*")
_TEXTS = ("iss", "sub", "aud", "jti", "task_id", "input_sha256", "task_type", "host")
_OPTIONAL = ("task_type", "host")
_NUMBERS = ("iat", "nbf", "exp", "attempt")
_jws = jwt.PyJWS()


class PermitError(Exception):
    """The permit does not allow this; `reason` is one word, the message says why."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


class KeysUnavailable(Exception):
    """The key set can't be had, so nothing can be said about the permit. Try again later."""


@dataclass(frozen=True, kw_only=True)
class Claims:
    """What a permit says; times are seconds since the epoch."""

    iss: str
    sub: str
    """The user. Task ids, and so `jti`, are unique per user only."""
    aud: str
    """The origin that is called: `https://owner-space.hf.space`."""
    jti: str
    """`<task>.<attempt>`: run it once."""
    iat: int
    nbf: int
    exp: int
    task_id: str
    attempt: int
    input_sha256: str
    task_type: str = ""
    host: str = ""
    """The id under which the orchestrator knows the host, `user/owner-space`; nothing checks it."""


class Jwks(Protocol):
    """Public keys by their id."""

    def find(self, kid: str) -> jwt.PyJWK | None:
        """Return the key, or None if there is none. May raise KeysUnavailable."""


class Keys:
    """A key set that does not change."""

    def __init__(self, text: str) -> None:
        """`text` is a JWKS (RFC 7517). Raises ValueError if it is none or holds no usable key."""
        self._keys = parse_jwks(text)

    def find(self, kid: str) -> jwt.PyJWK | None:
        """See `Jwks.find`."""
        return self._keys.get(kid)


class RemoteKeys:
    """The key set at a URL. Blocks while it fetches; may be used by many threads."""

    def __init__(
        self,
        url: str,
        *,
        allow_http: bool = False,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Nothing is fetched yet. Raises ValueError unless the URL is https.

        Whoever can answer in its place can sign permits, so plain http is taken from this machine
        only, or with `allow_http`.
        """
        origin(url)
        if not (url.startswith("https://") or allow_http or _on_this_machine(url)):
            raise ValueError(
                "the keys would come over plain http, which anybody on the way can"
                " answer: serve them at an https:// address"
            )
        self._url = url
        self._clock = clock
        self._keys: dict[str, jwt.PyJWK] = {}
        self._lock = threading.Lock()
        self._tried = self._fetched = float("-inf")
        self.problem = "it has not been fetched yet"
        """Why the latest fetch failed; empty after one that went well."""

    def find(self, kid: str) -> jwt.PyJWK | None:
        """See `Jwks.find`. Fetches if need be."""
        if self.wants(kid):
            self.refresh(kid)
        key = self._keys.get(kid)
        if key is None and self.problem:
            raise KeysUnavailable(f"the public keys can't be fetched: {self.problem}")
        return key

    def wants(self, kid: str) -> bool:
        """Whether the set has to be fetched before `find`: a new key, or old knowledge."""
        now = self._clock()
        stale = kid not in self._keys or now - self._fetched >= MAX_AGE_S
        return stale and now - self._tried >= REFETCH_S

    def refresh(self, kid: str) -> None:
        """Fetch the set, unless another thread has just done it; a failure keeps what is known."""
        with self._lock:
            if not self.wants(kid):
                return
            try:
                self._keys = parse_jwks(_fetch(self._url))
                self._fetched, self.problem = self._clock(), ""
            except (OSError, HTTPException, ValueError, RecursionError) as error:
                self.problem = str(error)
            finally:
                self._tried = self._clock()


def origin(url: str) -> str:
    """The origin of a URL as permits name it: scheme, host and the port if it is a special one.

    Raises ValueError for what is no http or https URL.
    """
    parts = urlsplit(url)
    scheme, host, port = parts.scheme.lower(), parts.hostname, parts.port
    if scheme not in ("https", "http") or not host or "@" in parts.netloc:
        raise ValueError(f"{url[:200]!r} is no http or https URL")
    shown = f"[{host}]" if ":" in host else host
    usual = {"https": 443, "http": 80}[scheme]
    return f"{scheme}://{shown}" + (f":{port}" if port not in (None, usual) else "")


def _on_this_machine(url: str) -> bool:
    host = urlsplit(url).hostname or ""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def parse_jwks(text: str) -> dict[str, jwt.PyJWK]:
    """Return the usable keys of a JWKS by id; keys of other kinds are left out.

    Only RSA (2048 bits or more) and Ed25519 can be used, so a shared secret never becomes a key.
    Raises ValueError if it is no JWKS or nothing is left.
    """
    match json.loads(text):
        case {"keys": [*listed]}:
            keys = {key.key_id: key for entry in listed if (key := _key(entry)) and key.key_id}
        case _:
            raise ValueError('it is no JWKS: a JSON object with a list "keys" is expected')
    if not keys:
        raise ValueError("it holds no RSA or Ed25519 key with a kid")
    return keys


def _key(entry: Any) -> jwt.PyJWK | None:
    """One key, with the algorithm that its kind has; None if it can't be used."""
    kind = entry.get("kty") if isinstance(entry, dict) else None
    if kind not in _ALGORITHMS or not isinstance(entry.get("kid"), str):
        return None
    algorithm = _ALGORITHMS[kind]
    if entry.get("use", "sig") != "sig" or entry.get("alg", algorithm) != algorithm:
        return None
    public = {name: entry.get(name) for name in _PUBLIC[kind]}
    try:
        key = jwt.PyJWK(public | {"kid": entry["kid"]}, algorithm=algorithm)
    except (jwt.PyJWTError, ValueError, TypeError):
        return None
    match key.key:
        case rsa.RSAPublicKey(key_size=bits) if bits >= RSA_BITS:
            return key
        case ed25519.Ed25519PublicKey():
            return key
    return None


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    """Who is trusted for the keys is said by the URL alone."""

    def redirect_request(self, *_args: Any, **_more: Any) -> None:
        return None


def _fetch(url: str) -> str:
    request = urllib.request.Request(url, headers={"Accept": "application/json"})
    with urllib.request.build_opener(_NoRedirects).open(request, timeout=FETCH_S) as answer:
        data: bytes = answer.read(MAX_JWKS + 1)
    if len(data) > MAX_JWKS:
        raise ValueError(f"it has more than {MAX_JWKS} bytes")
    return data.decode()


def verify(
    token: str,
    *,
    audience: str | Collection[str],
    users: Collection[str],
    jwks: Jwks,
    input_bytes: bytes,
    now: float | None = None,
    leeway: float = 0.0,
) -> Claims:
    """Check everything a permit says against this host, this input and this moment.

    `audience`: the address of this host, or several, as `origin` writes them. `users`: for whom
    this host works. `input_bytes` are the bytes of `input` as they stand in the body, see
    `members`. The key says which algorithm counts, never the token. `leeway` (seconds) allows for
    clocks that differ. Raises PermitError, or KeysUnavailable. Nothing here keeps a permit from
    running twice: see `replay.py`.
    """
    claims = _signed(token, jwks)
    _check_parties(claims, audience, users)
    moment = time.time() if now is None else now
    if moment < claims.nbf - leeway:
        text = f"the permit is valid from {claims.nbf}; here it is {moment:.0f}"
        raise PermitError("not_yet_valid", text)
    if moment >= claims.exp + leeway:
        text = f"the permit was valid until {claims.exp}; here it is {moment:.0f}"
        raise PermitError("expired", text)
    digest = hashlib.sha256(input_bytes).hexdigest()
    if not hmac.compare_digest(digest, claims.input_sha256):
        text = f"the input's digest is {digest}; the permit is for {claims.input_sha256}"
        raise PermitError("wrong_input", text)
    return claims


def _check_parties(claims: Claims, audience: str | Collection[str], users: Collection[str]) -> None:
    """Who has made the permit, for which host, and whose task it is. Raises PermitError."""
    if isinstance(users, str):
        raise TypeError("`users` is no set of names: each part of a text would pass for one")
    own = {audience} if isinstance(audience, str) else set(audience)
    if claims.iss != ISSUER:
        raise PermitError("wrong_issuer", f"the permit is of {claims.iss!r}, not of {ISSUER!r}")
    if "://" not in claims.aud:
        text = f"the permit is for a host called {claims.aud!r}, and names no address"
        raise PermitError("old_permit", f"{text}, as earlier orchestrators made them: {ADVICE}")
    if claims.aud not in own:
        known = " or ".join(map(repr, sorted(own)))
        raise PermitError("wrong_audience", f"the permit is for {claims.aud!r}, not {known}")
    if claims.sub not in users:
        raise PermitError("wrong_user", f"this host does not work for {claims.sub!r}")


def kid_of(token: str) -> str:
    """The id of the key a token names; nothing is checked yet. Raises PermitError."""
    if len(token) > MAX_TOKEN:
        raise PermitError("malformed", f"the permit has more than {MAX_TOKEN} characters")
    try:
        header = jwt.get_unverified_header(token)
    except (jwt.PyJWTError, ValueError, RecursionError) as error:
        raise PermitError("malformed", f"the permit is no JWT: {error}") from error
    kid = header.get("kid")
    if not isinstance(kid, str) or not kid:
        raise PermitError("malformed", "the permit's header names no kid")
    if "crit" in header:
        raise PermitError("malformed", "the permit's header has extensions; none are known here")
    return kid


def _signed(token: str, jwks: Jwks) -> Claims:
    kid = kid_of(token)
    key = jwks.find(kid)
    if key is None:
        text = f"the permit was signed with key {kid[:80]!r}, which is not known here"
        raise PermitError("unknown_key", text)
    try:
        payload = _jws.decode(token, key, algorithms=[key.algorithm_name])
    except jwt.InvalidAlgorithmError as error:
        text = f"the permit does not use {key.algorithm_name}, the algorithm of its key"
        raise PermitError("bad_algorithm", text) from error
    except jwt.InvalidSignatureError as error:
        raise PermitError("bad_signature", "the permit's signature is wrong") from error
    except (jwt.PyJWTError, ValueError, TypeError) as error:
        raise PermitError("malformed", f"the permit is no JWT: {error}") from error
    return _claims(payload)


def _claims(payload: bytes) -> Claims:
    try:
        found = {name: member.value for name, member in members(payload).items()}
    except ValueError as error:
        raise PermitError("malformed", f"the permit's claims: {error}") from error
    found = dict.fromkeys(_OPTIONAL, "") | found
    for names, kind, word in ((_TEXTS, str, "text"), (_NUMBERS, int, "whole number")):
        for name in names:
            # Not isinstance: to Python, true is an integer.
            if type(found.get(name)) is not kind:
                text = f"the permit's {name} is missing or no {word}"
                raise PermitError("bad_claims", text)
    claims = Claims(**{name: found[name] for name in (*_TEXTS, *_NUMBERS)})
    if not (_TOKEN.fullmatch(claims.sub) and _TOKEN.fullmatch(claims.task_id)):
        raise PermitError("bad_claims", "the permit's user or task is no id")
    if claims.attempt < 1 or claims.jti != f"{claims.task_id}.{claims.attempt}":
        raise PermitError("bad_claims", "the permit's jti is not <task>.<attempt>")
    if not _DIGEST.fullmatch(claims.input_sha256):
        raise PermitError("bad_claims", "the permit's input_sha256 is no digest")
    return claims


class Member(NamedTuple):
    """One member of a JSON object."""

    value: Any
    raw: bytes
    """The value exactly as it stands in the text."""
    padded: bytes
    """The same with the white space on both sides of it."""


def members(text: bytes) -> dict[str, Member]:
    """Split a JSON object into its members. The input of a task is `members(body)["input"].raw`.

    Stricter than `json.loads`: no name twice, no NaN, UTF-8 only. Raises ValueError.
    """
    try:
        return _members(text.decode())
    except RecursionError as error:
        raise ValueError("it is nested too deep") from error


def _members(text: str) -> dict[str, Member]:
    decoder = json.JSONDecoder(parse_constant=_refuse)
    found: dict[str, Member] = {}
    at = _past(text, 0, "{")
    more = not text.startswith("}", at)
    while more:
        name, end = decoder.raw_decode(text, at)
        if not isinstance(name, str) or name in found:
            raise ValueError(f"{str(name)[:80]!r} is no name of a member, or stands there twice")
        start = _past(text, end, ":")
        before = text.index(":", end) + 1
        value, end = decoder.raw_decode(text, start)
        at = _past(text, end)
        found[name] = Member(value, text[start:end].encode(), text[before:at].encode())
        if more := text.startswith(",", at):
            at = _past(text, at, ",")
    if _past(text, at, "}") != len(text):
        raise ValueError("something stands behind the object")
    return found


def _past(text: str, at: int, mark: str = "") -> int:
    """The next place that is no white space, behind `mark` if one is given."""
    if not text.startswith(mark, at := _no_space(text, at)):
        raise ValueError(f"{mark!r} is missing at character {at}")
    return _no_space(text, at + len(mark))


def _no_space(text: str, at: int) -> int:
    found = _SPACE.match(text, at)
    return found.end() if found else at


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is no JSON")
