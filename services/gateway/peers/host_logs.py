"""What hosts have written on stderr: executors keep it, each in its own data folder."""

from __future__ import annotations

import msgspec

from contracts.errors import Reason, Rejected
from contracts.subjects import command
from contracts.wire import HostLog, HostLogRequest
from services.bus.all import ask_all
from services.bus.bus import Bus
from services.bus.errors import BusError, NoResponders

SUBJECT = command("executor", "host_log")


class HostLogs:
    """Asks all executors, because any of them may have run the host."""

    def __init__(self, bus: Bus) -> None:
        self._bus = bus

    async def of(self, host: str, lines: int) -> list[HostLog]:
        """Return the logs that there are, by executor; those of one data folder once.

        Raises Rejected(UNAVAILABLE) if no executor answers.
        """
        request = msgspec.json.encode(HostLogRequest(host, lines))
        try:
            answers = await ask_all(self._bus, SUBJECT, request)
        except NoResponders:
            text = "no executor is running: they keep the logs of hosts"
            raise Rejected(Reason.UNAVAILABLE, text) from None
        except BusError as error:
            text = f"no executor can be asked for the log: {error}"
            raise Rejected(Reason.UNAVAILABLE, text) from None
        found = [msgspec.json.decode(answer, type=HostLog) for answer in answers]
        kept = {log.lines: log for log in sorted(found, key=lambda log: log.instance, reverse=True)}
        return sorted((log for log in kept.values() if log.lines), key=lambda log: log.instance)
