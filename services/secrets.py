"""Secrets that hosts ask for, by name: files of the operator first, then the environment.

Never in the log, never logged. A user's own value for a name goes before the one for everybody.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Mapping
from pathlib import Path

from contracts.ids import check_token

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,63}")
NAME_RULE = "use 1 to 64 of the characters A-Z a-z 0-9 _, and no digit first"
_LONGEST = 16 * 1024


class MissingSecret(Exception):
    """There is no usable secret of this name; the message says where to put it."""


def is_name(text: str) -> bool:
    """Tell whether a secret may have this name."""
    return _NAME.fullmatch(text) is not None


class Secrets:
    """Reads `<folder>/<user>/<NAME>`, else `<folder>/<NAME>`, else the environment variable NAME.

    Read anew each time, so a secret that is replaced counts from the next call on.
    """

    def __init__(self, folder: Path, environment: Mapping[str, str] = os.environ) -> None:
        self._folder = folder
        self._environment = environment

    def get(self, name: str, user: str | None = None, *, only_own: bool = False) -> str:
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
        if only_own:
            where = f": put it into {self._folder / user / name} (mode 600)" if user else ""
            raise MissingSecret(f"the user's own secret {name} is missing{where}")
        if (shared := self._read(self._folder / name)) is not None:
            return shared
        if value := self._environment.get(name, "").strip():
            return value
        raise MissingSecret(
            f"the secret {name} is missing: put it into {self._folder / name} (mode 600), or into"
            " the environment variable of that name"
        )

    def _read(self, path: Path) -> str | None:
        try:
            with path.open("rb") as file:
                if stat.S_IMODE(os.fstat(file.fileno()).st_mode) & 0o077:
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
