"""Whom an issued token stands for."""

from __future__ import annotations

from services.gateway.access.identity import Principal
from services.gateway.access.tokens import Issued


def bearer(issued: Issued, *roles: str) -> Principal:
    """Its owner, with these roles."""
    given = (issued.expires, issued.id, None, f"token:{issued.id}")
    return Principal(issued.user, frozenset(roles), *given)
