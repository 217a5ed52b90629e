"""Settings of an executor."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import msgspec

from contracts.task import MAX_FILES, MAX_FILES_BYTES, MAX_INPUT_BYTES


class Settings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How much an executor takes on at once, and what hosts may touch."""

    slots: Annotated[
        int,
        msgspec.Meta(ge=1, le=4096, description="Attempts this executor runs at once."),
    ] = 128
    held_calls: Annotated[
        int,
        msgspec.Meta(
            ge=0,
            le=4096,
            description="Calls that hosts of the older protocol era may hold open at once while a"
            " person is asked; they take no slot. Beyond that the host is told that nobody is"
            " asked.",
        ),
    ] = 128
    processes: Annotated[
        int,
        msgspec.Meta(
            ge=1,
            le=4096,
            description="Processes of hosts that this executor has at once. Beyond that one that"
            " rests is ended for another, or calls wait.",
        ),
    ] = 64
    roots: Annotated[
        tuple[Path, ...],
        msgspec.Meta(
            description="Folders that path arguments may name on every host, besides the attempt's"
            " own workspace and the host's own roots."
        ),
    ] = ()
    max_files: Annotated[
        int,
        msgspec.Meta(
            ge=0, description="Most files one task may bring along, and as many folders of them."
        ),
    ] = MAX_FILES
    max_files_bytes: Annotated[
        int,
        msgspec.Meta(ge=0, description="Most bytes of all files one task brings along, unpacked."),
    ] = MAX_FILES_BYTES
    max_input_bytes: Annotated[
        int, msgspec.Meta(ge=1, description="Most bytes of an input that lies in the object store.")
    ] = MAX_INPUT_BYTES
    permit_margin_s: Annotated[
        float, msgspec.Meta(ge=0, description="Seconds a permit outlives its attempt's limit.")
    ] = 5.0
    permit_algorithm: Annotated[
        Literal["RS256", "EdDSA"],
        msgspec.Meta(
            description="What permits are signed with. A key of the other kind is replaced after"
            " the start; executors that share a data folder need the same value."
        ),
    ] = "RS256"
    permit_key_days: Annotated[
        int,
        msgspec.Meta(
            ge=0,
            le=3650,
            description="Days after which a permit key is replaced; 0: only by `metamcp keys"
            " rotate`.",
        ),
    ] = 0
    permit_overlap_s: Annotated[
        float,
        msgspec.Meta(
            ge=0,
            le=86_400,
            description="Seconds a new permit key is known before it signs. Hosts may keep the"
            " public keys for 60 s, so it has to be longer than that.",
        ),
    ] = 120.0
    drain_s: Annotated[
        float,
        msgspec.Meta(
            ge=0, le=8, description="Seconds that running calls get to finish when it stops."
        ),
    ] = 6.0
    warm_hosts: Annotated[
        bool,
        msgspec.Meta(
            description="Start the servers of enabled hosts before the first task needs them, also"
            " again after a change; it costs their memory. A probe starts them in any case."
        ),
    ] = True
    allow_noop: Annotated[
        bool, msgspec.Meta(description="Serve hosts of the kind `noop`; for benchmarks only.")
    ] = False
