"""The door of sign-in with others: sends browsers to providers, and lets in who comes back."""

from __future__ import annotations

import contextlib
from collections.abc import Awaitable, Callable, Mapping
from typing import NamedTuple

from contracts.errors import Reason, Rejected
from services.gateway.access.identity import Principal
from services.gateway.people.identities import LinkedIdentities, identity_key
from services.gateway.people.invitations import Invitations
from services.gateway.people.ports import Came, People, SignIns
from services.gateway.people.providers import logins, words
from services.gateway.people.providers.admission import admitted, names, path_of_ours
from services.gateway.people.providers.base import NotSignedIn, SignInProvider, Stranger
from services.gateway.people.providers.kept import KeptTokens
from services.gateway.people.providers.logins import Logins
from services.gateway.people.providers.settings import SignInSettings
from services.gateway.people.records import Invitation, LinkedIdentity, ProviderLogin, User
from services.gateway.people.state import PeopleState
from services.gateway.people.trail import Trail
from services.keys.vault import VaultError
from services.process import telemetry
from services.store.stream import StoreError

LONGEST = 4096
"""Characters of each part of a provider's answer."""
PARTS = ("code", "state", "iss", "error")

Taken = Callable[[str], Awaitable[bool]]
"""Whether a name stands for somebody already who has no account."""
Headers = list[tuple[bytes, bytes]]

log = telemetry.get_logger()


class SignInWish(NamedTuple):
    """What somebody wants who is sent to a provider."""

    next: str = "/"
    link: Principal | None = None
    """Whose account another identity is to be linked to; None: a sign-in."""
    invitation: str = ""


class Onward(NamedTuple):
    """Where a browser goes next, and what it keeps."""

    url: str
    headers: Headers


class SignInDoor:
    """Raises NotSignedIn, and Rejected for what does not fit; StoreError while NATS is away."""

    def __init__(
        self,
        providers: Mapping[str, SignInProvider],
        people: People,
        sign_ins: SignIns,
        state: PeopleState,
        trail: Trail,
        settings: SignInSettings,
        kept: KeptTokens,
        taken: Taken,
        base: str,
    ) -> None:
        """`base`: our own public address; empty: not known."""
        self.providers = providers
        self.sign_ins = sign_ins
        self.people = people
        self.kept = kept
        self.identities = LinkedIdentities(state, people)
        self.invitations = Invitations(state)
        self.secure = base.startswith("https://")
        self._logins = Logins(state)
        self._state, self._trail, self._settings = state, trail, settings
        self._taken, self._base = taken, base

    def provider(self, name: str) -> SignInProvider:
        """One of them. Raises Rejected(NOT_FOUND)."""
        found = self.providers.get(name)
        if found is None:
            there = ", ".join(self.providers) or "none"
            text = f"nobody signs in with {name[:40]!r} here: there are {there}"
            raise Rejected(Reason.NOT_FOUND, text)
        return found

    async def begin(self, name: str, wish: SignInWish, headers: dict[str, str]) -> Onward:
        """Send a browser to a provider."""
        provider = self.provider(name)
        key = ""
        if wish.invitation:
            key = await self.invitations.check(wish.invitation)
        login = ProviderLogin(
            provider=name,
            browser="",
            redirect=self._redirect(provider),
            expires=0.0,
            next=path_of_ours(wish.next),
            link="" if wish.link is None else wish.link.user,
            invitation=key,
        )
        away = await self._logins.begin(logins.shown(headers, self.secure), login)
        url = await provider.begin(away.sent)
        return Onward(url, [logins.cookie(away.browser, self.secure)])

    async def finish(
        self, name: str, answer: Mapping[str, list[str]], headers: dict[str, str], came: Came
    ) -> Onward:
        """Take a browser back with what a provider told it to say."""
        provider = self.provider(name)
        came = came._replace(method=provider.recorded)
        try:
            said = _read(answer)
            browser = logins.shown(headers, self.secure)
            login, sent = await self._logins.take(said["state"] or "", browser, name)
            await provider.check_issuer(said["iss"])
            if said["error"] is not None:
                raise words.refused(said["error"], provider.title)
            who = await provider.finish(said["code"] or "", sent)
            if login.link:
                return await self._link(provider, login, who, headers, came)
            return await self._sign_in(provider, login, who, came)
        except Rejected as refusal:
            word = refusal.word if isinstance(refusal, NotSignedIn) else refusal.reason.value
            failed = refusal.reason is Reason.UNAVAILABLE
            outcome = "failed" if failed else "refused"
            user = refusal.user if isinstance(refusal, NotSignedIn) else ""
            self._note("sign_in", came, user, reason=word, outcome=outcome)
            raise

    async def unlink(self, user: User, key: str, came: Came) -> tuple[LinkedIdentity, bool]:
        """Take an identity from its owner; also whether its token was ended at the provider."""
        gone = await self.identities.unlink(user, key)
        asked = next((p for p in self.providers.values() if p.recorded == gone.provider), None)
        revoked = False
        if asked is not None and asked.account is not None:
            try:
                revoked = await self.kept.unlink(user.name, asked.account, gone.login)
            except (StoreError, VaultError) as error:
                log.warning("linked_account_not_unlinked", user=user.name, error=str(error))
        self._note("identity.unlinked", came._replace(method=gone.provider), user.name, subject=key)
        return gone, revoked

    async def _sign_in(
        self, provider: SignInProvider, login: ProviderLogin, who: Stranger, came: Came
    ) -> Onward:
        key = identity_key(provider.authority, who.subject)
        owner = self.identities.owner(key)
        if isinstance(owner, str):
            raise _refused("disabled", "This account can't sign in: ask an administrator", owner)
        if owner is None:
            owner = await self._admit(provider, login, who, key, came)
        elif login.invitation:
            raise _refused("invitation", "You have an account here: sign in without the invitation")
        else:
            await self.identities.renamed(key, who.login)
        if owner.service:
            raise _of_a_program(owner)
        await self._keep(provider, owner.name, who, asked=False)
        begun = await self.sign_ins.begin(owner, came)
        with contextlib.suppress(StoreError):
            await self.people.seen(owner, "")
        self._note("sign_in", came, owner.name, subject=begun.session)
        return Onward(login.next, self.sign_ins.cookies(begun))

    async def _admit(
        self,
        provider: SignInProvider,
        login: ProviderLogin,
        who: Stranger,
        key: str,
        came: Came,
    ) -> User:
        """Make an account for somebody new, or take them in by invitation."""
        identity = _identity(provider, who)
        if not login.invitation and (why := admitted(who, self._settings)):
            raise _refused("not_admitted", f"{provider.title} knows you, but {why}")
        if login.invitation:
            invited = await self.invitations.take(login.invitation, key)
            claimed = await self.identities.claim(key, identity)
            user = await self._invited(invited, who, came)
        else:
            claimed = await self.identities.claim(key, identity)
            user = await self._named(who, came, claimed.value.claim)
        await self.identities.settle(key, claimed, user)
        if login.invitation:
            await self.invitations.use_up(login.invitation)
        self._note("identity.linked", came, user.name, subject=key)
        return user

    async def _invited(self, invited: Invitation, who: Stranger, came: Came) -> User:
        user = self.people.get(invited.user) or await self._create(invited.user, who, came)
        if user.service:
            raise _of_a_program(user)
        return user

    async def _named(self, who: Stranger, came: Came, claim: str) -> User:
        """Make a user, called as there or nearly so; of those that are there already, only the one
        that was made for the same claim will do."""
        for name in names(who.login, claim[-8:]):
            if found := self._made(name, claim):
                return found
            if await self._taken(name) or self.invitations.are_for(name):
                continue
            try:
                return await self._create(name, who, came, claim)
            except Rejected as refusal:
                if refusal.reason is not Reason.CONFLICT:
                    raise
            if found := self._made(name, claim):
                return found
        text = f"No name was free for you here, {who.login[:40]}: ask an administrator."
        raise NotSignedIn("no_name", text, Reason.UNAVAILABLE)

    def _made(self, name: str, claim: str) -> User | None:
        """Who was made for this claim, and has been nobody's since: an operator may have given such
        an account to somebody."""
        account = self.people.account(name)
        if account is None or account.made_for != claim or account.changed != account.created:
            return None
        return account

    async def _create(self, name: str, who: Stranger, came: Came, claim: str = "") -> User:
        email = who.emails[0][:256] if who.emails else ""
        wanted = User(name=name, display=who.display[:128], email=email, made_for=claim)
        return await self.people.create(wanted, came.method)

    async def _link(
        self,
        provider: SignInProvider,
        login: ProviderLogin,
        who: Stranger,
        headers: dict[str, str],
        came: Came,
    ) -> Onward:
        now = self.sign_ins.browser(headers)
        user = self.people.get(login.link)
        if now is None or now.user != login.link or user is None:
            text = "You are not signed in any more as who wanted to link: sign in and try again."
            raise _refused("other_user", text, login.link)
        key = identity_key(provider.authority, who.subject)
        if await self.identities.link(key, _identity(provider, who), user):
            self._note("identity.linked", came, user.name, subject=key)
        await self._keep(provider, user.name, who, asked=True)
        return Onward(login.next, [])

    async def _keep(
        self, provider: SignInProvider, user: str, who: Stranger, *, asked: bool
    ) -> None:
        """Keep the provider's token; whoever can be signed in is, also where that can't be."""
        if provider.account is None or who.token is None:
            return
        try:
            await self.kept.keep(user, provider.account, who.login, who.token, asked=asked)
        except (StoreError, VaultError) as error:
            log.warning("provider_token_not_kept", user=user, error=str(error))

    def address(self, path: str) -> str:
        """A path of ours as others reach it; as it is, where this gateway does not know that."""
        return self._base + path

    def _redirect(self, provider: SignInProvider) -> str:
        if provider.redirect:
            return provider.redirect
        if not self._base:
            text = "this gateway does not know its own address: set METAMCP_GATEWAY_PUBLIC_URL"
            raise NotSignedIn("no_address", text, Reason.UNAVAILABLE)
        return f"{self._base}/api/auth/{provider.name}/callback"

    def _note(self, kind: str, came: Came, user: str, **more: str) -> None:
        fields = {"method": came.method, "address": came.address, "request_id": came.request_id}
        self._trail.note(kind, user=user, **fields, **more)


def _identity(provider: SignInProvider, who: Stranger) -> LinkedIdentity:
    return LinkedIdentity(
        provider=provider.recorded, subject=who.subject, user="", login=who.login[:256]
    )


def _read(answer: Mapping[str, list[str]]) -> dict[str, str | None]:
    """The parts of an answer that count, each of which comes once (RFC 6749, 3.1)."""
    found: dict[str, str | None] = {}
    for name in PARTS:
        values = answer.get(name, [])
        if len(values) > 1 or any(len(value) > LONGEST for value in values):
            raise NotSignedIn("bad_answer", f"{name}: expected once, and short", Reason.BAD_REQUEST)
        found[name] = values[0] if values else None
    if not found["state"] or (not found["code"] and found["error"] is None):
        text = "This page is where a provider sends you after a sign-in: begin with that."
        raise NotSignedIn("bad_answer", text, Reason.BAD_REQUEST)
    return found


def _of_a_program(user: User) -> NotSignedIn:
    text = "This account belongs to a program, which has tokens: nobody signs in to it"
    return _refused("service", text, user.name)


def _refused(word: str, text: str, user: str = "") -> NotSignedIn:
    refusal = NotSignedIn(word, text if text.endswith(".") else f"{text}.")
    refusal.user = user
    return refusal
