"""What administrators have set for single users, read by services that are no gateways.

Of the bucket of people they may ask for these values alone, one at a time.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import msgspec

from contracts import subjects
from contracts.budget import DEFAULT, Budget, excepted
from contracts.ids import is_user
from services.bus.bus import Bus
from services.process import telemetry
from services.store.stream import StoreRefused, Stream

FRESH_S = 0.5
MOST_KEPT = 1_000

log = telemetry.get_logger()


class _Limits(msgspec.Struct):
    limits: dict[str, int] = {}


_limits: msgspec.json.Decoder[_Limits] = msgspec.json.Decoder(_Limits)


class QuotaReader:
    """The budgets of users, as they were half a second ago at most."""

    def __init__(
        self,
        bus: Bus,
        common: Budget = DEFAULT,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`common`: the budget of whoever is no exception."""
        self._stream = Stream(bus, f"KV_{subjects.ACCOUNTS_BUCKET}")
        self._common = common
        self._clock = clock
        self._known: dict[str, tuple[float, Budget]] = {}

    async def of(self, user: str) -> Budget:
        """The budget of a user. Raises StoreError: not known now."""
        known = self._known.get(user)
        if known is not None and self._clock() - known[0] < FRESH_S:
            return known[1]
        if len(self._known) >= MOST_KEPT:
            self._known.clear()
        at, budget = self._clock(), await self._ask(user)
        self._known[user] = at, budget
        return budget

    async def _ask(self, user: str) -> Budget:
        if not is_user(user):
            return self._common
        try:
            found = await self._stream.last_on(subjects.quota(user))
        except StoreRefused as error:
            # An older configuration of the server: better the usual budget than no results.
            log.warning("quotas_not_read", error=str(error))
            return self._common
        if found is None or not found.data:
            return self._common
        try:
            return excepted(self._common, _limits.decode(found.data).limits)
        except msgspec.DecodeError as error:
            log.warning("quota_unreadable", user=user, error=str(error))
            return self._common
