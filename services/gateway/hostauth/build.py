"""Puts sign-in at hosts together from the settings."""

from __future__ import annotations

import math
from collections.abc import Callable

from services.gateway.hostauth.clients import HostClients
from services.gateway.hostauth.exchange import KnownAs
from services.gateway.hostauth.links import HostLinks
from services.gateway.hostauth.outbound import HostAsking
from services.gateway.http.parts import Parts
from services.gateway.people.providers.build import client_secret
from services.keys.vault import KeyFile


def host_links(
    parts: Parts, key: KeyFile, base: Callable[[], str], *, allow_private: bool
) -> HostLinks:
    """The links of one gateway; `base`: see `HostClients`. Raises Fatal for a secret that can't be
    read."""
    settings, asking = parts.settings, HostAsking()
    by_hand = {
        one.issuer: KnownAs(one.client_id, secret=client_secret("", one.client_secret_file))
        for one in settings.host_clients
    }
    clients = HostClients(parts.state, key, asking, by_hand, base)

    def since(user: str) -> float:
        account = parts.users.account(user)
        if account is None:
            return 0.0
        return math.inf if account.deleted or account.disabled else account.created

    return HostLinks(parts.state, key, clients, asking, since, allow_private=allow_private)
