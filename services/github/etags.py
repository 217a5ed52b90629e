"""What GitHub has answered before, by user: asked for with its tag, an answer that is still good
counts nothing against the limit of the account."""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Mapping
from typing import NamedTuple, Protocol

MOST_KEPT = 64
"""Answers of one user."""
MOST_KEPT_BYTES = 1024 * 1024
"""Of one user."""
MOST_KEPT_ANSWER = 256 * 1024
"""Bytes of one answer that is kept."""
MOST_USERS = 64
"""With kept answers; who has not asked for longest is forgotten."""
_KEPT_HEADERS = ("link", "x-oauth-scopes")


class EtagOwner(Protocol):
    """Who asks, and by what right: another token sees nothing of what this one was told."""

    @property
    def user(self) -> str:
        """Of ours."""

    @property
    def token(self) -> str:
        """At GitHub."""


class KeptAnswer(NamedTuple):
    """An answer, and by which tag GitHub knows it."""

    etag: str
    headers: Mapping[str, str]
    body: bytes


class _User:
    __slots__ = ("answers", "size")

    def __init__(self) -> None:
        self.answers: OrderedDict[str, KeptAnswer] = OrderedDict()
        self.size = 0

    def drop(self, key: str) -> None:
        gone = self.answers.pop(key, None)
        self.size -= 0 if gone is None else len(gone.body)


class Etags:
    """Answers of at most `MOST_USERS` users. An answer is only given out after GitHub has said,
    to the same token, that it is still the one."""

    def __init__(self) -> None:
        self._users: OrderedDict[str, _User] = OrderedDict()

    def get(self, asker: EtagOwner, url: str, accept: str) -> KeptAnswer | None:
        """What this was answered the last time."""
        user = self._users.get(asker.user)
        if user is None:
            return None
        self._users.move_to_end(asker.user)
        key = _key(asker, url, accept)
        found = user.answers.get(key)
        if found is not None:
            user.answers.move_to_end(key)
        return found

    def keep(
        self, asker: EtagOwner, url: str, accept: str, headers: Mapping[str, str], body: bytes
    ) -> None:
        """Keep an answer that has a tag, in the place of the oldest."""
        key, etag = _key(asker, url, accept), headers.get("etag", "")
        user = self._users.setdefault(asker.user, _User())
        self._users.move_to_end(asker.user)
        user.drop(key)
        if etag and len(etag) < 256 and len(body) <= MOST_KEPT_ANSWER:
            kept = {name: headers[name] for name in _KEPT_HEADERS if name in headers}
            user.answers[key] = KeptAnswer(etag, kept, body)
            user.size += len(body)
        while len(user.answers) > MOST_KEPT or user.size > MOST_KEPT_BYTES:
            user.drop(next(iter(user.answers)))
        while len(self._users) > MOST_USERS:
            self._users.popitem(last=False)


def _key(asker: EtagOwner, url: str, accept: str) -> str:
    by = hashlib.sha256(asker.token.encode("utf-8", "surrogatepass")).hexdigest()
    return f"{by} {accept} {url}"
