"""Settings of the registry: METAMCP_REGISTRY_<NAME>, or section [registry] of metamcp.toml."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import msgspec


class Settings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which hosts there are and how they are watched."""

    manifests: Annotated[
        tuple[Path, ...],
        msgspec.Meta(description="Manifest files with your own hosts; see docs/manifest.md."),
    ] = ()
    builtins: Annotated[bool, msgspec.Meta(description="Offer the hosts that come with it.")] = True
    disabled: Annotated[
        tuple[str, ...],
        msgspec.Meta(
            description="Ids of hosts that get no work and no probe, also users' (`owner/name`) and"
            " such as do not exist yet; nothing is asked of them before. A user's host stays"
            " disabled until `metamcp hosts enable`."
        ),
    ] = ()
    roots: Annotated[
        tuple[Path, ...],
        msgspec.Meta(
            description="Folders that tasks may name to hosts that work on files, such as git;"
            " every user of the API can read what lies in them."
        ),
    ] = ()
    allow_noop: Annotated[
        bool, msgspec.Meta(description="Accept hosts of kind `noop`: for benchmarks only.")
    ] = False
    probe_limit_s: Annotated[
        float, msgspec.Meta(description="Limit of one probe of a running host.", gt=0, le=300)
    ] = 10.0
    probes_at_once: Annotated[
        int,
        msgspec.Meta(
            description="How many hosts with a URL are probed at the same time.", ge=1, le=1024
        ),
    ] = 32
    discover_s: Annotated[
        float,
        msgspec.Meta(description="Seconds between two looks at a user's Spaces.", ge=1, le=86_400),
    ] = 300.0
    discover_at_once: Annotated[
        int,
        msgspec.Meta(description="Users whose Spaces are looked at the same time.", ge=1, le=64),
    ] = 4
    starts_at_once: Annotated[
        int, msgspec.Meta(description="How many hosts are started at the same time.", ge=1, le=64)
    ] = 2
