"""httpx without its own command line, whose import costs as much as all the rest of it.

It leaves that out where click is not to be had. Nothing here uses it.
"""

from __future__ import annotations

import sys

_click = sys.modules.get("click")
sys.modules["click"] = None  # type: ignore[assignment]
try:
    import httpx
finally:
    del sys.modules["click"]
    if _click is not None:
        sys.modules["click"] = _click

__all__ = ["httpx"]
