"""What hosts are asked that is no call of a tool: executors do it, in the sessions of calls."""

from __future__ import annotations

import asyncio
import zlib
from typing import Any
from weakref import WeakValueDictionary

import msgspec

from contracts.errors import Reason, Rejected
from contracts.host import Host, Stdio
from contracts.reads import MOST_READ_BYTES, ReadAnswer, ReadRequest
from services.gateway.peers.asked import Others
from services.gateway.rows import HostView

MOST_AT_ONCE = 8
"""Questions of one user to hosts at a time; more wait."""
MORE_S = 5.0
"""How much longer the answer of an executor may take than that of a host."""

_answer: msgspec.msgpack.Decoder[ReadAnswer] = msgspec.msgpack.Decoder(ReadAnswer)


class HostRefused(Exception):
    """The host has answered with an error of the protocol."""

    def __init__(self, code: int, message: str, data: Any) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.data = data


class HostReads:
    """Asks hosts."""

    def __init__(self, others: Others) -> None:
        self._others = others
        self._places: WeakValueDictionary[str, asyncio.Semaphore] = WeakValueDictionary()

    async def ask(
        self,
        host: HostView,
        user: str,
        method: str,
        params: dict[str, Any],
        within_s: float,
        *,
        whose: str | None = None,
    ) -> dict[str, Any]:
        """The host's result as on the wire; `whose`: in whose session, if not this user's. Raises
        HostRefused, Rejected."""
        request = ReadRequest(
            host=host.id,
            seq=host.seq,
            user=user if whose is None else whose,
            method=method,
            params=msgspec.Raw(msgspec.json.encode(params)),
            within_s=within_s,
        )
        places = self._places.setdefault(user, asyncio.Semaphore(MOST_AT_ONCE))
        async with places:
            data = await self._others.raw("executor", "read", request, within_s=within_s + MORE_S)
        answer = _answer.decode(data)
        if (error := answer.error) is not None:
            said = msgspec.json.decode(error.data) if error.data else None
            raise HostRefused(error.code, error.message, said)
        result = answer.result
        if answer.packed:
            result = await asyncio.to_thread(_unpacked, result)
        found: dict[str, Any] = msgspec.json.decode(result, type=dict[str, Any])
        return found


def shared(host: Host) -> bool:
    """Whether what it lists is the same for everybody who may use it, as far as can be known."""
    plain = isinstance(host.endpoint, Stdio) and host.sessions != "task"
    return plain and host.owner is None


def _unpacked(packed: bytes) -> bytes:
    """Raises Rejected(TOO_LARGE)."""
    unpacking = zlib.decompressobj()
    result = unpacking.decompress(packed, MOST_READ_BYTES)
    if not unpacking.eof:
        raise Rejected(Reason.TOO_LARGE, f"the answer has more than {MOST_READ_BYTES} bytes")
    return result
