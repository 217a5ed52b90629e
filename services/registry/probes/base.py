"""What every prober has in common: what it answers, and how it reaches hosts over HTTP."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import NamedTuple, Protocol

import msgspec
import structlog

from contracts.host import Execute, Host, StreamableHttp, operated
from services.keys.secrets import MissingSecret, Secrets
from services.outside import addresses
from services.outside.addresses import SPACES
from services.registry.domain import Discovery

_MAX_TEXT = 300
_ESCAPES = re.compile(r"\x1b\[[0-9;]*[A-Za-z]|[\x00-\x08\x0b-\x1f\x7f]")

log = structlog.get_logger()


class ProbeOutcome(msgspec.Struct, frozen=True):
    """What one probe found: `reason` is empty when all is well, else `<kind>: <explanation>`."""

    reason: str = ""
    latency_ms: float = 0.0
    discovery: Discovery | None = None
    note: str = ""
    """Not empty: it is there and can work, though not for everybody; `<kind>: <explanation>`."""


class Prober(Protocol):
    """Asks one host how it is, again and again."""

    async def probe(self) -> ProbeOutcome:
        """Ask once. What is wrong with the host stands in the answer, never in an exception."""

    async def close(self) -> None:
        """Let go of the host; a process started for it ends."""


class Sick(Exception):
    """The host failed the probe; the text is the answer's reason."""


class Reach(NamedTuple):
    """How hosts over HTTP are reached."""

    secrets: Secrets
    spaces: str = SPACES
    allow_private: bool = False
    """Hosts that users have registered may lie at private and loopback addresses."""

    def kept_public(self, host: Host) -> bool:
        """Whether calls to this host are kept to public addresses."""
        return addresses.kept_public(host, allow_private=self.allow_private)

    async def shared(self, host: Host) -> str | None:
        """The same for a host that users meet with secrets of their own; None: there is none for
        everybody. Raises Sick."""
        endpoint = host.endpoint
        if not personal(host) or not isinstance(endpoint, StreamableHttp):
            return await self.bearer(host)
        try:
            return await self.secrets.find(endpoint.bearer_from or "")
        except MissingSecret:
            return None

    async def bearer(self, host: Host) -> str | None:
        """The secret that the host's endpoint names: its owner's, else the shared one. Raises Sick.

        The executor sends each user's own; a probe has no user but the owner.
        """
        endpoint = host.endpoint
        if not isinstance(endpoint, StreamableHttp | Execute) or endpoint.bearer_from is None:
            return None
        try:
            only_own = not operated(host)
            return await self.secrets.find(endpoint.bearer_from, host.owner, only_own=only_own)
        except MissingSecret as missing:
            # Users see the reason; where secrets lie is for the operator alone.
            log.warning("secret_missing", host=host.id, error=str(missing))
            name = endpoint.bearer_from
            raise Sick(f"no secret: it needs the secret {name}, and it is not there") from None


def personal(host: Host) -> bool:
    """Whether users without a secret of their own are all that miss one for everybody."""
    endpoint = host.endpoint
    named = isinstance(endpoint, StreamableHttp) and endpoint.bearer_from is not None
    return named and operated(host) and host.owner is None


UNEQUIPPED = Reach(Secrets(Path(os.devnull)))
"""Without a folder of secrets: those of the environment only."""


def short(text: str) -> str:
    """One line without control characters, fit for a reason."""
    line = " ".join(_ESCAPES.sub("", text).split())
    return line if len(line) <= _MAX_TEXT else f"{line[:_MAX_TEXT]}…"
