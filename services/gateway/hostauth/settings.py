"""How authorization servers of hosts know this installation; part of the section `[gateway]`."""

from __future__ import annotations

from pathlib import Path

import msgspec

from services.gateway.people.providers.settings import check_address


class HostClient(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A client registered by hand, `[[gateway.host_clients]]`."""

    issuer: str
    """Of the authorization server, exactly as it says it; nobody else is shown the secret."""
    client_id: str
    client_secret_file: Path | None = None
    """None: a public client, which PKCE alone protects."""

    def __post_init__(self) -> None:
        """Raises ValueError."""
        check_address(self.issuer, "issuer of host_clients")
        if not self.client_id:
            raise ValueError(f"client_id of {self.issuer} is empty")
