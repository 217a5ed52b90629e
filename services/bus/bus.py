"""One service's connection to NATS: publish, request, subscribe, serve, and say what went wrong.

nats-py's loose types, late errors and silent waits stay inside this module.
"""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import re
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from contextlib import AbstractContextManager
from typing import Any, TypeVar

import nats.errors
import nats.micro
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription
from nats.micro.service import Service

from contracts.subjects import command
from services.bus import connect
from services.bus import tls as bus_tls
from services.bus.client import DirectClient, Message
from services.bus.connect import Hook, Troubles, call_all, put_down, read_credentials, shown
from services.bus.errors import (
    BusError,
    BusTimeout,
    ConnectFailed,
    Disconnected,
    NoResponders,
    PermissionDenied,
    RequestFailed,
    translated,
)
from services.bus.names import JS_API, Credentials
from services.bus.serve import MAX_IN_FLIGHT, Handler, endpoint, payload_of
from services.process import telemetry
from services.process.tls import NOTHING, ClientFiles

__all__ = [
    "MAX_IN_FLIGHT",
    "Bus",
    "BusError",
    "BusTimeout",
    "ConnectFailed",
    "Credentials",
    "Disconnected",
    "Handler",
    "Hook",
    "NoResponders",
    "PermissionDenied",
    "RequestFailed",
    "read_credentials",
]

T = TypeVar("T")
MAX_PENDING = 16 * 1024 * 1024
_DENIED = re.compile(r'permissions violation for (?:publish|subscription) to "([^"]+)"', re.I)

log = telemetry.get_logger()


class Bus:
    """One connection that reconnects for ever until it is closed."""

    publish_errors = (BusError, nats.errors.Error, OSError)
    """What sending on `nc` itself can raise when the connection is in trouble."""

    def __init__(self, url: str, who: Credentials | None, name: str, tls: ClientFiles) -> None:
        """Use `Bus.connect`."""
        self.nc = DirectClient(tls)
        """For `services/log` only."""
        self.api = who.api if who is not None else JS_API
        """Prefix of the JetStream API's subjects for this user."""
        self.user = who.user if who is not None else name
        """Who this connection is to the server; without credentials, its name."""
        self.on_reconnected: list[Hook] = []
        self.on_disconnected: list[Hook] = []
        self.on_denied: list[Callable[[str, PermissionDenied], object]] = []
        """Called with the refused subject."""
        self.closed = asyncio.Event()
        """Set when the connection is gone for good: by `close`, or by an error of the protocol."""
        self._where = ",".join(shown(part) for part in url.split(","))
        self._tls = tls
        self._up = asyncio.Event()
        self._troubles = Troubles()
        self._services: list[Service] = []
        self._tasks: set[asyncio.Task[Any]] = set()
        self._refused: asyncio.Future[str] | None = None
        self._last_error = ""
        self._closing = False

    @classmethod
    async def connect(
        cls,
        url: str,
        *,
        name: str,
        credentials: Credentials | None = None,
        inbox_prefix: str = "_INBOX",
        wait: float = 10.0,
        tls: ClientFiles = NOTHING,
    ) -> Bus:
        """Connect, waiting up to `wait` seconds for a server that isn't up yet.

        Raises ConnectFailed at once if the server refuses the credentials or TLS can't be had, and
        after `wait` if nobody answers. `url` may name several servers, joined by commas.
        """
        bus = cls(url, credentials, name, tls)
        options = connect.options(url, name, inbox_prefix, credentials, tls)
        options |= {
            "error_cb": bus._on_error,
            "reconnected_cb": bus._on_reconnected,
            "disconnected_cb": bus._on_disconnected,
            "closed_cb": bus._on_closed,
        }
        await bus._first_connection(options, wait)
        return bus

    @property
    def connected(self) -> bool:
        """Whether the connection stands, as far as this side knows."""
        return self._up.is_set()

    async def wait_connected(self) -> None:
        """Return once the connection stands. Raises Disconnected if it is closed for good."""
        gone = asyncio.ensure_future(self.closed.wait())
        up = asyncio.ensure_future(self._up.wait())
        try:
            await asyncio.wait((gone, up), return_when=asyncio.FIRST_COMPLETED)
        finally:
            gone.cancel()
            up.cancel()
        if self.closed.is_set():
            raise Disconnected(f"The connection to {self._where} is closed. {self._last_error}")

    async def publish(
        self,
        subject: str,
        payload: bytes = b"",
        *,
        reply: str = "",
        headers: Mapping[str, str] | None = None,
    ) -> None:
        """Send a message to whoever listens now. At most once: nothing says it arrived.

        Raises Disconnected without a connection (nothing is kept to be sent later), and
        PermissionDenied once the server has refused this subject on this connection.
        """
        self._check(subject)
        with translated(subject):
            await self.nc.publish(subject, payload, reply, dict(headers) if headers else None)

    async def request(
        self,
        subject: str,
        payload: bytes = b"",
        *,
        timeout: float = 5.0,
        headers: Mapping[str, str] | None = None,
    ) -> bytes:
        """Return the answer's payload.

        Raises NoResponders, BusTimeout, PermissionDenied, Disconnected, and what the service
        answered as an error: Rejected, or RequestFailed for an error that is no refusal of ours.
        """
        answer = await self.request_message(subject, payload, timeout=timeout, headers=headers)
        return payload_of(answer)

    async def request_message(
        self,
        subject: str,
        payload: bytes = b"",
        *,
        timeout: float = 5.0,
        headers: Mapping[str, str] | None = None,
    ) -> Msg:
        """Like `request`, but return the answer with its headers, whatever it says."""
        self._check(subject)
        extra = dict(headers) if headers else None
        return await self._unless_trouble(
            subject, self.nc.request(subject, payload, timeout, headers=extra)
        )

    def trouble(self, subject: str) -> AbstractContextManager[asyncio.Future[None]]:
        """A future that fails with PermissionDenied or Disconnected as soon as one is known.

        For code that publishes on `subject` and waits for an answer in its own way.
        """
        return self._troubles.watch(subject)

    async def subscribe(
        self, subject: str, callback: Callable[[Msg], object], *, queue: str = ""
    ) -> Subscription:
        """Call `callback` for each message, one after the other, across reconnections.

        An exception in it is logged and the next message follows. While MAX_PENDING bytes wait for
        a slow callback, further messages are dropped and that is logged. Raises PermissionDenied.
        """

        async def deliver(message: Msg) -> None:
            try:
                result = callback(message)
                if inspect.isawaitable(result):
                    await result
            except Exception:
                log.exception("bus_callback_failed", subject=message.subject)

        return await self._subscribed(
            subject, self.nc.subscribe(subject, queue, cb=deliver, pending_bytes_limit=MAX_PENDING)
        )

    async def listen(
        self, subject: str, callback: Callable[[Message], object], *, queue: str = ""
    ) -> Subscription:
        """Call `callback`, which must be quick, for each message as it is read: none waits, and
        none is dropped. Raises PermissionDenied.
        """

        def take(message: Message) -> None:
            try:
                callback(message)
            except Exception:
                log.exception("bus_callback_failed", subject=message.subject)

        return await self._subscribed(subject, self.nc.subscribe_direct(subject, take, queue))

    async def _subscribed(
        self, subject: str, subscribing: Coroutine[Any, Any, Subscription]
    ) -> Subscription:
        try:
            self._check(subject)
        except BusError:
            subscribing.close()
            raise
        with translated(subject):
            subscription = await subscribing
        try:
            # The server answers in order: a refusal comes before the answer to this round trip.
            await self.flush()
            self._check(subject)
        except (BusError, asyncio.CancelledError):
            with contextlib.suppress(nats.errors.Error):
                await subscription.unsubscribe()
            raise
        return subscription

    async def flush(self) -> None:
        """Return once the server has seen all that was sent so far.

        Raises Disconnected, BusTimeout. Use it and not that of `nc`, which sends its PING past
        what still waits in the buffer and so proves nothing.
        """
        self._check("")
        await self._unless_trouble("", self._round_trip())

    async def _round_trip(self) -> None:
        await self.nc._flush_pending(force_flush=True)
        await self.nc.flush()

    async def _unless_trouble(self, subject: str, work: Coroutine[Any, Any, T]) -> T:
        task = asyncio.ensure_future(work)
        try:
            with self.trouble(subject) as trouble, translated(subject):
                await asyncio.wait((task, trouble), return_when=asyncio.FIRST_COMPLETED)
                if not task.done():
                    trouble.result()
                return task.result()
        finally:
            task.cancel()

    async def serve(self, service: str, version: str, handlers: Mapping[str, Handler]) -> None:
        """Answer requests on `cmd.<service>.<verb>` until the bus is closed.

        Each request runs in its own task, at most MAX_IN_FLIGHT per verb at once. A handler's
        Rejected reaches the caller as such; any other exception is logged and reported as
        Rejected(INTERNAL). Several processes may serve the same: each request reaches one.
        """
        served = await nats.micro.add_service(self.nc, name=service, version=version)
        self._services.append(served)
        for verb, handler in handlers.items():
            subject = command(service, verb)
            await served.add_endpoint(
                name=verb, subject=subject, handler=endpoint(subject, handler, self._spawn)
            )
        await self.flush()
        for verb in handlers:
            self._check(command(service, verb))

    async def lost(self) -> None:
        """Return when the bus is closed on purpose. Raises Disconnected if it has gone for good."""
        await self.closed.wait()
        if not self._closing:
            raise Disconnected(f"The connection to {self._where} is gone. {self._last_error}")

    async def close(self, timeout: float = 5.0) -> None:
        """Stop serving, let running handlers end, flush and disconnect, within about `timeout`."""
        self._closing = True
        ending = asyncio.ensure_future(self._end())
        await asyncio.wait((ending,), timeout=timeout)
        if not ending.done():
            log.warning("bus_close_cut_short", server=self._where)
        closing = asyncio.ensure_future(self.nc.close())
        await asyncio.wait((closing,), timeout=1)
        await put_down(ending, closing, *self._tasks)
        self._up.clear()
        self.closed.set()

    async def _end(self) -> None:
        for service in self._services:
            with contextlib.suppress(nats.errors.Error):
                await service.stop()
        if self._tasks:
            await asyncio.wait(self._tasks)
        if self.connected:
            await self.nc.drain()

    def _check(self, subject: str) -> None:
        self._troubles.check(subject)
        if not self._up.is_set():
            raise Disconnected(f"There is no connection to {self._where}. {self._last_error}")

    async def _first_connection(self, options: dict[str, Any], wait: float) -> None:
        self._refused = asyncio.get_running_loop().create_future()
        made = False
        connecting = asyncio.ensure_future(self.nc.connect(**options))
        try:
            await asyncio.wait(
                (connecting, self._refused), timeout=wait, return_when=asyncio.FIRST_COMPLETED
            )
            if connecting.done() and connecting.exception() is None:
                made = True
                if self.nc.is_connected:
                    self._up.set()
                return
            if connecting.done():
                self._last_error = f"Last error: {connecting.exception()}."
            if self._refused.done():
                raise ConnectFailed(f"NATS at {self._where} {self._refused.result()}")
            raise ConnectFailed(
                f"No NATS server answers at {self._where} within {wait:g} s. {self._last_error}"
                " Start it with `metamcp up`, or check the address."
            )
        finally:
            self._refused = None
            if not made:
                await put_down(connecting)
                await put_down(asyncio.ensure_future(self.nc.close()))

    async def _on_error(self, error: Exception) -> None:
        text = str(error)
        if found := _DENIED.search(text):
            self._on_denied(found.group(1))
            return
        self._last_error = f"Last error: {text or repr(error)}."
        if "authorization violation" in text.lower():
            self._refuse("refuses these credentials. Check the credentials file.")
            log.error("bus_credentials_refused", server=self._where)
        elif said := bus_tls.refusal(error, self._tls):
            self._refuse(said)
            log.error("bus_tls_failed", server=self._where, error=said)
        elif not isinstance(error, OSError | nats.errors.UnexpectedEOF):
            log.warning("bus_error", error=repr(error))

    def _refuse(self, why: str) -> None:
        if self._refused is not None and not self._refused.done():
            self._refused.set_result(why)

    def _on_denied(self, subject: str) -> None:
        if self._troubles.deny(subject):
            log.error("bus_denied", subject=subject)
        for hook in list(self.on_denied):
            hook(subject, PermissionDenied(subject))

    async def _on_disconnected(self) -> None:
        self._up.clear()
        if not self._closing:
            log.warning("bus_disconnected", server=self._where)
        self._troubles.lose(Disconnected(f"Lost the connection to {self._where}."))
        call_all(self.on_disconnected, self._spawn)

    async def _on_reconnected(self) -> None:
        self._up.set()
        log.info("bus_reconnected", server=self._where)
        call_all(self.on_reconnected, self._spawn)

    async def _on_closed(self) -> None:
        if not self._closing:
            log.error("bus_closed_by_server", server=self._where, error=self._last_error)
        self._up.clear()
        self.closed.set()

    def _spawn(self, work: Awaitable[Any]) -> None:
        task = asyncio.ensure_future(work)
        assert isinstance(task, asyncio.Task)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
