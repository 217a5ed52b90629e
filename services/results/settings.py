"""Settings of the results service: METAMCP_RESULTS_<NAME>, or section [results] of metamcp.toml."""

from __future__ import annotations

from typing import Annotated

import msgspec


class Settings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How results are looked after."""

    checks_at_once: Annotated[
        int,
        msgspec.Meta(
            description="How many big results are looked up in the object store at a time.",
            ge=1,
            le=64,
        ),
    ] = 4
