"""Outside publishers, as the list in the data folder names them."""

from __future__ import annotations

import msgspec

LIST_FILE = "publishers.json"
"""In the data folder; none: there is the default publisher alone."""


class Publisher(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """An outside service that publishes tasks."""

    name: str
    """Its own name, also on NATS; several may publish for one user."""
    user: str
    """As whom it publishes."""
    made: str = ""
    """Another one whenever its password is."""


DEFAULT_PUBLISHER = Publisher("publisher", "publisher")
