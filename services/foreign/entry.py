"""What can't become a host."""

from __future__ import annotations


class BadEntry(Exception):
    """What can't become a host; the message says why and what to do."""
