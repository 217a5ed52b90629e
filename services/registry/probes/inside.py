"""What runs in a registry's worker processes: probes of users' hosts.

Run as a module it is what workers are forked from.
"""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import msgspec

from contracts.host import Host
from services.keys.secrets import HostSecrets, Secrets
from services.outside.apart import zygote
from services.outside.apart.worker import Done, Errand
from services.registry.probes import child
from services.registry.probes.apart import ProbeOrder
from services.registry.probes.base import Reach

_order: msgspec.msgpack.Decoder[ProbeOrder] = msgspec.msgpack.Decoder(ProbeOrder)


class _Handed(Secrets):
    """The one secret that was handed in; others stand in the endpoint already."""

    def __init__(self, secret: str | None) -> None:
        super().__init__(Path(os.devnull), {})
        self._secret = secret

    async def of(self, host: Host, user: str | None, *, bearer: bool = True) -> HostSecrets:
        """Return it, whatever it is called."""
        return HostSecrets(self._secret, None)


class Probes:
    """The probes of one worker."""

    def __init__(self, folder: Path | None) -> None:
        """No files are left."""

    async def handle(self, errand: Errand) -> Done:
        """Ask one host."""
        order = _order.decode(errand.body)
        secrets, handed = _Handed(order.bearer), order.bearer
        reach = Reach(secrets, order.spaces, order.allow_private, handed=handed)
        prober = child.prober(order.host, asyncio.Semaphore(1), order.limit_s, reach)
        try:
            outcome = await prober.probe()
        finally:
            await prober.close()
        return Done(msgspec.msgpack.encode(outcome))

    async def close(self) -> None:
        """Nothing is held between two probes."""


if __name__ == "__main__":
    zygote.main("registry", Probes)
