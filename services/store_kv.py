"""State that is no facts, in NATS KV: one value a key, read by direct get, without any consumer.

Any NATS client reads and writes the same buckets.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from contracts.ids import check_token
from services.bus import Bus
from services.store_stream import ALWAYS, Stored, StoreError, Stream

_OPERATION = "KV-Operation"
_PAGE = 256
MOST_VALUE = 64 * 1024
MOST_KEYS = 100_000
"""What `all` reads at most."""


class Entry(NamedTuple):
    """A value and its revision."""

    value: bytes
    revision: int


class Bucket:
    """One bucket, which exists already. Keys are tokens, as ids are."""

    def __init__(self, bus: Bus, name: str) -> None:
        self._stream = Stream(bus, f"KV_{name}")
        self._prefix = f"$KV.{name}."

    async def get(self, key: str) -> Entry | None:
        """The value of a key, None if it has none. Raises Rejected(BAD_ID), StoreError."""
        found = await self._stream.last(self._subject(key))
        return None if found is None else _entry(found)

    async def put(self, key: str, value: bytes, *, expected: int | None = None) -> int | None:
        """Set a value and return its revision; it is on disk then.

        With `expected`, only if that is the key's revision (0: it never had one); None: it wasn't.
        """
        if len(value) > MOST_VALUE:
            raise ValueError(f"a value has at most {MOST_VALUE} bytes, not {len(value)}")
        return await self._stream.publish(self._subject(key), value, expected=expected)

    async def delete(self, key: str) -> bool:
        """Take a value away, so that nothing of it stays; False if there was none."""
        if await self.get(key) is None:
            return False
        await self._stream.publish(self._subject(key), b"", headers={_OPERATION: "DEL"})
        return True

    async def all(self) -> dict[str, Entry]:
        """Every key with its value. Raises StoreError, also for more than MOST_KEYS."""
        every: dict[str, Entry] = {}
        seq = 1
        while page := await self._stream.read(f"{self._prefix}>", seq, _PAGE):
            for stored in page:
                if (entry := _entry(stored)) is not None:
                    every[stored.headers["Nats-Subject"].removeprefix(self._prefix)] = entry
            if len(every) > MOST_KEYS:
                raise StoreError(f"{self._prefix}> has more than {MOST_KEYS} keys")
            seq = page[-1].seq + 1
        return every

    def _subject(self, key: str) -> str:
        return self._prefix + check_token(key, "the key")


def bucket_config(name: str) -> dict[str, Any]:
    """The stream behind a bucket; created by the operator."""
    return {
        "name": f"KV_{name}",
        "subjects": [f"$KV.{name}.>"],
        **ALWAYS,
        "max_msgs_per_subject": 1,
        "max_msg_size": MOST_VALUE + 1024,
    }


def _entry(stored: Stored) -> Entry | None:
    return None if _OPERATION in stored.headers else Entry(stored.data, stored.seq)
