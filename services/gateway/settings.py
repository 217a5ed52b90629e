"""Settings of the gateway, section `[gateway]`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import msgspec

from services.process.tls import set_together

MIB = 1024 * 1024


class Settings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The HTTP and websocket server."""

    host: Annotated[str, msgspec.Meta(description="Address to listen on.")] = "127.0.0.1"
    port: Annotated[
        int,
        msgspec.Meta(
            description="Port to listen on; 0 takes a free one. The address in use stands in"
            " `gateway.json` in the data folder.",
            ge=0,
            le=65535,
        ),
    ] = 8080
    tls_cert: Annotated[
        Path | None,
        msgspec.Meta(
            description="File (PEM) with the certificate for https and wss, those that lead to its"
            " CA after it. It is read at the start. Without one the gateway speaks plain HTTP."
        ),
    ] = None
    tls_key: Annotated[
        Path | None,
        msgspec.Meta(
            description="File (PEM) with that certificate's key, without a passphrase and readable"
            " by the gateway alone."
        ),
    ] = None
    allowed_origins: Annotated[
        tuple[str, ...],
        msgspec.Meta(description="Web pages that may use the API and the streams from a browser."),
    ] = ("http://localhost:3000", "http://localhost:3001")
    trusted_proxies: Annotated[
        tuple[str, ...],
        msgspec.Meta(description="Addresses whose `X-Forwarded-For` and `-Proto` are believed."),
    ] = ()
    max_body: Annotated[
        int, msgspec.Meta(description="Bytes of a JSON request body.", ge=1024, le=16 * MIB)
    ] = MIB
    blob_limit: Annotated[
        int, msgspec.Meta(description="Bytes of one upload to `/api/blobs`.", ge=1024)
    ] = 256 * MIB
    queue_bytes: Annotated[
        int,
        msgspec.Meta(
            description="Bytes that may wait for one websocket client; more closes it with 4008.",
            ge=64 * 1024,
        ),
    ] = MIB
    max_subscriptions: Annotated[
        int, msgspec.Meta(description="Subscriptions of one websocket.", ge=1, le=1024)
    ] = 32
    max_connections: Annotated[
        int, msgspec.Meta(description="Websockets at once; more are refused with 503.", ge=1)
    ] = 10_000
    max_user_connections: Annotated[
        int,
        msgspec.Meta(
            description="Websockets of one user at once; more are closed with 4029. The role"
            " `admin` has no limit of its own.",
            ge=1,
        ),
    ] = 1_000
    recent_facts: Annotated[
        int, msgspec.Meta(description="Facts kept in memory for clients that resume.", ge=1)
    ] = 16_384
    recent_bytes: Annotated[
        int, msgspec.Meta(description="Bytes of facts kept in memory for clients that resume.")
    ] = 16 * MIB
    history_readers: Annotated[
        int, msgspec.Meta(description="Reads of older facts for streams at once.", ge=1, le=64)
    ] = 8
    public_url: Annotated[
        str,
        msgspec.Meta(
            description="Address under which others reach this gateway, such as"
            " `https://tasks.example.com`; Spaces fetch the public keys there. Without one they are"
            " given the keys themselves when the kit is deployed."
        ),
    ] = ""
    github_url: Annotated[str, msgspec.Meta(description="Address of GitHub's REST API.")] = (
        "https://api.github.com"
    )
    space_kit: Annotated[
        Path | None,
        msgspec.Meta(description="Folder that is deployed to Spaces; without one, `deploy/space`."),
    ] = None
    rate_limit_requests: Annotated[
        int,
        msgspec.Meta(
            description="HTTP requests per window of one user, or of one address while nobody is"
            " signed in; 0: no limit. The role `admin` has none.",
            ge=0,
        ),
    ] = 100
    rate_limit_window_s: Annotated[
        float, msgspec.Meta(description="Length of that window in seconds.", gt=0)
    ] = 60.0

    def __post_init__(self) -> None:
        """Refuse half a pair."""
        set_together(self, "tls_cert", "tls_key")
