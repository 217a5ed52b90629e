"""What all facts have in common."""

from __future__ import annotations

import msgspec


class Fact(
    msgspec.Struct, frozen=True, kw_only=True, tag_field="type", omit_defaults=True, gc=False
):
    """What all facts carry."""

    id: str
    """UUIDv7 of this fact; two appends with one id are one fact."""
    by: str
    """The instance that wrote it."""
