"""The stream `ACCESS`: who came in and who was kept out. Gateways write it, auditors read it."""

from __future__ import annotations

from typing import Any

from contracts.subjects import ACCESS_STREAM, ACCESS_SUBJECTS
from services.bus.room import SHARE_OF_ACCESS, share
from services.store.stream import ALWAYS

DAYS = 90
"""How long a line is kept."""
MOST_BYTES = 512 * 1024 * 1024
MOST_LINE = 64 * 1024
AGAIN_S = 3600
"""For how long NATS knows that a line that is sent again is there already."""
_NS = 1_000_000_000


def access_config(limit: int | None = None, days: int = DAYS) -> dict[str, Any]:
    """The stream, created by the operator. What is oldest makes room for what is new.

    `limit`: bytes of all streams, if that is known.
    """
    return {
        "name": ACCESS_STREAM,
        "subjects": list(ACCESS_SUBJECTS),
        **ALWAYS,
        "discard": "old",
        "deny_purge": True,
        "max_age": days * 86_400 * _NS,
        "max_bytes": share(limit, SHARE_OF_ACCESS, MOST_BYTES),
        "max_msg_size": MOST_LINE,
        "duplicate_window": AGAIN_S * _NS,
    }
