"""What people have let clients do: codes, and the families of refresh tokens that come of them.

A code is used once; a grant is changed by revision. Whichever gateway dies between two writes, and
whichever answer is lost, a client has at most to ask its person again.
"""

from __future__ import annotations

import secrets
import time
from collections import defaultdict
from collections.abc import Sequence
from typing import NamedTuple

import msgspec

from services.gateway.access.identity import digest
from services.gateway.oauth import rules, signed
from services.gateway.oauth.keys import SharedKeys
from services.gateway.oauth.places import OAuthPlaces
from services.gateway.oauth.rules import AuthorizationAsked, OAuthError, RefreshTurn
from services.gateway.oauth.signed import AccessClaims
from services.gateway.people.ports import OnGone, People
from services.gateway.people.records import OAuthClient, OAuthGrant, User
from services.gateway.people.state import Gone, HeldRecord, PeopleState
from services.gateway.people.trail import Trail
from services.process.ids import new_id
from services.store.stream import StoreError

CODE_S = 60.0
REPLAY_S = 600.0
"""How long a used code is remembered, so that whoever shows it again ends what came of it."""
GRANT_S = 30 * 86_400.0
"""After so long without a refresh a grant is over."""
MOST_GRANTS = 100
"""Of one user; the oldest ends for the next."""
ATTEMPTS = 5


class AuthorizationCode(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """`code.<digest>`: somebody has said yes, and the client has not fetched its tokens yet."""

    user: str
    epoch: int
    client: str
    client_name: str = ""
    redirect: str
    challenge: str
    scopes: tuple[str, ...]
    resource: str
    grant: str
    """The id that the grant will have."""
    expires: float
    used: bool = False


class OAuthTokens(NamedTuple):
    """What a client is given. Never logged."""

    access: str
    scopes: Sequence[str]
    refresh: str | None = None


class Grants:
    """Raises OAuthError for what is refused, and StoreError."""

    def __init__(self, state: PeopleState, keys: SharedKeys, people: People, trail: Trail) -> None:
        self._state = state
        self._keys = keys
        self._people = people
        self._trail = trail
        self._codes = state.table("code", AuthorizationCode)
        self.table = state.table("grant", OAuthGrant)
        self.table.on_change.append(self._changed)
        self.table.on_forgotten.append(lambda id_, one: self._forget(one.user, id_))
        self._of_user: defaultdict[str, set[str]] = defaultdict(set)
        self.on_gone: list[OnGone] = []

    def get(self, id_: str) -> OAuthGrant | None:
        """A grant that is not over."""
        held = self.table.get(id_)
        return None if held is None else held.value

    def of_user(self, user: str) -> list[tuple[str, HeldRecord[OAuthGrant]]]:
        """A user's grants, oldest first, with their ids."""
        ids = self._of_user.get(user, ())
        found = [(one, held) for one in ids if (held := self.table.get(one)) is not None]
        return sorted(found, key=lambda each: (each[1].value.created, each[0]))

    async def code(
        self,
        user: User,
        client: OAuthClient,
        asked: AuthorizationAsked,
        redirect: str,
        at: OAuthPlaces,
    ) -> str:
        """Return a code: this user lets this client do what it asked for."""
        text = secrets.token_urlsafe(32)
        made = AuthorizationCode(
            user=user.name,
            epoch=user.epoch,
            client=client.id,
            client_name=client.name,
            redirect=redirect,
            challenge=asked.challenge,
            scopes=asked.scopes,
            resource=at.resource,
            grant=new_id(),
            expires=time.time() + CODE_S,
        )
        if await self._codes.put(digest(text), made, 0) is None:
            raise StoreError("the code was not stored")
        return text

    async def exchange(
        self, client: OAuthClient, code: str, redirect: str | None, verifier: str, at: OAuthPlaces
    ) -> OAuthTokens:
        """Give tokens for a code, once. A code that comes again ends what came of it."""
        await self._state.refresh()
        name = digest(code)
        held = self._codes.get(name)
        if held is None or held.value.client != client.id:
            raise _refused("the code is unknown, expired, or another client's")
        known = held.value
        if known.used:
            await self._replayed(name, known)
        if redirect is not None and redirect != known.redirect:
            raise _refused("redirect_uri is not the one that the code was sent to")
        if not rules.proves(verifier, known.challenge):
            raise _refused("code_verifier does not fit the code_challenge")
        self._user(known.user, known.epoch)
        await self._room_for(known.user)
        now = time.time()
        grant = OAuthGrant(
            user=known.user,
            epoch=known.epoch,
            client=known.client,
            client_name=known.client_name,
            scopes=known.scopes,
            resource=known.resource,
            created=now,
            expires=now + GRANT_S,
            number=1,
            rotated=now,
        )
        # The grant first: whoever replays the code at the same moment must find what to end.
        if await self.table.put(known.grant, grant, 0) is None:
            await self._replayed(name, known)
        used = msgspec.structs.replace(known, used=True, expires=now + REPLAY_S)
        if await self._codes.put(name, used, held.revision) is None:
            await self._replayed(name, known)
        return await self._tokens(known.grant, grant, grant.scopes, at)

    async def refresh(
        self, client: OAuthClient, token: str, scope: str | None, at: OAuthPlaces
    ) -> OAuthTokens:
        """Give the successor of a refresh token; whoever uses one again ends the family."""
        shown = signed.read_refresh(await self._keys.get(), token)
        if shown is None:
            raise _refused("the refresh token is none of this server's")
        # Another gateway may have given out the next one a moment ago.
        await self._state.refresh()
        for _ in range(ATTEMPTS):
            held = self.table.get(shown.grant)
            if held is None or held.value.client != client.id:
                raise _refused("the refresh token has ended, or is another client's")
            grant, now = held.value, time.time()
            self._user(grant.user, grant.epoch)
            scopes = rules.narrowed(scope, grant.scopes)
            match rules.turn(grant.number, grant.rotated, shown.number, now):
                case RefreshTurn.AGAIN:
                    return await self._tokens(shown.grant, grant, scopes, at)
                case RefreshTurn.REUSE:
                    await self._reused(shown.grant, grant)
                case RefreshTurn.NEXT:
                    number, ends = grant.number + 1, now + GRANT_S
                    new = msgspec.structs.replace(grant, number=number, rotated=now, expires=ends)
                    if await self.table.put(shown.grant, new, held.revision) is not None:
                        return await self._tokens(shown.grant, new, scopes, at)
        raise StoreError("the grant changes all the time")

    async def end(self, id_: str) -> bool:
        """End a grant at all gateways; False: there was none."""
        return await self.table.delete(id_)

    async def end_of_client(self, client: str) -> int:
        """End all that a client has; how many that were."""
        ids = [id_ for id_, held in self.table.held.items() if held.value.client == client]
        for id_ in ids:
            await self.end(id_)
        return len(ids)

    def less(self, user: str) -> None:
        """Have all that is open with a user's grants shown anew: the account has changed."""
        for id_, _ in self.of_user(user):
            self._tell(frozenset({id_}))

    def _user(self, name: str, epoch: int) -> User:
        user = self._people.get(name)
        if user is None or user.epoch != epoch:
            raise _refused("the user who allowed this can't come in any more")
        return user

    async def _room_for(self, user: str) -> None:
        for id_, _ in self.of_user(user)[: 1 - MOST_GRANTS]:
            await self.end(id_)

    async def _tokens(
        self, id_: str, grant: OAuthGrant, scopes: Sequence[str], at: OAuthPlaces
    ) -> OAuthTokens:
        key, now = await self._keys.get(), time.time()
        claims = AccessClaims(
            sub=grant.user,
            client_id=grant.client,
            scope=" ".join(scopes),
            gid=id_,
            epoch=grant.epoch,
            exp=int(now) + signed.ACCESS_S,
        )
        access = signed.sign(key, at, claims, now)
        return OAuthTokens(access, scopes, signed.refresh_token(key, id_, grant.number))

    async def _replayed(self, name: str, known: AuthorizationCode) -> None:
        """End what came of a code that is shown again. Always raises."""
        # Marked before the grant ends: a third who comes then must not be the first again.
        for _ in range(ATTEMPTS):
            held = self._codes.get(name)
            if held is None or held.value.used:
                break
            used = msgspec.structs.replace(known, used=True, expires=time.time() + REPLAY_S)
            if await self._codes.put(name, used, held.revision) is not None:
                break
        await self.end(known.grant)
        self._note("code", known.grant, known.user, known.client)
        raise _refused("the code was used before: what came of it has ended")

    async def _reused(self, id_: str, grant: OAuthGrant) -> None:
        """End a family that two have. Always raises."""
        await self.end(id_)
        self._note("refresh token", id_, grant.user, grant.client)
        raise _refused("the refresh token was used before: all that came of it has ended")

    def _note(self, what: str, id_: str, user: str, client: str) -> None:
        self._trail.note(
            "refresh" if what == "refresh token" else "denied",
            outcome="refused",
            user=user,
            asked_by=f"client:{client}",
            subject=id_,
            method="oauth",
            reason="invalid_grant",
            details={"why": f"the {what} was used twice"},
        )

    def _changed(self, told: Gone[OAuthGrant]) -> None:
        if told.after is not None:
            self._of_user[told.after.user].add(told.key)
        elif told.before is not None:
            self._forget(told.before.user, told.key)
            self._tell(frozenset({told.key}))

    def _forget(self, user: str, id_: str) -> None:
        ids = self._of_user[user]
        ids.discard(id_)
        if not ids:
            del self._of_user[user]

    def _tell(self, gone: frozenset[str]) -> None:
        for hook in self.on_gone:
            hook(gone)


def _refused(why: str) -> OAuthError:
    return OAuthError("invalid_grant", why)
