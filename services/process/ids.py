"""New ids: UUIDv7, so that they sort by the time they were made."""

from __future__ import annotations

import uuid_utils


def new_id() -> str:
    """Return a fresh UUIDv7 as text; it is also a valid subject token."""
    return str(uuid_utils.uuid7())
