"""What is wrong with a process that goes on: health says it, and `metamcp doctor` what to do."""

from __future__ import annotations

import structlog

from contracts.health import Trouble

log = structlog.get_logger()


class ProcessTroubles:
    """The troubles of one process, at most one of each kind."""

    def __init__(self) -> None:
        self._now: dict[str, Trouble] = {}

    def tell(self, kind: str, text: str, hint: str) -> None:
        """It is so from now on, until `over`. Everybody may read it: no paths, no names."""
        trouble = Trouble(kind, text, hint)
        if self._now.get(kind) != trouble:
            self._now[kind] = trouble
            log.warning("trouble", kind=kind, text=text)

    def over(self, kind: str) -> None:
        """It is not so any more."""
        if self._now.pop(kind, None) is not None:
            log.info("trouble_over", kind=kind)

    def all(self) -> tuple[Trouble, ...]:
        """Those there are, the oldest first."""
        return tuple(self._now.values())
