"""Settings of the results service: METAMCP_RESULTS_<NAME>, or section [results] of metamcp.toml."""

from __future__ import annotations

from typing import Annotated

import msgspec

MIB = 1024 * 1024


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
    cache_bytes: Annotated[
        int, msgspec.Meta(description="Bytes of local copies of results for reads.", ge=MIB)
    ] = 512 * MIB
    hub_cache_bytes: Annotated[
        int, msgspec.Meta(description="Bytes of downloads from Hugging Face that are kept.", ge=MIB)
    ] = 2048 * MIB
    dataset: Annotated[
        Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,95}$")],
        msgspec.Meta(description="Name of the private Dataset in each user's linked account."),
    ] = "metamcp-results"
    commit_results: Annotated[
        int, msgspec.Meta(description="Results in one commit to a Dataset, at most.", ge=1, le=1000)
    ] = 100
    commit_bytes: Annotated[
        int, msgspec.Meta(description="Bytes in one commit to a Dataset, at most.", ge=MIB)
    ] = 256 * MIB
    retention_days: Annotated[
        float,
        msgspec.Meta(
            description="Results behind pointers are deleted after so many days; 0: never.", ge=0
        ),
    ] = 0.0
    blob_days: Annotated[
        float,
        msgspec.Meta(
            description="Bytes in the object store that nothing refers to are dropped so many days"
            " after they were stored last. A task lives for 7 days: leave it longer than that.",
            ge=8,
        ),
    ] = 14.0
    sweep_s: Annotated[
        float, msgspec.Meta(description="Seconds between two looks for what may go.", ge=1)
    ] = 3600.0
