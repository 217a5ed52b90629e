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

from contracts.account import SECRET_NAMES, Provider
from contracts.ids import check_token
from services.process.files import is_private

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,63}")
NAME_RULE = "use 1 to 64 of the characters A-Z a-z 0-9 _, and no digit first"
FRESH_S = 10.0
"""How long what an account says is believed; an account that was unlinked is used no longer."""
MOST_KNOWN = 1000
_LONGEST = 16 * 1024
_PROVIDERS = {name: provider for provider, name in SECRET_NAMES.items()}

Linked = Callable[[str, Provider], Awaitable[str | None]]
"""The token of a user's linked account, None without one."""


class MissingSecret(Exception):
    """There is no usable secret of this name; the message says where to put it."""


def is_name(text: str) -> bool:
    """Tell whether a secret may have this name."""
    return _NAME.fullmatch(text) is not None


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

    async def find(self, name: str, user: str | None = None, *, only_own: bool = False) -> str:
        """Return the secret. Raises MissingSecret.

        `only_own` is for hosts that users have registered: such a host may name any secret, so the
        operator's, shared or in the environment, are not for it.
        """
        if not is_name(name):
            raise MissingSecret(f"{name!r} is no name of a secret: {NAME_RULE}")
        if user is not None:
            check_token(user, "user")
            if (own := self._read(self._folder / user / name)) is not None:
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
        if not text or len(data) > _LONGEST or not text.isprintable():
            raise MissingSecret(f"{path} holds no secret: expected one line of text")
        return text
