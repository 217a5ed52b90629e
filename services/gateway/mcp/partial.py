"""Answers to some of the things that a task asks for at once, until all of them are there.

Kept in this gateway alone: after its restart the client is asked for all of them again.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping

import msgspec
from mcp_types import ElicitResult

from contracts.asks import CONTENT_BYTES, TaskAsked
from contracts.errors import Reason, Rejected
from services.gateway.mcp.questions import keys_of

MOST_KEPT = 256
"""Questions that are answered in part; those whose answers came longest ago are forgotten."""

_Key = tuple[str, str, int]


class PartialAnswers:
    """One per gateway."""

    def __init__(self) -> None:
        self._kept: OrderedDict[_Key, dict[str, ElicitResult]] = OrderedDict()

    def of(self, asked: TaskAsked) -> Mapping[str, ElicitResult]:
        """What has been answered, by the host's own keys."""
        return self._kept.get(_key(asked), {})

    def add(self, asked: TaskAsked, given: Mapping[str, ElicitResult]) -> None:
        """Keep what is new of it: what was answered stays so. Raises Rejected(TOO_LARGE)."""
        known = self.of(asked)
        fresh = {key: given[key] for key in keys_of(asked) if key in given and key not in known}
        whole = {**known, **fresh}
        size = sum(len(msgspec.json.encode(one.content)) for one in whole.values())
        if size > CONTENT_BYTES:
            text = f"the answers have {size} bytes; together they have at most {CONTENT_BYTES}"
            raise Rejected(Reason.TOO_LARGE, text)
        if not fresh:
            return
        self._kept[_key(asked)] = whole
        self._kept.move_to_end(_key(asked))
        if len(self._kept) > MOST_KEPT:
            self._kept.popitem(last=False)

    def forget(self, asked: TaskAsked) -> None:
        """It is answered as a whole, or its answers were no good."""
        self._kept.pop(_key(asked), None)


def _key(asked: TaskAsked) -> _Key:
    return asked.user, asked.task, asked.q
