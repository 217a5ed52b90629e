"""What the object store and the leases ask of a JetStream stream, without any consumer."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any, NamedTuple

import msgspec
from nats.aio.msg import Msg

from services.bus.bus import Bus, BusError, BusTimeout, NoResponders, PermissionDenied
from services.bus.jetstream import LASTING, ApiError, ApiReason

ALWAYS: Mapping[str, Any] = {
    "storage": "file",
    "retention": "limits",
    "discard": "new",
    "num_replicas": 1,
    "allow_direct": True,
    "allow_rollup_hdrs": True,
    "deny_delete": True,
}
"""What the streams of all our buckets have in common."""


class StoreError(Exception):
    """The store can't do it: it is away, full, or not set up."""

    def __init__(self, text: str, error: ApiError | None = None) -> None:
        super().__init__(text)
        self.code = error.err_code if error else 0
        self.reason = error.reason if error else None
        """What JetStream meant by its answer; None: it has given none."""


class StoreRefused(StoreError):
    """The store will not do it however often it is asked: there is no such thing, or no right."""


class Stored(NamedTuple):
    """One message of a stream."""

    seq: int
    data: bytes
    headers: Mapping[str, str]


class Stream:
    """One stream that exists already."""

    def __init__(self, bus: Bus, name: str) -> None:
        self._bus = bus
        self._name = name

    async def publish(
        self,
        subject: str,
        data: bytes,
        *,
        expected: int | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> int | None:
        """Append a message and return its sequence; it is on disk then.

        With `expected`, only if that is the subject's last sequence (0: none); None means that it
        wasn't. Raises StoreError.
        """
        extra = dict(headers or {})
        if expected is not None:
            extra["Nats-Expected-Last-Subject-Sequence"] = str(expected)
        answer = await self._ask(subject, data, extra)
        try:
            return int(_checked(self._name, answer.data)["seq"])
        except StoreError as error:
            if error.reason is ApiReason.CONFLICT:
                return None
            raise

    async def last(self, subject: str) -> Stored | None:
        """The newest message of a subject. Raises StoreError."""
        answer = await self._ask(self._get(), msgspec.json.encode({"last_by_subj": subject}))
        return self._stored(answer)

    async def read(self, subject: str, seq: int, count: int) -> list[Stored]:
        """Up to `count` messages of a subject, from sequence `seq` on. Raises StoreError."""
        inbox = self._bus.nc.new_inbox()
        arrived: asyncio.Queue[Msg] = asyncio.Queue()
        try:
            subscription = await self._bus.subscribe(inbox, arrived.put_nowait)
        except BusError as error:
            raise StoreError(f"{self._name}: {error}") from error
        request = msgspec.json.encode({"seq": seq, "next_by_subj": subject, "batch": count})
        got: list[Stored] = []
        try:
            with self._bus.trouble(self._get()) as trouble:
                await self._bus.publish(self._get(), request, reply=inbox)
                while (message := await self._next(arrived, trouble)) is not None:
                    got.append(message)
        except BusError as error:
            raise StoreError(f"{self._name}: {error}") from error
        finally:
            if self._bus.connected:
                await subscription.unsubscribe()
        return got

    async def _next(
        self, arrived: asyncio.Queue[Msg], trouble: asyncio.Future[None]
    ) -> Stored | None:
        waiting = asyncio.ensure_future(arrived.get())
        try:
            done, _ = await asyncio.wait(
                (waiting, trouble), timeout=5, return_when=asyncio.FIRST_COMPLETED
            )
        finally:
            if not waiting.done():
                waiting.cancel()
        if waiting in done:
            return self._stored(waiting.result())
        if trouble in done:
            trouble.result()
        raise BusTimeout(f"No answer from stream {self._name} in time.")

    async def _ask(
        self, subject: str, data: bytes, headers: Mapping[str, str] | None = None
    ) -> Msg:
        try:
            return await self._bus.request_message(subject, data, headers=headers)
        except PermissionDenied as error:
            raise StoreRefused(f"{self._name}: {error}") from error
        except NoResponders as error:
            if await self._missing():
                text = f"stream {self._name} does not exist: run `metamcp provision`"
                raise StoreRefused(text) from error
            raise StoreError(f"{self._name}: {error}") from error
        except BusError as error:
            raise StoreError(f"{self._name}: {error}") from error

    async def _missing(self) -> bool:
        """Whether there is no such stream; one without a leader does not answer just now."""
        try:
            await _api(self._bus, f"STREAM.INFO.{self._name}", {})
        except StoreError as error:
            return error.reason is ApiReason.NOT_FOUND
        return False

    def _stored(self, message: Msg) -> Stored | None:
        headers = message.headers or {}
        status = headers.get("Status")
        if status in ("404", "204"):
            return None
        if status:
            raise StoreError(f"{self._name}: {status} {headers.get('Description', '')}")
        return Stored(int(headers["Nats-Sequence"]), bytes(message.data), headers)

    def _get(self) -> str:
        return f"{self._bus.api}.DIRECT.GET.{self._name}"


async def ensure_stream(bus: Bus, config: Mapping[str, Any]) -> None:
    """Create the stream, or update it to `config`; the operator's right. Raises StoreError."""
    name = config["name"]
    verb = "UPDATE"
    try:
        await _api(bus, f"STREAM.INFO.{name}", {})
    except StoreRefused as error:
        if error.reason is not ApiReason.NOT_FOUND:
            raise
        verb = "CREATE"
    await _api(bus, f"STREAM.{verb}.{name}", config)


async def _api(bus: Bus, what: str, payload: Mapping[str, Any]) -> dict[str, Any]:
    try:
        answer = await bus.request(f"{bus.api}.{what}", msgspec.json.encode(payload))
    except BusError as error:
        raise StoreError(f"{what}: {error}") from error
    return _checked(what, answer)


def _checked(what: str, answer: bytes) -> dict[str, Any]:
    found: dict[str, Any] = msgspec.json.decode(answer)
    if "error" in found:
        error = msgspec.convert(found["error"], ApiError)
        kind = StoreRefused if error.reason in LASTING else StoreError
        raise kind(f"{what}: {error.description} ({error.err_code})", error)
    return found
