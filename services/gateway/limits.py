"""How many requests one user, or one address, may make; counted in this process."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable

from services.gateway.domain import ADMIN
from services.gateway.identity import Principal

MOST_KEYS = 100_000


class RateLimit:
    """A sliding window, estimated from two fixed ones: `requests` per `window_s` seconds."""

    def __init__(
        self, requests: int, window_s: float, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._requests = requests
        self._window_s = window_s
        self._clock = clock
        self._counts: OrderedDict[str, tuple[int, int, int]] = OrderedDict()

    def over(self, principal: Principal | None, client: tuple[str, int] | None) -> float:
        """Count a request; 0 if it may pass, else seconds until one may."""
        if not self._requests or (principal is not None and ADMIN in principal.roles):
            return 0.0
        key = f"user {principal.user}" if principal else f"address {client[0] if client else ''}"
        now = self._clock() / self._window_s
        window = int(now)
        seen, count, before = self._counts.pop(key, (window, 0, 0))
        if seen != window:
            count, before = 0, count if seen == window - 1 else 0
        over = count + before * (1 - (now - window)) >= self._requests
        self._counts[key] = (window, count if over else count + 1, before)
        if len(self._counts) > MOST_KEYS:
            self._counts.popitem(last=False)
        return (window + 1 - now) * self._window_s if over else 0.0
