"""Gateways and a host that asks for OAuth, with a browser that goes where it is sent."""

from __future__ import annotations

from typing import Any
from urllib.parse import parse_qsl, urlsplit

import httpx
import msgspec

from contracts.host import Host, StreamableHttp
from contracts.host_token import HostToken, HostTokenRequest
from contracts.subjects import ACCOUNTS_BUCKET
from services.bus.bus import Bus
from services.gateway.access.identity import LOCAL_USER
from services.gateway.hostauth.clients import HostClients
from services.gateway.hostauth.exchange import KnownAs
from services.gateway.hostauth.links import HostLinks, HostWish
from services.gateway.hostauth.outbound import HostAsking
from services.gateway.hostauth.records import HostLink
from services.gateway.people.state import PeopleState
from services.keys.hosttokens import transit
from services.keys.vault import KeyFile
from services.store.kv import Bucket
from tests.support.facts import name
from tests.support.host_auth import HostAuth

BASE = "http://127.0.0.1:7"


class Linking:
    """One gateway's part in it."""

    def __init__(
        self, bus: Bus, key: KeyFile, auth: HostAuth, by_hand: KnownAs | None = None
    ) -> None:
        self.auth = auth
        self.key = key
        asking, state = HostAsking(), PeopleState(Bucket(bus, ACCOUNTS_BUCKET))
        known = {} if by_hand is None else {auth.url: by_hand}
        clients = HostClients(state, key, asking, known, lambda: BASE)
        self.since: dict[str, float] = {}
        """When accounts were made."""
        self.links = HostLinks(
            *(state, key, clients, asking), since=lambda user: self.since.get(user, 0.0)
        )

    def host(self, id_: str = "", **fields: Any) -> Host:
        """The host, as the operator's."""
        known = id_ or name("h")
        endpoint = StreamableHttp(self.auth.resource)
        return Host(**{"id": known, "name": known, "endpoint": endpoint} | fields)

    async def link(self, host: Host, user: str = LOCAL_USER, **wish: Any) -> HostLink:
        """Sign in, as it should go."""
        url, _ = await self.links.begin(HostWish(user, host, **wish))
        browser = None if user == LOCAL_USER else user
        return await self.links.finish(await visited(url), browser)

    async def token(self, host: Host, user: str = LOCAL_USER, stale: str = "") -> str:
        """What an executor is given."""
        assert isinstance(host.endpoint, StreamableHttp)
        request = HostTokenRequest(user, host.id, host.endpoint.url, stale)
        data = await self.links.token(msgspec.json.encode(request))
        answer = msgspec.json.decode(data, type=HostToken)
        return self.key.vault().unwrap(transit(user, host.id), answer.sealed).decode()


async def visited(url: str) -> dict[str, str | None]:
    """Go to an authorization server; the answer is what it sends the browser back with."""
    async with httpx.AsyncClient(trust_env=False) as browser:
        answer = await browser.get(url)
    assert answer.status_code == 302, answer.text
    back = answer.headers["location"]
    assert back.startswith(f"{BASE}/link/callback?")
    return dict(parse_qsl(urlsplit(back).query))
