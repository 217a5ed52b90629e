"""Settings of `metamcp up`: what it starts and how patiently it keeps it running."""

from __future__ import annotations

from typing import Annotated

import msgspec


class Settings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What `metamcp up` and `metamcp demo` start; the command's own options win."""

    nats_port: Annotated[
        int,
        msgspec.Meta(
            description="Port of the embedded NATS server; 0: the one used before, or a free one.",
            ge=0,
            le=65535,
        ),
    ] = 0
    nats_bytes: Annotated[
        int,
        msgspec.Meta(
            description="Bytes on disk that the embedded NATS server may use; 0: what is free when"
            " it starts, but for 100 MB.",
            ge=0,
        ),
    ] = 0
    executors: Annotated[
        int, msgspec.Meta(description="How many executor processes to start.", ge=1, le=64)
    ] = 1
    in_process: Annotated[
        bool, msgspec.Meta(description="Run the five services in one process.")
    ] = False
    ready_s: Annotated[
        float, msgspec.Meta(description="Seconds until everything must be ready.", gt=0)
    ] = 60.0
    drain_s: Annotated[
        float,
        msgspec.Meta(description="Seconds a service has to finish before it is killed.", gt=0),
    ] = 10.0
    restarts: Annotated[
        int,
        msgspec.Meta(
            description="Crashes of one service within `restart_window_s` that are cured by a"
            " restart; one more stops everything.",
            ge=0,
        ),
    ] = 5
    restart_window_s: Annotated[
        float, msgspec.Meta(description="Seconds over which crashes are counted.", gt=0)
    ] = 30.0
