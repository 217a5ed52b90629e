"""Who a token stands for. Tokens are stored as digests and never logged.

One small interface, `Identity.of`: the data folder's own tokens here, issued ones in `tokens`.
"""

from __future__ import annotations

import hashlib
import secrets
import time
from pathlib import Path
from typing import NamedTuple, Protocol

import msgspec

from services.process import telemetry
from services.process.files import write_private

UNKNOWN = "unknown or expired token"
LOCAL_USER = "local"
LOCAL_ROLES = ("auditor", "admin")

log = telemetry.get_logger()


class Principal(NamedTuple):
    """Who is asking."""

    user: str
    roles: frozenset[str]
    expires: float | None = None
    """Seconds since the epoch; None: never."""
    token: str | None = None
    """Id of the token that was shown, if it was issued and so can be revoked."""

    def left_s(self) -> float | None:
        """Seconds until it expires; None: it never does."""
        return None if self.expires is None else self.expires - time.time()


class Identity(Protocol):
    """Knows whose a token is."""

    def of(self, token: str) -> Principal | None:
        """Return the token's owner, or None for an unknown or expired token."""


class TokenEntry(msgspec.Struct, frozen=True, omit_defaults=True):
    """What is known of one token."""

    user: str
    roles: tuple[str, ...] = ()
    expires: float | None = None


_entries: msgspec.json.Decoder[dict[str, TokenEntry]] = msgspec.json.Decoder(dict[str, TokenEntry])


class FileIdentity:
    """Tokens in `credentials/tokens.json`: the SHA-256 of each token, and whose it is."""

    def __init__(self, data: Path) -> None:
        self._path = tokens_file(data)
        self._seen: tuple[int, int] | None = None
        self._tokens: dict[str, TokenEntry] = {}

    def of(self, token: str) -> Principal | None:
        """See `Identity`. A changed file is read again at once, so a removed token ends at once."""
        self._refresh()
        # The key is a digest, so what its comparison takes says nothing about any token.
        found = self._tokens.get(digest(token))
        if found is None or (found.expires is not None and found.expires <= time.time()):
            return None
        return Principal(found.user, frozenset(found.roles), found.expires)

    def _refresh(self) -> None:
        try:
            stat = self._path.stat()
            seen = (stat.st_mtime_ns, stat.st_size)
            if seen != self._seen:
                self._tokens = _entries.decode(self._path.read_bytes())
                self._seen = seen
        except FileNotFoundError:
            self._tokens, self._seen = {}, None
        except (OSError, msgspec.DecodeError) as error:
            # Better nobody than somebody who should be out.
            self._tokens, self._seen = {}, None
            log.warning("tokens_unreadable", path=str(self._path), error=str(error))


class Identities:
    """Several of them as one: the first that knows a token says whose it is."""

    def __init__(self, *every: Identity) -> None:
        self._every = every

    def of(self, token: str) -> Principal | None:
        """See `Identity`."""
        return next((found for one in self._every if (found := one.of(token))), None)


def digest(token: str) -> str:
    """Return the form in which a token is stored."""
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).hexdigest()


def bearer(header: str | None) -> str | None:
    """Return the token of an `Authorization: Bearer` header."""
    scheme, _, token = (header or "").partition(" ")
    return token.strip() or None if scheme.lower() == "bearer" else None


def tokens_file(data: Path) -> Path:
    """Where the digests lie."""
    return data / "credentials" / "tokens.json"


def token_file(data: Path) -> Path:
    """Where the local token lies, for the CLI of the same user on the same machine."""
    return data / "credentials" / "token"


def ensure_local_token(data: Path) -> str:
    """Return this installation's own token (user `local`); made at the first call, mode 0600.

    Raises OSError if the folder can't be written.
    """
    folder = data / "credentials"
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    path = token_file(data)
    if not path.exists():
        write_private(path, secrets.token_urlsafe(32).encode() + b"\n")
    token = path.read_text().strip()
    known = tokens_file(data)
    entries = _entries.decode(known.read_bytes()) if known.exists() else {}
    if digest(token) not in entries:
        entries[digest(token)] = TokenEntry(LOCAL_USER, LOCAL_ROLES)
        write_private(known, msgspec.json.format(msgspec.json.encode(entries)) + b"\n")
    return token
