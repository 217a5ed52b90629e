"""What a running gateway says of itself in its data folder.

The command line reads this before every request, so it imports next to nothing.
"""

from __future__ import annotations

from pathlib import Path

import msgspec

GATEWAY_FILE = "gateway.json"


class Announced(msgspec.Struct, frozen=True):
    """What a gateway writes into its data folder while it runs."""

    url: str
    certificate: str = ""
    """The one it shows (PEM); none: it speaks plain HTTP."""


def read_announced(data: Path) -> Announced:
    """What the gateway of this data folder says. Raises OSError, msgspec.DecodeError."""
    return msgspec.json.decode((data / GATEWAY_FILE).read_bytes(), type=Announced)


def read_gateway_url(data: Path) -> str:
    """Where the gateway of this data folder listens. Raises OSError, msgspec.DecodeError."""
    return read_announced(data).url
