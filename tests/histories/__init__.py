"""What earlier releases have written and could read: golden logs and frozen contracts."""

from __future__ import annotations
