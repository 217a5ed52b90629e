"""Secrets that hosts ask for, by name: files of the operator, linked accounts, the environment.

Never in the log, never logged. A user's own value for a name goes before the one for everybody.
"""

from __future__ import annotations

import os
import re
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import NamedTuple

import msgspec

from contracts import references
from contracts.account import SECRET_NAMES, Provider
from contracts.host import Host, Remote, Stdio, operated
from contracts.ids import check_user
from contracts.references import NAME_RULE, is_name
from services.process.files import is_private

FRESH_S = 10.0
"""How long what an account says is believed; an account that was unlinked is used no longer."""
MOST_KNOWN = 1000
_LONGEST = 16 * 1024
_PROVIDERS = {name: provider for provider, name in SECRET_NAMES.items()}

Linked = Callable[[str, Provider], Awaitable[str | None]]
"""The token of a user's linked account, None without one."""


_ONE_LINE = re.compile(r"[\x20-\x7e\xa1-\xff]+")
_SHORTEST_HIDDEN = 4
"""What is shorter stands in too many texts by chance."""


class MissingSecret(Exception):
    """There is no usable secret of this name; the message says where to put it."""

    name = ""
    """The secret's, where it was looked for on behalf of a host."""


class HostSecrets(NamedTuple):
    """The secrets with which a host is started or called; equal ones may share a session."""

    bearer: str | None = None
    """Sent as bearer token by hosts over HTTP: the secret that `bearer_from` names."""
    values: tuple[tuple[str, str], ...] | None = ()
    """Those that the endpoint refers to, by name; None: they are in it already."""

    def __repr__(self) -> str:
        return f"HostSecrets(of {len(self.values or ())} names)"

    def put_into(self, host: Host) -> Host:
        """The host with values in the place of references: not to be shown, logged or stored."""
        if self.values is None:
            return host
        endpoint = references.filled(host.endpoint, dict(self.values))
        return msgspec.structs.replace(host, endpoint=endpoint)

    def hide(self, text: str) -> str:
        """The text without these secrets: some servers repeat what they were called with."""
        for value in (self.bearer or "", *(value for _, value in self.values or ())):
            if len(value) >= _SHORTEST_HIDDEN:
                text = text.replace(value, "***")
        return text


NO_SECRETS = HostSecrets()


def advice(name: str) -> str:
    """The command by which a user gets this secret, if linking an account does it; else empty."""
    provider = _PROVIDERS.get(name)
    return "" if provider is None else f"`metamcp link {provider}`"


class Secrets:
    """Finds a user's own secret, then that of the user's linked account, then everybody's.

    Files are read anew each time, so a secret that is replaced counts from the next call on; what
    an account says counts for 10 s.
    """

    def __init__(
        self,
        folder: Path,
        environment: Mapping[str, str] = os.environ,
        linked: Linked | None = None,
    ) -> None:
        """`<folder>/<user>/<NAME>` is a user's own, `<folder>/<NAME>` everybody's, as is the
        environment variable NAME; `linked` asks the accounts."""
        self._folder = folder
        self._environment = environment
        self._linked = linked
        self._known: OrderedDict[tuple[str, Provider], tuple[float, str | None]] = OrderedDict()

    async def of(self, host: Host, user: str | None, *, bearer: bool = True) -> HostSecrets:
        """The secrets of a host, for this user; without `bearer` only those that its endpoint
        refers to. Raises MissingSecret, with the secret's name."""
        names = references.names(host.endpoint)
        sent = bearer_name(host) if bearer else None
        values = {}
        for name in names if sent is None else [*names, sent]:
            try:
                values[name] = await self._fitting(host, name, user)
            except MissingSecret as missing:
                missing.name = name
                raise
        found = tuple((name, values[name]) for name in names)
        return HostSecrets(None if sent is None else values[sent], found)

    async def find(self, name: str, user: str | None = None, *, only_own: bool = False) -> str:
        """Return the secret. Raises MissingSecret.

        `only_own` is for hosts that users have registered: such a host may name any secret, so the
        operator's, shared or in the environment, are not for it.
        """
        if not is_name(name):
            raise MissingSecret(f"{name!r} is no name of a secret: {NAME_RULE}")
        if user is not None:
            check_user(user)
            if (own := self._own(name, user)) is not None:
                return own
            if (token := await self._of_account(name, user)) is not None:
                return token
        if only_own:
            where = f": {self._advice(name, user)}" if user else ""
            raise MissingSecret(f"the user's own secret {name} is missing{where}")
        if (shared := self._read(self._folder / name)) is not None:
            return shared
        if value := self._environment.get(name, "").strip():
            return value
        raise MissingSecret(
            f"the secret {name} is missing: put it into {self._folder / name} (mode 600), or into"
            " the environment variable of that name"
        )

    async def _fitting(self, host: Host, name: str, user: str | None) -> str:
        value = await self.find(name, user, only_own=not operated(host))
        if not isinstance(host.endpoint, Stdio) and not _ONE_LINE.fullmatch(value):
            raise MissingSecret(f"the secret {name} can't be sent: expected one line of text")
        return value

    def _own(self, name: str, user: str) -> str | None:
        found = self._read(self._folder / user / name)
        if found is None or user in os.listdir(self._folder):
            return found
        return None  # The disk takes `A` and `a` for one letter: it is another user's.

    def _advice(self, name: str, user: str) -> str:
        place = f"put it into {self._folder / user / name} (mode 600)"
        command = advice(name)
        return f"{command}, or {place}" if command else place

    async def _of_account(self, name: str, user: str) -> str | None:
        provider = _PROVIDERS.get(name)
        if provider is None or self._linked is None:
            return None
        until, token = self._known.get((user, provider), (0.0, None))
        if until > time.monotonic():
            return token
        try:
            token = await self._linked(user, provider)
        except Exception as error:
            raise MissingSecret(f"the account at {provider} can't be asked: {error}") from error
        self._known[user, provider] = (time.monotonic() + FRESH_S, token)
        self._known.move_to_end((user, provider))
        if len(self._known) > MOST_KNOWN:
            self._known.popitem(last=False)
        return token

    def _read(self, path: Path) -> str | None:
        try:
            with path.open("rb") as file:
                if not is_private(file.fileno()):
                    raise MissingSecret(f"{path} can be read by others: run `chmod 600 {path}`")
                data = file.read(_LONGEST + 1)
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as error:
            raise MissingSecret(f"{path} can't be read: {error.strerror}") from None
        text = data.decode("utf-8", "replace").strip()
        parts = text.split("\n") if text.startswith("-----BEGIN ") else [text]
        if not text or len(data) > _LONGEST or not all(map(str.isprintable, parts)):
            raise MissingSecret(f"{path} holds no secret: expected one line of text, or a PEM")
        return text


def bearer_name(host: Host) -> str | None:
    """Name of the secret that is sent as bearer token."""
    endpoint = host.endpoint
    return endpoint.bearer_from if isinstance(endpoint, Remote) else None


def wanted(host: Host) -> list[str]:
    """Names of all the secrets that a host asks for."""
    sent = bearer_name(host)
    names = references.names(host.endpoint)
    return names if sent is None else [*names, sent]


def where_to_put(name: str, host: Host) -> str:
    """Where a host's missing secret belongs, in words that everybody may read."""
    mine = "" if operated(host) else f"{host.owner}/"
    place = f"the operator puts it into secrets/{mine}{name} of the data folder"
    command = advice(name)
    return f"{command}, or {place}" if command else place
