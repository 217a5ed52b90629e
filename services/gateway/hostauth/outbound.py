"""Requests to hosts and their authorization servers: bounded, never redirected, and to public
addresses alone where a user has named the host."""

from __future__ import annotations

import asyncio
from typing import Any, NamedTuple

import httpx2
import msgspec

from contracts.errors import Reason, Rejected
from services.outside import addresses
from services.outside.addresses import AddressRefused
from services.process import telemetry

ANSWER_S = 10.0
MOST_BYTES = 256 * 1024
MOST_AT_ONCE = 64

log = telemetry.get_logger()


class HostSaid(NamedTuple):
    """An answer."""

    status: int
    fields: dict[str, Any]
    """The body, if it is a JSON object."""
    challenges: tuple[str, ...] = ()


class HostAsking:
    """Raises Rejected(UNAVAILABLE) where nobody answers."""

    def __init__(self) -> None:
        self._under_way = 0

    async def ask(self, method: str, url: str, *, open_: bool, **given: Any) -> HostSaid:
        """Send a request; `open_`: to any address. `given` is httpx2's."""
        if self._under_way >= MOST_AT_ONCE:
            raise Rejected(Reason.UNAVAILABLE, "too many people sign in at hosts: try again")
        self._under_way += 1
        try:
            async with asyncio.timeout(ANSWER_S):
                return await self._sent(method, url, open_, given)
        except TimeoutError:
            raise _away(url, f"no answer within {ANSWER_S:g} s") from None
        except httpx2.ConnectError as error:
            refused = isinstance(error.__cause__, AddressRefused)
            raise _away(url, str(error) if refused else "no connection") from None
        except (httpx2.HTTPError, httpx2.InvalidURL) as error:
            raise _away(url, type(error).__name__) from None
        finally:
            self._under_way -= 1

    async def _sent(self, method: str, url: str, open_: bool, given: dict[str, Any]) -> HostSaid:
        headers = {"Accept": "application/json", "User-Agent": "metamcp-orchestrator"}
        headers |= given.pop("headers", {})
        # A way out leads to one origin.
        way = addresses.transport(public_only=not open_)
        async with (
            httpx2.AsyncClient(transport=way, timeout=ANSWER_S, trust_env=False) as client,
            client.stream(method, url, headers=headers, **given) as answer,
        ):
            challenges = tuple(answer.headers.get_list("www-authenticate"))
            if answer.headers.get("content-type", "").startswith("text/event-stream"):
                return HostSaid(answer.status_code, {}, challenges)
            data = b""
            async for part in answer.aiter_bytes():
                data += part
                if len(data) > MOST_BYTES:
                    raise _away(url, f"its answer has more than {MOST_BYTES} bytes")
        try:
            body = msgspec.json.decode(data)
        except (msgspec.DecodeError, RecursionError):
            body = None
        return HostSaid(answer.status_code, body if isinstance(body, dict) else {}, challenges)


def _away(url: str, why: str) -> Rejected:
    origin = httpx2.URL(url).copy_with(path="/", query=None).host
    log.info("host_sign_in_away", at=origin, error=why)
    return Rejected(Reason.UNAVAILABLE, f"{origin} can't be asked now ({why}): try again")
