"""The key files of a data folder: the key that signs, and the one that will replace it.

The files say which key signs. They change atomically, and of those who race only one changes them.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from services.keys.jwk import Algorithm
from services.keys.permits import BadKey, SigningKey, create, key_path, load
from services.process.files import drafts, lock, sync


class StoredKeys(NamedTuple):
    """What the files hold."""

    signing: SigningKey | None
    next: SigningKey | None
    """Announced first, signs later."""
    problem: str = ""
    """Why the next key can't be used, if there is one that can't."""


class KeyFolder:
    """The two files; read again only when they have changed, because reading a key takes 40 ms."""

    def __init__(self, data: Path) -> None:
        self.signing = key_path(data)
        self.next = self.signing.with_name("permit.next.pem")
        self._known: dict[Path, tuple[tuple[int, int, int], SigningKey]] = {}

    def look(self) -> StoredKeys:
        """Read what is there. Raises BadKey for the key that signs, OSError."""
        signing = self._read(self.signing)
        try:
            return StoredKeys(signing, self._read(self.next))
        except BadKey as error:
            return StoredKeys(signing, None, f"The next permit key is not used: {error}")

    def create(self, algorithm: Algorithm) -> None:
        """Make the first key, unless there is one. Raises OSError."""
        create(self.signing, algorithm)

    def make_next(self, algorithm: Algorithm, replaced: str) -> None:
        """Make the key that is to replace the one of this id.

        Nothing happens if there is a next key already, another key signs by now, or somebody else
        is changing the files. Raises BadKey, OSError.
        """
        with self._locked() as ours:
            signing = self._read(self.signing) if ours else None
            if signing is None or signing.kid != replaced:
                return
            for draft in drafts(self.next):
                # Of somebody who died: nobody else is here.
                draft.unlink()
            create(self.next, algorithm)

    def promote(self, kid: str) -> None:
        """Have the next key sign, if it is the one of this id. Raises BadKey, OSError."""
        with self._locked() as ours:
            following = self._read(self.next) if ours else None
            if following is not None and following.kid == kid:
                self.next.replace(self.signing)
                sync(self.signing.parent)

    def _read(self, path: Path) -> SigningKey | None:
        try:
            stat = path.stat()
            mark = (stat.st_ino, stat.st_mtime_ns, stat.st_ctime_ns)
            known = self._known.get(path)
            if known is None or known[0] != mark:
                known = self._known[path] = (mark, load(path))
        except FileNotFoundError:
            return None
        return known[1]

    @contextlib.contextmanager
    def _locked(self) -> Iterator[bool]:
        """Tell whether the files are ours to change until the end; waits for nobody."""
        held = lock(self.signing.with_name("permit.lock"))
        try:
            yield held is not None
        finally:
            if held is not None:
                os.close(held)
