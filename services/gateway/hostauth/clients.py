"""As which client authorization servers of hosts know us: by hand, by our own description, or by
registering ourselves."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any

from contracts.errors import Reason, Rejected
from services.gateway.access.identity import digest
from services.gateway.hostauth.exchange import KnownAs
from services.gateway.hostauth.metadata import AuthorizationServer, secure
from services.gateway.hostauth.outbound import HostAsking
from services.gateway.hostauth.records import RegisteredClient
from services.gateway.people.state import PeopleState
from services.keys.vault import KeyFile, SealedElsewhere

CALLBACK = "/link/callback"
DOCUMENT = "/link/client.json"
CLIENT_NAME = "MetaMCP Orchestrator"
LONGEST_CLIENT_ID = 2048
_HOWS = {"none": "none", "client_secret_basic": "basic", "client_secret_post": "post"}


class HostClients:
    """Raises StoreError, VaultError where it asks NATS."""

    def __init__(
        self,
        state: PeopleState,
        key: KeyFile,
        asking: HostAsking,
        by_hand: Mapping[str, KnownAs],
        base: Callable[[], str],
    ) -> None:
        """`by_hand`: by issuer; `base`: our own public address, empty while it is not known."""
        self._state = state
        self._key = key
        self._asking = asking
        self._by_hand = {issuer.rstrip("/"): known for issuer, known in by_hand.items()}
        self._base = base
        self._table = state.table("host_client", RegisteredClient)

    @property
    def base(self) -> str:
        """Our own public address; empty while it is not known."""
        return self._base()

    @property
    def redirect(self) -> str:
        """Where browsers come back. Raises Rejected."""
        if not self.base:
            text = "this gateway does not know its own address: set METAMCP_GATEWAY_PUBLIC_URL"
            raise Rejected(Reason.UNAVAILABLE, text)
        return self.base + CALLBACK

    def by_hand(self, issuer: str) -> bool:
        """Whether the operator has registered us there."""
        return issuer.rstrip("/") in self._by_hand

    async def of(self, server: AuthorizationServer, *, open_: bool) -> KnownAs:
        """The client to be there. Raises Rejected."""
        if (known := self._by_hand.get(server.issuer.rstrip("/"))) is not None:
            return known._replace(how=_how(known, server))
        if server.documents and self.base.startswith("https://"):
            return KnownAs(self.base + DOCUMENT)
        held = self._table.get(self._key_of(server.issuer))
        if held is not None and (found := self._opened(held.value)) is not None:
            return found
        if server.register:
            return await self._registered(server, open_, 0 if held is None else held.revision)
        raise Rejected(
            Reason.CONFLICT,
            f"{server.issuer} lets nobody register himself: the operator registers a client there"
            f" with the redirect address {self.redirect}, and names it in"
            " METAMCP_GATEWAY_HOST_CLIENTS",
        )

    def again(self, issuer: str, client: str, how: str) -> KnownAs | None:
        """The same client later; None: it is not known any more."""
        known = self._by_hand.get(issuer.rstrip("/"))
        if known is not None and known.client == client:
            return known._replace(how=how)
        held = self._table.get(self._key_of(issuer))
        if held is not None and held.value.client == client:
            return self._opened(held.value)
        return KnownAs(client) if how == "none" else None

    async def forget(self, issuer: str) -> None:
        """It does not know us any more: the next link registers anew."""
        await self._table.delete(self._key_of(issuer))

    def document(self) -> dict[str, Any]:
        """Our own description. Raises Rejected."""
        return {"client_id": self.base + DOCUMENT, **self._described("none")}

    async def _registered(self, server: AuthorizationServer, open_: bool, before: int) -> KnownAs:
        way = next((one for one in _HOWS if one in server.methods), "none")
        wish = self._described(way)
        said = await self._asking.ask("POST", server.register, open_=open_, json=wish)
        client, secret = said.fields.get("client_id"), said.fields.get("client_secret", "")
        if said.status not in (200, 201) or not isinstance(client, str) or not client:
            text = f"{server.issuer} does not register this server: it answered {said.status}"
            raise Rejected(Reason.CONFLICT, text)
        if not isinstance(secret, str) or max(len(client), len(secret)) > LONGEST_CLIENT_ID:
            raise Rejected(Reason.CONFLICT, f"{server.issuer} gives a client that can't be used")
        told = said.fields.get("token_endpoint_auth_method", way)
        how = _HOWS.get(told if isinstance(told, str) else way, "none") if secret else "none"
        ends = said.fields.get("client_secret_expires_at")
        made = RegisteredClient(
            issuer=server.issuer,
            client=client,
            secret=self._key.vault().wrap(_purpose(server.issuer), secret.encode())
            if secret
            else b"",
            how=how,
            expires=float(ends) if isinstance(ends, int | float) and ends > time.time() else None,
        )
        if await self._table.put(self._key_of(server.issuer), made, before) is None:
            # Another sign-in was quicker: all are to be one client.
            held = self._table.get(self._key_of(server.issuer))
            if held is not None and (found := self._opened(held.value)) is not None:
                return found
        return KnownAs(client, how, secret)

    def _described(self, way: str) -> dict[str, Any]:
        return {
            "client_name": CLIENT_NAME,
            "application_type": "web" if self.base.startswith("https://") else "native",
            "redirect_uris": [self.redirect],
            "grant_types": ["authorization_code", "refresh_token"],
            "response_types": ["code"],
            "token_endpoint_auth_method": way,
            **({"client_uri": self.base} if secure(self.base) else {}),
        }

    def _opened(self, held: RegisteredClient) -> KnownAs | None:
        """None: its secret was sealed with another master key."""
        secret = ""
        try:
            if held.secret:
                secret = self._key.vault().unwrap(_purpose(held.issuer), held.secret).decode()
        except SealedElsewhere:
            return None
        return KnownAs(held.client, held.how, secret)

    def _key_of(self, issuer: str) -> str:
        return digest(f"{issuer.rstrip('/')}\n{self.redirect}")


def _how(known: KnownAs, server: AuthorizationServer) -> str:
    """How a client with a secret shows it; whoever does not say takes it in the header."""
    if not known.secret:
        return "none"
    in_form = "client_secret_post" in server.methods and (
        "client_secret_basic" not in server.methods
    )
    return "post" if in_form else "basic"


def _purpose(issuer: str) -> str:
    return f"host_client/{issuer}"
