"""Requests to providers: bounded in time, size and number, and never redirected."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any, NamedTuple

import httpx
import msgspec

from contracts.errors import Reason
from services.gateway.people.providers.base import NotSignedIn
from services.outside import addresses
from services.process import telemetry

ANSWER_S = 10.0
MOST_BYTES = 256 * 1024
MOST_AT_ONCE = 64

log = telemetry.get_logger()


class Said(NamedTuple):
    """An answer of a provider."""

    status: int
    body: Any
    """JSON; None for anything else."""
    headers: Mapping[str, str]

    @property
    def fields(self) -> dict[str, Any]:
        """The body, if it is an object."""
        return self.body if isinstance(self.body, dict) else {}

    def text(self, name: str) -> str:
        """One of its fields, if it is a text."""
        found = self.fields.get(name)
        return found if isinstance(found, str) else ""


class Asking:
    """Asks one provider. Raises NotSignedIn where it does not answer as it should."""

    def __init__(self, title: str, wait_s: float = ANSWER_S) -> None:
        self._title = title
        self._wait_s = wait_s
        self._under_way = 0

    async def ask(self, method: str, url: str, **given: Any) -> Said:
        """Send a request; `given` is httpx's."""
        if self._under_way >= MOST_AT_ONCE:
            raise self.away("it is asked too much at once")
        self._under_way += 1
        try:
            async with asyncio.timeout(self._wait_s):
                return await self._sent(method, url, given)
        except TimeoutError:
            raise self.away(f"no answer within {self._wait_s:g} s") from None
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise self.away(type(error).__name__) from None
        finally:
            self._under_way -= 1

    def away(self, why: str) -> NotSignedIn:
        """What to tell somebody when the provider can't be asked."""
        log.warning("provider_away", provider=self._title, error=why)
        text = f"{self._title} can't be asked now ({why}): try again in a minute"
        return NotSignedIn("provider_away", text, Reason.UNAVAILABLE)

    async def _sent(self, method: str, url: str, given: dict[str, Any]) -> Said:
        headers = {"Accept": "application/json", "User-Agent": "metamcp-orchestrator"}
        headers |= given.pop("headers", {})
        async with (
            httpx.AsyncClient(verify=addresses.tls(), timeout=self._wait_s) as client,
            client.stream(method, url, headers=headers, **given) as answer,
        ):
            size, parts = 0, []
            async for part in answer.aiter_bytes():
                size += len(part)
                if size > MOST_BYTES:
                    raise self.away(f"its answer has more than {MOST_BYTES} bytes")
                parts.append(part)
            try:
                body = msgspec.json.decode(b"".join(parts))
            except (msgspec.DecodeError, RecursionError):
                body = None
            return Said(answer.status_code, body, answer.headers)
