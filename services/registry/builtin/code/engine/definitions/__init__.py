"""Which nodes of each grammar define something, and how its name is found: written by us."""

from __future__ import annotations
