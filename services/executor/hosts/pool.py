"""The sessions of hosts: one door for each registration.

Each host has its own places and its own queue before them: a slow or sick one holds nobody else up.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Iterator
from typing import Any

from contracts.facts import FailureKind
from contracts.host import Host
from services.executor.attempt.call import Call, HostError, HostSession, Opening, Spooled
from services.executor.attempt.plan import KnownHost
from services.executor.hosts.berths import Processes
from services.executor.hosts.breakers import Breakers
from services.executor.hosts.changes import ToolChanges
from services.executor.hosts.door import Door, SessionRoom
from services.executor.hosts.news import ReadNews
from services.keys import secrets as keys
from services.keys.hosttokens import HostTokens, NotSignedInThere, signs_in
from services.keys.secrets import NO_SECRETS, HostSecrets, MissingSecret, Secrets
from services.outside import addresses
from services.outside.apart.pool import is_apart
from services.process import telemetry

log = telemetry.get_logger()


class Pool:
    """The doors of all hosts in use."""

    def __init__(
        self,
        opening: Opening,
        most_waiting: int,
        secrets: Secrets,
        most_processes: int = 64,
        tokens: HostTokens | None = None,
    ) -> None:
        """`opening` is what all sessions have in common; its host is replaced. `tokens`: of users
        who have signed in at hosts."""
        self.changes = ToolChanges()
        self.news = ReadNews()
        self._opening = opening._replace(changed=self.changes.note, news=self.news.note)
        self._most_waiting = most_waiting
        self._secrets = secrets
        self._tokens = tokens
        self._processes = Processes(most_processes)
        self.breakers = Breakers()
        self._doors: dict[str, Door] = {}
        self._retired: set[Door] = set()
        self._closing: set[asyncio.Task[None]] = set()

    async def call(self, known: KnownHost, call: Call) -> dict[str, Any] | Spooled:
        """Carry out a call on this host. Raises HostError."""
        host, user = known.host, call.plan.user or known.host.owner or ""
        secrets = await self._found(host, user or None) if keys.wanted(host) else NO_SECRETS
        tokens = self._tokens
        if tokens is None or not signs_in(host):
            return await self._called(known, call, secrets)
        if tokens.needed(host):
            with _not_signed_in():
                secrets = secrets._replace(bearer=await tokens.of(host, user))
        try:
            return await self._called(known, call, secrets)
        except HostError as error:
            if error.sign_in != "token" or call.called is not False:
                raise
            with _not_signed_in():
                fresh = await tokens.instead(host, user, secrets.bearer)
        return await self._called(known, call, secrets._replace(bearer=fresh))

    async def _called(
        self, known: KnownHost, call: Call, secrets: HostSecrets
    ) -> dict[str, Any] | Spooled:
        door = self._door(known)
        call.private = self._opening.private
        try:
            return await door.call(call, secrets)
        except HostError as error:
            if error.sign_in == "scope" and self._tokens is not None:
                self._tokens.forget(known.host, call.plan.user)
            error.message = secrets.hide(error.message)
            error.args = (f"{error.kind}: {error.message}",)
            raise
        finally:
            if door in self._retired and not door.inside:
                self._retired.discard(door)
                door.close()

    async def looked_at(self, known: KnownHost) -> SessionRoom | None:
        """See `Door.looked_at`."""
        host = known.host
        secrets = await self._found(host, host.owner) if keys.wanted(host) else NO_SECRETS
        return await self._door(known).looked_at(secrets)

    def may_look(self, known: KnownHost, room: SessionRoom) -> bool:
        """See `Door.may_look`."""
        door = self._doors.get(known.host.id)
        return door is not None and door.may_look(room)

    def has(self, known: KnownHost) -> bool:
        """Whether there is a session with this host."""
        door = self._doors.get(known.host.id)
        return door is not None and door.open

    def spare(self, known: KnownHost) -> bool:
        """Whether there may be a session with this host without another making way."""
        door = self._doors.get(known.host.id)
        return not self._processes.full and (door is None or door.spare)

    async def warm(self, known: KnownHost) -> None:
        """Open the host's session, if it is not open. Raises HostError."""
        host = known.host
        secrets = await self._found(host, host.owner) if keys.wanted(host) else NO_SECRETS
        await self._door(known).warm(secrets)

    def follow(self, host: str, known: KnownHost | None) -> None:
        """The host is not what it was; None: it is no host any more."""
        if known is None or not known.host.enabled:
            self.forget(host, off=True)
        elif not self.renew(known):
            self.forget(host)

    def renew(self, known: KnownHost) -> bool:
        """Go on with the sessions of a host of which only what it says itself is new; False: it is
        another one now."""
        door = self._doors.get(known.host.id)
        if door is None or not alike(door.host, known.host):
            return False
        door.renew(known)
        self.breakers.renew(known.host.id, known.seq)
        return True

    def forget(self, host: str, *, off: bool = False) -> None:
        """The host is gone or registered anew: its sessions end after the calls in them.

        `off`: it gets no more work. A user's host is then let go of at once, and its calls are cut.
        """
        self.breakers.forget(host)
        door = self._doors.pop(host, None)
        if off:
            for retired in [one for one in self._retired if one.host.id == host]:
                if is_apart(retired.host):
                    retired.close()
        if door is None:
            return
        if door.inside and not (off and is_apart(door.host)):
            self._retired.add(door)
        else:
            door.close()

    async def close(self) -> None:
        """End all sessions at once."""
        doors = [*self._doors.values(), *self._retired]
        self._doors.clear()
        self._retired.clear()
        for door in doors:
            door.close()
        if self._closing:
            await asyncio.wait(self._closing)

    def _door(self, known: KnownHost) -> Door:
        door = self._doors.get(known.host.id)
        if door is not None and door.seq == known.seq:
            return door
        if door is not None and door.seq > known.seq:
            text = f"host {known.host.id} was registered anew"
            raise HostError(FailureKind.HOST_GONE, text, called=False)
        self.forget(known.host.id)
        opening = self._opening._replace(host=known.host)
        owned = known.host.owner is not None
        guard = self.breakers.of(known.host.id, known.seq, owned=owned)
        door = Door(guard, opening, self._most_waiting, self._close, self._processes)
        self._doors[known.host.id] = door
        return door

    async def _found(self, host: Host, user: str | None) -> HostSecrets:
        """The secrets that the host asks for. Raises HostError(UNREACHABLE)."""
        if addresses.guessed(host.endpoint):
            text = f"host {host.id} is not called: {addresses.GUESSED}"
            raise HostError(FailureKind.UNREACHABLE, text, called=False)
        try:
            return await self._secrets.of(host, user)
        except MissingSecret as missing:
            # Users see the message of a failure; where secrets lie is for the operator alone.
            log.warning("secret_missing", host=host.id, user=user, error=str(missing))
            name = missing.name
            message = f"host {host.id} needs the secret {name}, and it is not there"
            message += f": {keys.where_to_put(name, host)}"
            raise HostError(FailureKind.UNREACHABLE, message) from missing

    def _close(self, session: HostSession, ended: Callable[[], None]) -> None:
        task = asyncio.create_task(session.close())
        self._closing.add(task)
        task.add_done_callback(self._closing.discard)
        task.add_done_callback(lambda _: ended())


@contextlib.contextmanager
def _not_signed_in() -> Iterator[None]:
    """Raises HostError in the place of NotSignedInThere."""
    try:
        yield
    except NotSignedInThere as none:
        raise HostError(FailureKind.UNREACHABLE, str(none), sign_in="token") from none


_OWN_WORDS = frozenset({"tools", "server", "protocol", "instructions", "capabilities", "features"})
"""Fields that say what a host has said of itself."""


def alike(one: Host, other: Host) -> bool:
    """Whether the sessions of one serve the other just as well."""
    return all(
        getattr(one, name) == getattr(other, name)
        for name in one.__struct_fields__
        if name not in _OWN_WORDS
    )
