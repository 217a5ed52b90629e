"""Texts for people that stand in facts: bounded, with their beginning and their end."""

from __future__ import annotations

MESSAGE_BYTES = 4096
"""Longest message of a fact."""
_GAP = " … "
_HALF = (MESSAGE_BYTES - len(_GAP.encode())) // 2


def bounded(message: str) -> str:
    """Cut a message to what a fact may carry: of a long one the middle is left out.

    What a test runner or a compiler has to say stands at the end.
    """
    data = message.encode("utf-8", "replace")
    if len(data) <= MESSAGE_BYTES:
        return data.decode()
    return data[:_HALF].decode("utf-8", "ignore") + _GAP + data[-_HALF:].decode("utf-8", "ignore")
