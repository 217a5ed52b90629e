"""Linked accounts and what is done with them, for the routes: at Hugging Face and at GitHub."""

from __future__ import annotations

import asyncio
import contextlib
import re
from collections.abc import Awaitable, Iterator, Mapping
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from contracts.account import Account, Provider
from contracts.errors import Reason, Rejected
from contracts.wire import Discovered, DiscoverRequest
from services.gateway.peers.asked import Others
from services.gateway.people.providers.kept import KeptTokens
from services.github.errors import (
    GitHubConflict,
    GitHubDenied,
    GitHubError,
    GitHubForbidden,
    GitHubLimited,
    GitHubMissing,
    GitHubRefused,
    GitHubTooLarge,
)
from services.github.service import GitHubService
from services.github.site import Bearer, GitHubSite
from services.huggingface.hub import Hub, HubDenied, HubError, HubMissing, HubRefused
from services.huggingface.spaces import Space, Spaces
from services.keys.accounts import LONGEST_TOKEN, Accounts
from services.keys.vault import SealedElsewhere, VaultError
from services.outside import addresses
from services.outside.addresses import SPACES
from services.process import telemetry
from services.store.blobs import StoreError

KIT = Path(__file__).resolve().parents[3] / "deploy" / "space"
"""The Space kit of a checkout."""
OWNER = "METAMCP_OWNER"
ADDRESS = "METAMCP_PUBLIC_URL"
DISCOVER_S = 60.0
MOST_BACKGROUND = 100
_TOKEN = re.compile(r"[\x21-\x7e]+")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,95}")

log = telemetry.get_logger()
T = TypeVar("T")


class LimitedElsewhere(Rejected):
    """Another service limits this user: it may be tried again after `wait_s` seconds."""

    def __init__(self, message: str, wait_s: float) -> None:
        super().__init__(Reason.RATE_LIMITED, message)
        self.wait_s = wait_s


class Linking:
    """Does it all in the name of one user at a time. Raises Rejected."""

    def __init__(
        self,
        accounts: Accounts,
        hub: Hub,
        others: Others,
        *,
        github: GitHubSite,
        kit: Path | None,
        spaces: str = SPACES,
    ) -> None:
        """`kit`: the folder that is deployed to Spaces; None: that of this checkout. `spaces`:
        address of a Space, with `{subdomain}` in it."""
        self._accounts = accounts
        self._hub = hub
        self._spaces = Spaces(hub)
        self._others = others
        self._github = github
        self._kit = kit or KIT
        self._space_url = spaces
        self._looking: set[asyncio.Task[None]] = set()
        self.kept: KeptTokens | None = None
        """Looks after tokens that came from a sign-in."""

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
        name, scopes = await self._whose(user, provider, token)
        return msgspec.structs.replace(account, name=name, scopes=scopes)

    async def link(self, user: str, provider: Provider, token: str) -> Account:
        """Store a token that the provider accepts."""
        token = token.strip()
        if len(token) > LONGEST_TOKEN or not _TOKEN.fullmatch(token):
            raise Rejected(
                Reason.BAD_REQUEST, "`token`: expected one word, as the provider shows it"
            )
        name, scopes = await self._whose(user, provider, token)
        if self.kept is not None:
            await _stored(self.kept.forget(user, provider))
        account = await _stored(self._accounts.link(user, provider, name, token, scopes))
        log.info("account_linked", user=user, provider=provider.value, account=name)
        self._look(user, provider)
        return account

    async def unlink(self, user: str, provider: Provider) -> bool:
        """Forget the token; False: there was none. One from a sign-in is ended there, too."""
        if self.kept is not None:
            await _stored(self.kept.revoke(user, provider))
        gone = await _stored(self._accounts.unlink(user, provider))
        if gone:
            log.info("account_unlinked", user=user, provider=provider.value)
            self._look(user, provider)
        return gone

    async def github(self, user: str) -> GitHubService:
        """GitHub in this user's name; what it raises is said with `refusing`."""
        _, token = await self._opened(user, Provider.GITHUB)
        return GitHubService(self._github, Bearer(user, token))

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
        space = await _asked(self._spaces.get(token, repo))
        known = await _asked(self._spaces.variables(token, repo))
        variables = variables | whose(user, known) | place(space, self._space_url)
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
        await self._github.close()

    async def _opened(self, user: str, provider: Provider) -> tuple[Account, str]:
        return _linked(await _stored(self._accounts.open(user, provider)), provider)

    async def _whose(
        self, user: str, provider: Provider, token: str
    ) -> tuple[str, tuple[str, ...]]:
        if provider is Provider.HUGGINGFACE:
            who = await _asked(self._hub.whoami(token), denied=Reason.BAD_REQUEST)
            return who.name, who.scopes
        with refusing(denied=Reason.BAD_REQUEST):
            person = await GitHubService(self._github, Bearer(user, token)).user()
        return person.login, person.scopes

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


def whose(user: str, known: Mapping[str, str]) -> dict[str, str | None]:
    """What tells the kit for whom it works: this user, unless it says so already.

    Others that are named beside the user stay: whoever wrote them there may write to the Space.
    """
    named = re.split(r"[\s,]+", known.get(OWNER, ""))
    return {} if user in named else {OWNER: user}


def place(space: Space, template: str) -> dict[str, str | None]:
    """What tells the kit its address, where it is another than Hugging Face tells it."""
    if template == SPACES or not space.subdomain:
        return {}
    url = f"hf://{space.repo}"
    return {ADDRESS: addresses.resolve(url, spaces=template, subdomain=space.subdomain)}


def _linked(found: T | None, provider: Provider) -> T:
    if found is None:
        name = provider.value
        text = f"no account at {name} is linked: `metamcp link {name}`"
        raise Rejected(Reason.NOT_FOUND, text)
    return found


@contextlib.contextmanager
def refusing(denied: Reason = Reason.FORBIDDEN) -> Iterator[None]:
    """Say in our words what GitHub says. Raises Rejected for GitHubError."""
    try:
        yield
    except GitHubLimited as error:
        raise LimitedElsewhere(str(error), error.wait_s) from None
    except GitHubError as error:
        reasons: dict[type[GitHubError], Reason] = {
            GitHubDenied: denied,
            GitHubForbidden: denied,
            GitHubMissing: Reason.NOT_FOUND,
            GitHubConflict: Reason.CONFLICT,
            GitHubTooLarge: Reason.TOO_LARGE,
            GitHubRefused: Reason.BAD_REQUEST,
        }
        raise Rejected(reasons.get(type(error), Reason.UNAVAILABLE), str(error)) from None


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
    except SealedElsewhere as error:
        raise Rejected(Reason.UNAVAILABLE, str(error)) from None
    except (StoreError, VaultError) as error:
        log.warning("linked_account_not_stored", error=str(error))
        text = "linked accounts can't be read or written now; the gateway's log says why"
        raise Rejected(Reason.UNAVAILABLE, text) from None
