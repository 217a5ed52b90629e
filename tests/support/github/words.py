"""What the parts of the stand-in say to one another."""

from __future__ import annotations

from typing import Any

Answer = tuple[int, Any, dict[str, str]]
"""Status, body, headers."""


class Refused(Exception):
    """An answer that failed."""

    def __init__(self, status: int, message: str, **more: Any) -> None:
        super().__init__(message)
        self.status, self.message, self.more = status, message, more
