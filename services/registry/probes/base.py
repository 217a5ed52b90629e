"""What every prober has in common: what it answers, and how it reaches hosts over HTTP."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import NamedTuple, Protocol, Self

import msgspec
import structlog

from contracts.host import Host, StreamableHttp, operated
from services.keys import secrets as keys
from services.keys.hosttokens import HostTokens
from services.keys.secrets import NO_SECRETS, HostSecrets, MissingSecret, Secrets
from services.outside import addresses
from services.outside.addresses import SPACES
from services.outside.apart.pool import WorkerPool
from services.registry.domain import Discovery

_MAX_TEXT = 300
_ESCAPES = re.compile(r"(?:\x1b\[|\x9b)[0-9;]*[A-Za-z]|[\x00-\x08\x0b-\x1f\x7f-\x9f]")

log = structlog.get_logger()


class ProbeOutcome(msgspec.Struct, frozen=True):
    """What one probe found: `reason` is empty when all is well, else `<kind>: <explanation>`."""

    reason: str = ""
    latency_ms: float = 0.0
    discovery: Discovery | None = None
    note: str = ""
    """Not empty: it is there and can work, though not for everybody; `<kind>: <explanation>`."""
    detail: str = ""
    """What the operator may know besides: the host's own words."""
    said: str = ""
    """Those of them that its program wrote instead of starting: nobody's work is in them."""

    @classmethod
    def of(cls, sick: Sick) -> Self:
        """What a probe that failed has found."""
        return cls(str(sick), detail=sick.detail, said=sick.detail if sick.at_start else "")


class Prober(Protocol):
    """Asks one host how it is, again and again."""

    async def probe(self) -> ProbeOutcome | None:
        """Ask once. What is wrong with the host stands in the answer, never in an exception; None:
        nothing can be said of it now."""

    async def close(self) -> None:
        """Let go of the host; a process started for it ends."""


class Sick(Exception):
    """The host failed the probe; the text is the answer's reason, which users read."""

    def __init__(self, reason: str, detail: str = "", *, at_start: bool = False) -> None:
        """`at_start`: a program has not started, and the detail is what it wrote."""
        super().__init__(reason)
        self.detail = detail
        """See `ProbeOutcome.detail`."""
        self.at_start = at_start


class Reach(NamedTuple):
    """How hosts over HTTP are reached."""

    secrets: Secrets
    spaces: str = SPACES
    allow_private: bool = False
    """Hosts that users have registered may lie at private and loopback addresses."""
    workers: WorkerPool | None = None
    """The processes in which users' hosts are asked."""
    logs: Path | None = None
    """Folder of the hosts' logs, for the operator."""
    tokens: HostTokens | None = None
    """Of users who have signed in at hosts."""
    handed: str | None = None
    """One of those, for the host that is asked."""

    def kept_public(self, host: Host) -> bool:
        """Whether calls to this host are kept to public addresses."""
        return addresses.kept_public(host, allow_private=self.allow_private)

    async def shared(self, host: Host) -> HostSecrets:
        """The same, where users meet it with bearer tokens of their own and there is none for
        everybody, without one. Raises Sick."""
        if personal(host):
            _check_place(host)
            try:
                return await self.secrets.of(host, None)
            except MissingSecret as missing:
                if missing.name == keys.bearer_name(host):
                    return await self._found(host, bearer=False)
        return await self.credentials(host)

    async def credentials(self, host: Host) -> HostSecrets:
        """The secrets that the host's endpoint names: its owner's, else the shared ones. Raises
        Sick.

        The executor takes each user's own; a probe has no user but the owner.
        """
        if not keys.wanted(host):
            return HostSecrets(self.handed) if self.handed else NO_SECRETS
        _check_place(host)
        return await self._found(host)

    async def _found(self, host: Host, *, bearer: bool = True) -> HostSecrets:
        try:
            return await self.secrets.of(host, host.owner, bearer=bearer)
        except MissingSecret as missing:
            # Users see the reason; where this machine's files lie is for the operator alone.
            log.warning("secret_missing", host=host.id, error=str(missing))
            place = keys.where_to_put(missing.name, host)
            text = f"it needs the secret {missing.name}, and it is not there: {place}"
            raise Sick(f"no secret: {text}", str(missing)) from None


def _check_place(host: Host) -> None:
    """Refuse to show a secret where nobody has said that it belongs. Raises Sick."""
    if addresses.guessed(host.endpoint):
        raise Sick(f"no address: {addresses.GUESSED}")


def personal(host: Host) -> bool:
    """Whether users without a secret of their own are all that miss one for everybody."""
    named = isinstance(host.endpoint, StreamableHttp) and keys.bearer_name(host) is not None
    return named and operated(host) and host.owner is None


UNEQUIPPED = Reach(Secrets(Path(os.devnull)))
"""Without a folder of secrets: those of the environment only."""


def short(text: str) -> str:
    """One line without control characters, fit for a reason."""
    line = " ".join(_ESCAPES.sub("", text).split())
    return line if len(line) <= _MAX_TEXT else f"{line[:_MAX_TEXT]}…"
