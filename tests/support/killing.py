"""Everything that runs while gateways are killed in what people ask: the gateways, NATS, and the
stand-ins of providers; and what people do there."""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, NamedTuple

import httpx

from contracts.subjects import ACCOUNTS_BUCKET
from services.process.files import write_private
from services.store.kv import Bucket
from tests.support import github_sign_in, oidc
from tests.support.github_sign_in import GitHubOAuth, github_oauth
from tests.support.nats import NatsServer
from tests.support.oauth_browser import PASSWORD, Browser
from tests.support.oidc import OidcServer, hugging_face
from tests.support.two_processes import PUBLIC, TwoProcesses, two_processes

REFRESH, LOGIN = "/api/auth/refresh", "/api/auth/login"
numbers = itertools.count(1)


class Killing(NamedTuple):
    """Everything that runs."""

    two: TwoProcesses
    nats: NatsServer
    github: GitHubOAuth
    hub: OidcServer

    async def signed_in(self, user: str) -> Any:
        async with self.two.direct() as http:
            return await signed_in(http, user)

    async def good(self, access: str) -> bool:
        async with self.two.direct(access) as http:
            return (await http.get("/api/preferences")).status_code == 200

    async def refreshed(self, token: str) -> httpx.Response:
        async with self.two.direct() as http:
            return await http.post(REFRESH, json={"refresh_token": token})

    async def sessions(self, access: str) -> int:
        async with self.two.direct(access) as http:
            return len((await http.get("/api/auth/sessions")).json()["data"])

    async def users(self, begin: str) -> list[str]:
        """Names of accounts that begin so."""
        async with self.two.direct(self.two.operator) as http:
            found = (await http.get("/api/users", params={"limit": 500})).json()["data"]
        return [one["name"] for one in found if one["name"].startswith(begin)]

    async def forget_keys(self) -> None:
        async with self.nats.connected("gateway") as bus:
            for key in ("key.root", "signing.oauth"):
                await Bucket(bus, ACCOUNTS_BUCKET).delete(key)


@contextlib.asynccontextmanager
async def killing(folder: Path) -> AsyncIterator[Killing]:
    """Start it all."""
    key = folder / "master.key"
    write_private(key, b"5a" * 32)
    async with (
        NatsServer(folder / "nats") as nats,
        github_oauth() as github,
        hugging_face() as hub,
    ):
        variables = {
            "METAMCP_MASTER_KEY": str(key),
            "METAMCP_GATEWAY_GITHUB_CLIENT_ID": github_sign_in.CLIENT,
            "METAMCP_GATEWAY_GITHUB_CLIENT_SECRET": github_sign_in.SECRET,
            "METAMCP_GATEWAY_GITHUB_WEB_URL": github.url,
            "METAMCP_GATEWAY_GITHUB_URL": github.url,
            "METAMCP_GATEWAY_HF_CLIENT_ID": oidc.CLIENT,
            "METAMCP_GATEWAY_HF_CLIENT_SECRET": oidc.SECRET,
            "METAMCP_GATEWAY_HF_URL": hub.issuer,
            "METAMCP_GATEWAY_ADMIT_NEW_PEOPLE": "all",
        }
        async with two_processes(folder, nats, variables) as two:
            made = Killing(two, nats, github, hub)
            # The first of all gateways makes the keys: that is a test of its own.
            await made.signed_in(await two.person())
            async with two.direct() as http:
                assert (await http.get("/oauth/jwks.json")).status_code == 200
            yield made


def writes(*names: str) -> list[str]:
    """Steps of these writes, one after the other."""
    return [f"{when} {name}" for name in names for when in ("before", "after")]


async def posted(http: httpx.AsyncClient, path: str, **body: Any) -> Any:
    answer = await http.post(path, json=body)
    assert answer.status_code == 200, answer.text
    return answer.json()["data"]


async def signed_in(http: httpx.AsyncClient, user: str, password: str = PASSWORD) -> Any:
    return await posted(http, LOGIN, user=user, password=password)


async def browser_of(here: Killing, http: httpx.AsyncClient) -> Browser:
    """The browser of somebody who has signed in."""
    user = await here.two.person()
    body = {"user": user, "password": PASSWORD, "cookie": True}
    assert (await http.post(LOGIN, json=body)).status_code == 200
    return Browser(http, user, PUBLIC)
