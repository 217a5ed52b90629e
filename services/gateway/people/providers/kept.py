"""Tokens that GitHub and Hugging Face gave at a sign-in: linked accounts, renewed and revoked.

Each is renewed by one gateway alone: the one that got the lease. A new token is stored with its
refresh token first, in one step, and then gets to the account: no death in between loses it.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping

import msgspec

from contracts.account import Account, Credential, Provider
from services.gateway.access.identity import digest
from services.gateway.people.providers.base import NotSignedIn, ProviderToken, SignInProvider
from services.gateway.people.records import ProviderGrant
from services.gateway.people.state import HeldRecord, PeopleState
from services.keys.accounts import LONGEST_TOKEN, Accounts
from services.keys.vault import VaultError
from services.process import telemetry
from services.store.stream import StoreError

LOOK_S = 30.0
BEFORE_S = 600.0
"""How long before its end a token is renewed."""
LEASE_S = 60.0
AT_ONCE = 8

log = telemetry.get_logger()


class KeptTokens:
    """Raises StoreError, VaultError, unless it says otherwise."""

    def __init__(
        self, state: PeopleState, accounts: Accounts, providers: Mapping[str, SignInProvider]
    ) -> None:
        self._state = state
        self._accounts = accounts
        self._providers = {p.account: p for p in providers.values() if p.account is not None}
        self._table = state.table("provider_grant", ProviderGrant)

    async def keep(
        self, user: str, provider: Provider, login: str, token: ProviderToken, *, asked: bool
    ) -> bool:
        """Keep what a sign-in gave as the linked account; False: one linked by hand is there.

        `asked`: somebody wanted it linked, also in the place of such a one.
        """
        if max(len(token.access), len(token.refresh)) > LONGEST_TOKEN:
            log.warning("provider_token_too_long", user=user, provider=provider.value)
            return False
        await self._state.refresh()
        key = _key(user, provider)
        held = self._table.get(key)
        current = await self._accounts.token(user, provider)
        if not asked and _by_hand(current, held):
            return False
        account = Account(provider, login, time.time(), token.scopes)
        made = ProviderGrant(
            user=user,
            provider=provider.value,
            access="" if current is None else digest(current),
            refresh=self._sealed(user, account, "refresh", token.refresh),
            pending=self._sealed(user, account, "pending", token.access),
            ends=token.ends,
            leased=time.time() + LEASE_S,
        )
        put = await self._table.put(key, made, 0 if held is None else held.revision)
        if put is None:
            return False  # Another sign-in of the same person: its token will do.
        await self._accounts.link(user, provider, login, token.access, token.scopes)
        await self._settle(key, put, digest(token.access))
        return True

    async def forget(self, user: str, provider: Provider) -> None:
        """Another token takes the place of ours: it is not ours to renew."""
        await self._table.delete(_key(user, provider))

    async def revoke(self, user: str, provider: Provider) -> bool:
        """End our token at its provider, and see to it no more; False: that was not done.

        It may be none of ours, the provider may know no way to, or be away: raises nothing for it.
        """
        await self._state.refresh()
        held = self._table.get(_key(user, provider))
        asked = self._providers.get(provider)
        done = False
        if held is not None and asked is not None:
            access = await self._accounts.token(user, provider)
            if access is not None and digest(access) == held.value.access:
                try:
                    done = await asked.revoke(access)
                except NotSignedIn as error:
                    log.warning("token_not_revoked", provider=provider.value, error=error.message)
        await self.forget(user, provider)
        return done

    async def unlink(self, user: str, provider: Provider, login: str) -> bool:
        """Revoke and forget the account that came with an identity, if it is still that one."""
        held, account = self._table.get(_key(user, provider)), None
        if held is not None:
            account = await self._accounts.account(user, provider)
        if account is None or account.name != login:
            return False
        revoked = await self.revoke(user, provider)
        await self._accounts.unlink(user, provider)
        return revoked

    async def run(self) -> None:
        """Renew what comes near its end, for ever."""
        while True:
            await self.once()
            await asyncio.sleep(LOOK_S)

    async def once(self) -> None:
        """Renew what is due now. Raises nothing."""
        now = time.time()
        due = [
            key
            for key, held in self._table.held.items()
            if held.value.leased < now
            and held.value.provider in self._providers
            and (held.value.pending or _is_due(held.value, now))
        ]
        places = asyncio.Semaphore(AT_ONCE)

        async def one(key: str) -> None:
            async with places:
                try:
                    await self._renew(key)
                except (StoreError, VaultError, NotSignedIn) as error:
                    log.warning("token_not_renewed", error=str(error))

        await asyncio.gather(*(one(key) for key in due))

    async def _renew(self, key: str) -> None:
        held = self._table.get(key)
        if held is None:
            return
        grant = held.value
        leased = msgspec.structs.replace(grant, leased=time.time() + LEASE_S)
        mine = await self._table.put(key, leased, held.revision)
        asked = self._providers.get(Provider(grant.provider))
        if mine is None or asked is None:
            return
        if grant.pending is None:
            mine = await self._fresh(key, mine, asked)
        if mine is not None and mine.value.pending is not None:
            await self._deliver(key, mine)

    async def _fresh(
        self, key: str, held: HeldRecord[ProviderGrant], asked: SignInProvider
    ) -> HeldRecord[ProviderGrant] | None:
        """Have the provider make a new token, and store it here."""
        grant = held.value
        sealed = grant.refresh
        if sealed is None:
            return None
        refresh = self._accounts.unseal(grant.user, sealed)
        try:
            token = await asked.renew(ProviderToken("", refresh))
        except NotSignedIn as error:
            if error.word == "provider_away":
                raise
            # It will never work again: the account says so once its token has ended.
            await self._table.put(key, msgspec.structs.replace(grant, refresh=None), held.revision)
            raise
        account = sealed.account
        renewed = msgspec.structs.replace(
            grant,
            refresh=self._sealed(grant.user, account, "refresh", token.refresh),
            pending=self._sealed(grant.user, account, "pending", token.access),
            ends=token.ends,
        )
        return await self._table.put(key, renewed, held.revision)

    async def _deliver(self, key: str, held: HeldRecord[ProviderGrant]) -> None:
        """Bring a token that was stored here to the account, unless that has another one now."""
        grant = held.value
        if grant.pending is None:
            return
        provider, token = Provider(grant.provider), self._accounts.unseal(grant.user, grant.pending)
        current = await self._accounts.token(grant.user, provider)
        if current is None and not grant.access:
            account = grant.pending.account
            name, scopes = _login(account), account.scopes
            await self._accounts.link(grant.user, provider, name, token, scopes)
        elif current != token and not await self._accounts.renew(
            grant.user, provider, grant.access, token
        ):
            await self._table.delete(key)
            return
        log.info("account_renewed", user=grant.user, provider=grant.provider)
        await self._settle(key, held, digest(token))

    async def _settle(self, key: str, held: HeldRecord[ProviderGrant], access: str) -> None:
        done = msgspec.structs.replace(held.value, pending=None, leased=0.0, access=access)
        await self._table.put(key, done, held.revision)

    def _sealed(self, user: str, account: Account, use: str, token: str) -> Credential | None:
        """Seal a text that opens as nothing else: no account's name has a blank in it."""
        if not token:
            return None
        named = msgspec.structs.replace(account, name=f"{use} {_login(account)}")
        return self._accounts.seal(user, named, token)


def _is_due(grant: ProviderGrant, now: float) -> bool:
    return grant.refresh is not None and grant.ends is not None and grant.ends - BEFORE_S < now


def _by_hand(current: str | None, held: HeldRecord[ProviderGrant] | None) -> bool:
    """Whether the account has a token that came from no sign-in."""
    if current is None or held is None:
        return current is not None
    return held.value.access != digest(current)


def _login(account: Account) -> str:
    return account.name.rpartition(" ")[2]


def _key(user: str, provider: Provider) -> str:
    return digest(f"{user}\n{provider.value}")
