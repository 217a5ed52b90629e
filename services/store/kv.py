"""State that is no facts, in NATS KV: one value a key, read by direct get, without any consumer.

Any NATS client reads and writes the same buckets.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from contracts.ids import check_token
from contracts.subjects import ACCOUNTS_BUCKET, LIMITS_BUCKET, TICKETS_BUCKET, TOKENS_BUCKET
from services.bus.bus import Bus
from services.bus.room import SHARE_OF_VALUES, share
from services.store.stream import ALWAYS, Stored, StoreError, Stream

_OPERATION = "KV-Operation"
_PAGE = 1000
PAGE_BYTES = 8 * 1024 * 1024
"""Of values that are read at once, about."""
MIB = 1024 * 1024
MOST_VALUE = 64 * 1024
MOST_KEYS = 100_000
"""What `all` reads at most."""
MARKER_S = 86_400
"""How long a bucket whose values may end remembers that one was taken away: who follows it and was
away for longer has to read it from its start."""


class KvEntry(NamedTuple):
    """A value and its revision."""

    value: bytes
    revision: int


class KvChange(NamedTuple):
    """What has become of a key."""

    key: str
    value: bytes | None
    """None: it has none any more."""
    revision: int


class Bucket:
    """One bucket, which exists already. Keys are tokens, as ids are, or two of them with a dot."""

    def __init__(self, bus: Bus, name: str) -> None:
        self._stream = Stream(bus, f"KV_{name}")
        self._prefix = f"$KV.{name}."

    async def get(self, key: str) -> KvEntry | None:
        """The value of a key, None if it has none. Raises Rejected(BAD_ID), StoreError."""
        found = await self._stream.last(self._subject(key))
        return None if found is None else _entry(found)

    async def revision_of_mark(self, key: str) -> int:
        """The revision of the mark of a key that was taken away; 0 if there is none, or a value.

        Whoever puts a value where none may be expects that. Raises StoreError.
        """
        found = await self._stream.last(self._subject(key))
        return 0 if found is None or _entry(found) is not None else found.seq

    async def put(
        self, key: str, value: bytes, *, expected: int | None = None, ttl_s: int | None = None
    ) -> int | None:
        """Set a value and return its revision; it is on disk then.

        With `expected`, only if that is the key's revision (0: it never had one); None: it wasn't.
        `ttl_s`: whole seconds after which it is gone, in a bucket whose values may end.
        """
        if len(value) > MOST_VALUE:
            raise ValueError(f"a value has at most {MOST_VALUE} bytes, not {len(value)}")
        headers = _ttl(ttl_s)
        return await self._stream.publish(
            self._subject(key), value, expected=expected, headers=headers
        )

    async def delete(self, key: str, *, marker_s: int | None = None) -> bool:
        """Take a value away, so that nothing of it stays; False if there was none.

        `marker_s`: whole seconds after which not even the mark that it is gone stays, in a bucket
        whose values may end.
        """
        if await self.get(key) is None:
            return False
        headers = {_OPERATION: "DEL"} | _ttl(marker_s)
        await self._stream.publish(self._subject(key), b"", headers=headers)
        return True

    async def changes(self, after: int) -> list[KvChange]:
        """What has happened after revision `after`, oldest first: the newest of each key alone.

        There may be more; when it is empty that was all. Asking again and again is how to follow a
        bucket. After any error start over at 0: the server may have lost what was not on disk yet,
        or be another one. Raises StoreError.
        """
        # Mostly there is nothing, and that is one short answer.
        newest = await self._stream.last(f"{self._prefix}>")
        if newest is None or newest.seq <= after:
            return []
        return [self._change(stored) for stored in await self._page(after + 1)]

    async def all(self) -> dict[str, KvEntry]:
        """Every key with its value. Raises StoreError, also for more than MOST_KEYS."""
        every: dict[str, KvEntry] = {}
        seq = 1
        while page := await self._page(seq):
            for stored in page:
                if (entry := _entry(stored)) is not None:
                    every[stored.headers["Nats-Subject"].removeprefix(self._prefix)] = entry
            if len(every) > MOST_KEYS:
                raise StoreError(f"{self._prefix}> has more than {MOST_KEYS} keys")
            seq = page[-1].seq + 1
        return every

    async def _page(self, seq: int) -> list[Stored]:
        return await self._stream.read(f"{self._prefix}>", seq, _PAGE, most_bytes=PAGE_BYTES)

    def _change(self, stored: Stored) -> KvChange:
        key = stored.headers["Nats-Subject"].removeprefix(self._prefix)
        entry = _entry(stored)
        return KvChange(key, None if entry is None else entry.value, stored.seq)

    def _subject(self, key: str) -> str:
        kind, dot, name = key.partition(".")
        check_token(kind, "the key")
        return self._prefix + (f"{kind}.{check_token(name, 'the key')}" if dot else kind)


def bucket_config(name: str, **more: Any) -> dict[str, Any]:
    """The stream behind a bucket, created by the operator; `more` is added to it."""
    return {
        "name": f"KV_{name}",
        "subjects": [f"$KV.{name}.>"],
        **ALWAYS,
        "max_msgs_per_subject": 1,
        "max_msg_size": MOST_VALUE + 1024,
        **more,
    }


def tokens_config(limit: int | None = None) -> dict[str, Any]:
    """The bucket of API tokens: each may have its end, and there is a limit to them all.

    `limit`: bytes of all streams, if that is known.
    """
    return bucket_config(TOKENS_BUCKET, allow_msg_ttl=True, max_bytes=_most(limit, 128 * MIB))


def accounts_config(limit: int | None = None) -> dict[str, Any]:
    """The bucket of people and what is theirs; sessions and codes in it have an end."""
    return bucket_config(ACCOUNTS_BUCKET, allow_msg_ttl=True, max_bytes=_most(limit, 512 * MIB))


def limits_config(limit: int | None = None) -> dict[str, Any]:
    """The bucket of request counts, which are worth nothing a minute later: nobody waits for the
    disk. In memory it would be missing after the server's next start, stream and all."""
    return _short_lived(LIMITS_BUCKET, _most(limit, 64 * MIB))


def tickets_config(limit: int | None = None) -> dict[str, Any]:
    """The bucket of one-time tickets, which are good for half a minute."""
    return _short_lived(TICKETS_BUCKET, _most(limit, 16 * MIB))


def _most(limit: int | None, most: int) -> int:
    return share(limit, SHARE_OF_VALUES, most)


def _short_lived(name: str, most: int) -> dict[str, Any]:
    return bucket_config(
        name, allow_msg_ttl=True, persist_mode="async", discard="old", max_bytes=most
    )


def _ttl(seconds: int | None) -> dict[str, str]:
    return {} if seconds is None else {"Nats-TTL": f"{seconds}s"}


def _entry(stored: Stored) -> KvEntry | None:
    return None if _OPERATION in stored.headers else KvEntry(stored.data, stored.seq)
