"""Tokens that are good for some things only, as issued tokens, sessions and clients will be."""

from __future__ import annotations

from collections.abc import Iterable

from contracts import scopes
from services.gateway.access.identity import Identities, Principal
from tests.unit.gateway.world import World


class ScopedTokens:
    """An `Identity`: `<user>|<roles>|<scopes>|<asked by>`, each but the first a list or empty."""

    def of(self, token: str) -> Principal | None:
        """See `Identity`."""
        if "|" not in token:
            return None
        user, roles, named, by = token.split("|")
        held = frozenset(filter(None, named.split(",")))
        return Principal(user, frozenset(filter(None, roles.split(","))), scopes=held, asked_by=by)

    def holds(self, principal: Principal) -> bool:
        """See `Identity`."""
        return principal.token is None and principal.scopes is not None


def token(user: str, *names: str, roles: Iterable[str] = (), by: str = "client:agent") -> str:
    """A token of this user with these scopes alone."""
    return f"{user}|{','.join(roles)}|{','.join(names)}|{by}"


def without(user: str, *names: str, roles: Iterable[str] = (), by: str = "client:agent") -> str:
    """A token of this user with all scopes but these."""
    return token(user, *sorted(scopes.EVERY - set(names)), roles=roles, by=by)


def take_scoped_tokens(gateway: World) -> None:
    """Let the gateway know such tokens besides its own."""
    gateway.site.known = Identities(ScopedTokens(), gateway.site.known)
