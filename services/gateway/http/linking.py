"""Linked accounts and users' Spaces, for the routes: what is asked of Hugging Face and GitHub."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from contracts.account import Account, Provider
from contracts.errors import Reason, Rejected
from contracts.wire import Discovered, DiscoverRequest
from services.gateway.http import github
from services.gateway.http.github import GitHubDenied, GitHubError
from services.gateway.peers.asked import Others
from services.huggingface.hub import Hub, HubDenied, HubError, HubMissing, HubRefused
from services.huggingface.spaces import Space, Spaces
from services.keys.accounts import LONGEST_TOKEN, Accounts
from services.keys.vault import VaultError
from services.process import telemetry
from services.store.blobs import StoreError

KIT = Path(__file__).resolve().parents[3] / "deploy" / "space"
"""The Space kit of a checkout."""
DISCOVER_S = 60.0
MOST_BACKGROUND = 100
_TOKEN = re.compile(r"[\x21-\x7e]+")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,95}")

log = telemetry.get_logger()
T = TypeVar("T")


class Linking:
    """Does it all in the name of one user at a time. Raises Rejected."""

    def __init__(
        self, accounts: Accounts, hub: Hub, others: Others, *, github_url: str, kit: Path | None
    ) -> None:
        """`kit`: the folder that is deployed to Spaces; None: that of this checkout."""
        self._accounts = accounts
        self._hub = hub
        self._spaces = Spaces(hub)
        self._others = others
        self._github_url = github_url
        self._kit = kit or KIT
        self._looking: set[asyncio.Task[None]] = set()

    async def accounts(self, user: str) -> list[Account]:
        """What the user has linked."""
        found = [await _stored(self._accounts.account(user, one)) for one in Provider]
        return [account for account in found if account is not None]

    async def account(self, user: str, provider: Provider) -> Account:
        """One of them."""
        return _linked(await _stored(self._accounts.account(user, provider)), provider)

    async def check(self, user: str, provider: Provider) -> Account:
        """Ask the provider whose the stored token is, now."""
        account, token = await self._opened(user, provider)
        name, scopes = await self._whose(provider, token)
        return msgspec.structs.replace(account, name=name, scopes=scopes)

    async def link(self, user: str, provider: Provider, token: str) -> Account:
        """Store a token that the provider accepts."""
        token = token.strip()
        if len(token) > LONGEST_TOKEN or not _TOKEN.fullmatch(token):
            raise Rejected(
                Reason.BAD_REQUEST, "`token`: expected one word, as the provider shows it"
            )
        name, scopes = await self._whose(provider, token)
        account = await _stored(self._accounts.link(user, provider, name, token, scopes))
        log.info("account_linked", user=user, provider=provider.value, account=name)
        self._look(user, provider)
        return account

    async def unlink(self, user: str, provider: Provider) -> bool:
        """Forget the token; False: there was none."""
        gone = await _stored(self._accounts.unlink(user, provider))
        if gone:
            log.info("account_unlinked", user=user, provider=provider.value)
            self._look(user, provider)
        return gone

    async def spaces(self, user: str) -> list[Space]:
        """The user's Spaces."""
        account, token = await self._opened(user, Provider.HUGGINGFACE)
        return await _asked(self._spaces.list(token, account.name))

    async def space(self, user: str, repo: str) -> Space:
        """One Space as it is now."""
        _, token = await self._opened(user, Provider.HUGGINGFACE)
        return await _asked(self._spaces.get(token, repo))

    async def create(self, user: str, name: str, **options: Any) -> Space:
        """Make a Space of the user's account; again it is the same one."""
        if not _NAME.fullmatch(name):
            raise Rejected(Reason.BAD_REQUEST, f"{name[:96]!r} is no name of a Space")
        account, token = await self._opened(user, Provider.HUGGINGFACE)
        return await _asked(self._spaces.create(token, f"{account.name}/{name}", **options))

    async def deploy(self, user: str, repo: str, variables: dict[str, str | None]) -> Space:
        """Put the kit into a Space that is there, with what lets it trust this orchestrator."""
        if not (self._kit / "app.py").is_file():
            raise Rejected(
                Reason.UNAVAILABLE,
                f"there is no Space kit in {self._kit}: name its folder with"
                " METAMCP_GATEWAY_SPACE_KIT",
            )
        _, token = await self._opened(user, Provider.HUGGINGFACE)
        await _asked(self._spaces.get(token, repo))
        await _asked(self._spaces.set_variables(token, repo, variables))
        await _asked(self._spaces.deploy(token, repo, self._kit, "Deploy the MetaMCP Space kit"))
        return await _asked(self._spaces.get(token, repo))

    async def restart(self, user: str, repo: str, *, factory: bool) -> Space:
        """Start a Space anew."""
        _, token = await self._opened(user, Provider.HUGGINGFACE)
        return await _asked(self._spaces.restart(token, repo, factory=factory))

    def page(self, repo: str) -> str:
        """Where people look at a Space."""
        return self._spaces.page(repo)

    async def close(self) -> None:
        """Wait for nothing any more."""
        for task in self._looking:
            task.cancel()
        if self._looking:
            await asyncio.wait(self._looking)
        await self._hub.close()

    async def _opened(self, user: str, provider: Provider) -> tuple[Account, str]:
        return _linked(await _stored(self._accounts.open(user, provider)), provider)

    async def _whose(self, provider: Provider, token: str) -> tuple[str, tuple[str, ...]]:
        if provider is Provider.HUGGINGFACE:
            who = await _asked(self._hub.whoami(token), denied=Reason.BAD_REQUEST)
            return who.name, who.scopes
        try:
            return await github.whoami(token, self._github_url)
        except GitHubDenied as error:
            raise Rejected(Reason.BAD_REQUEST, str(error)) from None
        except GitHubError as error:
            raise Rejected(Reason.UNAVAILABLE, str(error)) from None

    def _look(self, user: str, provider: Provider) -> None:
        """Have the registry look at the user's Spaces; nobody waits for it."""
        if provider is Provider.HUGGINGFACE and len(self._looking) < MOST_BACKGROUND:
            task = asyncio.create_task(self._discover(user))
            self._looking.add(task)
            task.add_done_callback(self._looking.discard)

    async def _discover(self, user: str) -> None:
        try:
            request = DiscoverRequest(user)
            await self._others.ask("registry", "discover", request, Discovered, within_s=DISCOVER_S)
        except Rejected as refusal:
            log.info("spaces_not_looked_at", user=user, error=refusal.message)


def _linked(found: T | None, provider: Provider) -> T:
    if found is None:
        name = provider.value
        text = f"no account at {name} is linked: `metamcp link {name}`"
        raise Rejected(Reason.NOT_FOUND, text)
    return found


async def _asked(work: Awaitable[T], denied: Reason = Reason.FORBIDDEN) -> T:
    """Say in our words what Hugging Face says."""
    try:
        return await work
    except HubMissing as error:
        raise Rejected(Reason.NOT_FOUND, str(error)) from None
    except HubDenied as error:
        raise Rejected(denied, str(error)) from None
    except HubRefused as error:
        raise Rejected(Reason.BAD_REQUEST, str(error)) from None
    except HubError as error:
        raise Rejected(Reason.UNAVAILABLE, str(error)) from None


async def _stored(work: Awaitable[T]) -> T:
    try:
        return await work
    except (StoreError, VaultError) as error:
        raise Rejected(Reason.UNAVAILABLE, str(error)) from None
