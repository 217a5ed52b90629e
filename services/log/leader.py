"""What only the leader of a replicated stream can say: what is newest, and that there is no more.

Any replica answers a direct get, also one that lags behind: what it has is true, what it lacks is
not. A log without replicas has one server, and nobody is asked twice.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from contracts.facts import Record
from contracts.subjects import STREAM
from services.bus.jetstream import ApiReason, StoredMessage
from services.log.port import ApiRefused, LogUnavailable
from services.log.wire import Wire, record_by_leader


class Leader:
    """Asks the stream's leader."""

    def __init__(self, wire: Wire) -> None:
        self._wire = wire
        self._get = f"{wire.bus.api}.STREAM.MSG.GET.{STREAM}"
        self._info = f"{wire.bus.api}.STREAM.INFO.{STREAM}"
        self.replicated = False
        """Whether there are others that answer direct gets, as far as is known."""

    async def info(self) -> tuple[str, int]:
        """Return the stream's creation time and last sequence."""
        answer = await self._wire.api(self._info)
        self.told(answer)
        return str(answer["created"]), int(answer["state"]["last_seq"])

    def told(self, answer: Mapping[str, Any]) -> None:
        """Take in what the server says of the stream."""
        self.replicated = int(answer["config"].get("num_replicas", 1)) > 1

    async def at(self, seq: int) -> Record | None:
        """Return the fact at a sequence."""
        return await self._one({"seq": seq})

    async def last(self, filter_: str) -> Record | None:
        """Return the newest fact that matches."""
        return await self._one({"last_by_subj": filter_})

    async def next(self, filter_: str, after: int) -> Record | None:
        """Return the first fact that matches behind a sequence."""
        return await self._one({"seq": after + 1, "next_by_subj": filter_})

    async def lacking(
        self, filters: Sequence[str], after: int, until: int | None = None
    ) -> list[Record]:
        """Return all that match behind `after`: what a replica did not have."""

        async def walk(filter_: str) -> list[Record]:
            found: list[Record] = []
            seq = after
            while record := await self.next(filter_, seq):
                seq = record.seq
                if until is not None and seq > until:
                    break
                found.append(record)
            return found

        every = {r.seq: r for part in await asyncio.gather(*map(walk, filters)) for r in part}
        return [every[seq] for seq in sorted(every)]

    async def check(self, reach: int) -> None:
        """Raise LogUnavailable where the log that answers ends before a sequence it is known to
        have: that was its leader, and has not heard of the new one."""
        if reach and (head := (await self.info())[1]) < reach:
            text = f"the log is known to reach {reach}, and the one that answers ends at {head}"
            raise LogUnavailable(f"reading the log failed: {text}")

    async def _one(self, request: dict[str, object]) -> Record | None:
        try:
            answer = await self._wire.api(self._get, msgspec.json.encode(request))
        except ApiRefused as error:
            if error.reason is ApiReason.NO_MESSAGE:
                return None
            raise
        return record_by_leader(msgspec.convert(answer["message"], StoredMessage))
