"""Who a token stands for. Tokens are stored as digests and never logged.

One small interface, `Identity.of`: the data folder's own tokens here, issued ones in `tokens`.
"""

from __future__ import annotations

import hashlib
import secrets
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple, Protocol

import msgspec

from contracts import scopes
from contracts.errors import Reason, Rejected
from contracts.ids import is_user
from services.gateway.domain import ADMIN, AUDITOR
from services.process import telemetry
from services.process.files import write_private
from services.process.run import Fatal

UNKNOWN = "unknown or expired token"
LOCAL_USER = "local"
LOCAL_ROLES = ("auditor", "admin")
NO_ROLES: frozenset[str] = frozenset()

log = telemetry.get_logger()


class NotAllowed(Rejected):
    """Somebody who is known may not do this; `missing`: what they would need."""

    def __init__(self, missing: str, text: str) -> None:
        super().__init__(Reason.FORBIDDEN, text)
        self.missing = missing


class InsufficientScope(Rejected):
    """What was shown is good, but not for this."""

    def __init__(self, scope: str) -> None:
        text = f"this needs the scope `{scope}`, which the token that was shown does not have"
        super().__init__(Reason.INSUFFICIENT_SCOPE, text)
        self.scope = scope
        self.missing = f"scope {scope}"


class Principal(NamedTuple):
    """Who is asking."""

    user: str
    roles: frozenset[str]
    expires: float | None = None
    """Seconds since the epoch; None: never."""
    token: str | None = None
    """Id of the token, session or grant that was shown, if it can be revoked."""
    scopes: frozenset[str] | None = None
    """What what was shown is good for; None: for all that the roles allow."""
    asked_by: str = ""
    """As `asked_by` of `task.created`."""

    @property
    def powers(self) -> frozenset[str]:
        """The roles, if what was shown is good for what they allow besides; else none."""
        return self.roles if self.may(scopes.ADMIN) else NO_ROLES

    @property
    def operator(self) -> bool:
        """Whether it acts in the role admin, which fewer budgets hold up."""
        return ADMIN in self.powers

    @property
    def auditor(self) -> bool:
        """Whether it acts in the role auditor."""
        return AUDITOR in self.powers

    def may(self, scope: str) -> bool:
        """Whether what was shown is good for this."""
        return self.scopes is None or scope in self.scopes

    def needs(self, scope: str) -> None:
        """Raises InsufficientScope."""
        if not self.may(scope):
            raise InsufficientScope(scope)

    def asked(self, by: str) -> bool:
        """Whether what was asked for by `by` was asked for with this, or with as much as all."""
        return self.scopes is None or (bool(by) and by == self.asked_by)

    def left_s(self) -> float | None:
        """Seconds until it expires; None: it never does."""
        return None if self.expires is None else self.expires - time.time()


class Identity(Protocol):
    """Knows whose a token is."""

    def of(self, token: str) -> Principal | None:
        """Return the token's owner, or None for an unknown or expired token."""

    def holds(self, principal: Principal) -> bool:
        """Whether this principal has shown something that was given out here and is still good for
        all of its roles."""


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
        # The key is a digest, so what its comparison takes says nothing about any token.
        return self.of_digest(digest(token))

    def of_digest(self, key: str) -> Principal | None:
        """The same for a token's SHA-256."""
        self._refresh()
        found = self._tokens.get(key)
        if found is None or (found.expires is not None and found.expires <= time.time()):
            return None
        return Principal(found.user, frozenset(found.roles), found.expires)

    def names(self, user: str) -> bool:
        """Whether some token is this user's."""
        self._refresh()
        return any(entry.user == user for entry in self._tokens.values())

    def holds(self, principal: Principal) -> bool:
        """See `Identity`. What stands in the file has no id that could be revoked."""
        return principal.token is None

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

    def __init__(
        self, *every: Identity, barred: Callable[[str], bool] = lambda user: False
    ) -> None:
        """`barred`: whether a user may not come in, whatever is shown."""
        self._every = every
        self._barred = barred

    def of(self, token: str) -> Principal | None:
        """See `Identity`. Whoever can be no user is nobody, whoever has issued the token."""
        found = next((found for one in self._every if (found := one.of(token))), None)
        return found if found is not None and self._admits(found.user) else None

    def holds(self, principal: Principal) -> bool:
        """See `Identity`."""
        good = self._admits(principal.user)
        return good and any(one.holds(principal) for one in self._every)

    def _admits(self, user: str) -> bool:
        return is_user(user) and not self._barred(user)


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

    Raises OSError if the folder can't be written, Fatal if what lies there can't be read.
    """
    folder = data / "credentials"
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    path = token_file(data)
    if not path.exists():
        write_private(path, secrets.token_urlsafe(32).encode() + b"\n")
    token = path.read_text().strip()
    known = tokens_file(data)
    try:
        entries = _entries.decode(known.read_bytes()) if known.exists() else {}
    except msgspec.DecodeError as error:
        raise Fatal(
            f"{known} holds no tokens: {error}.",
            "Put it back from a copy, or delete it: then only the token of this folder is left.",
        ) from None
    if digest(token) not in entries:
        entries[digest(token)] = TokenEntry(LOCAL_USER, LOCAL_ROLES)
        write_private(known, msgspec.json.format(msgspec.json.encode(entries)) + b"\n")
    return token
