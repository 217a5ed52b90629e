"""Under which subdomain the Hub serves a Space, asked when a host is registered as `hf://…`.

A name made of owner and name may be another Space's (`a/b-c` and `a-b/c`), so no secret goes there.
"""

from __future__ import annotations

import asyncio
from typing import Protocol

import msgspec

from contracts.account import SECRET_NAMES, Provider
from contracts.errors import Reason, Rejected
from contracts.host import Host, Remote, operated
from services.huggingface.hub import HubError
from services.huggingface.spaces import Space
from services.keys.secrets import MissingSecret, Secrets, wanted
from services.outside import addresses

ASK_S = 8.0
"""For asking the Hub about one Space: whoever registers it waits for 10 s at most."""


class SpaceSource(Protocol):
    """What the Hub is asked for."""

    async def get(self, token: str | None, repo: str) -> Space:
        """See `services.huggingface.spaces.Spaces.get`."""


class Located:
    """Fills in where Spaces are served."""

    def __init__(self, spaces: SpaceSource, secrets: Secrets) -> None:
        self._spaces = spaces
        self._secrets = secrets

    async def __call__(self, host: Host) -> Host:
        """The host with the Hub's own subdomain; nobody else says one. Raises Rejected.

        If the Hub does not tell, the host's address is made of the Space's name, unless a secret
        is to be sent there.
        """
        endpoint = host.endpoint
        if not isinstance(endpoint, Remote):
            return host
        subdomain = ""
        if addresses.is_space(endpoint.url):
            subdomain, problem = await self._asked(host, endpoint.url[len("hf://") :])
            if (asked := wanted(host)) and not subdomain:
                raise Rejected(
                    Reason.UNAVAILABLE,
                    f"Hugging Face does not say where it serves this Space ({problem}), and the"
                    f" secret {asked[0]} is sent to no address that is only guessed:"
                    " try again, link an account that may see the Space, or give its https:// URL",
                )
        placed = msgspec.structs.replace(endpoint, subdomain=subdomain)
        return msgspec.structs.replace(host, endpoint=placed)

    async def _asked(self, host: Host, repo: str) -> tuple[str, str]:
        """The subdomain, or why there is none."""
        try:
            async with asyncio.timeout(ASK_S):
                space = await self._spaces.get(await self._token(host), repo)
        except HubError as error:
            return "", str(error)
        except TimeoutError:
            return "", f"it has not answered for {ASK_S:g} s"
        return space.subdomain, "it names none"

    async def _token(self, host: Host) -> str | None:
        """Of the host's owner: private Spaces are seen by nobody else."""
        name = SECRET_NAMES[Provider.HUGGINGFACE]
        try:
            return await self._secrets.find(name, host.owner, only_own=not operated(host))
        except MissingSecret:
            return None
