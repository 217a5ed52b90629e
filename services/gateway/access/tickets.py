"""One-time tickets for websockets and events: browsers can't send an Authorization header there.

They lie in NATS KV, so that one is good at every gateway, and at one of them only once.
"""

from __future__ import annotations

import secrets

import msgspec

from contracts.errors import Reason, Rejected
from services.gateway.access.identity import Principal, digest
from services.store.blobs import StoreError
from services.store.kv import Bucket

PREFIX = "ticket_"
TICKET_S = 30
_TAKEN = b""
_principal: msgspec.json.Decoder[Principal] = msgspec.json.Decoder(Principal)


class Tickets:
    """Issues tickets and takes them back."""

    def __init__(self, bucket: Bucket) -> None:
        self._bucket = bucket

    async def issue(self, principal: Principal) -> str:
        """Return a ticket that is good once, within 30 s. Raises Rejected(UNAVAILABLE)."""
        ticket = PREFIX + secrets.token_urlsafe(24)
        try:
            value = msgspec.json.encode(principal)
            await self._bucket.put(digest(ticket), value, ttl_s=TICKET_S)
        except StoreError:
            raise Rejected(Reason.UNAVAILABLE, "tickets can't be stored now: try again") from None
        return ticket

    async def take(self, ticket: str) -> Principal | None:
        """Return whose the ticket is, to the first who asks. Raises StoreError."""
        if not ticket.startswith(PREFIX):
            return None
        key = digest(ticket)
        found = await self._bucket.get(key)
        if found is None or found.value == _TAKEN:
            return None
        first = await self._bucket.put(key, _TAKEN, expected=found.revision, ttl_s=TICKET_S)
        return _principal.decode(found.value) if first is not None else None
