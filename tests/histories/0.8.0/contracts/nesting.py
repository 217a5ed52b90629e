"""How deep JSON is nested: what is too deep for one reader's stack must never become a fact.

A fact can't be taken back, and decoders recurse; so every door refuses what passes `MAX_DEPTH`.
"""

from __future__ import annotations

import itertools

MAX_DEPTH = 64
"""Arrays and objects inside each other."""
_NO_BRACKETS = bytes(set(range(256)) - set(b"[]{}"))
_STEPS = {ord("["): 1, ord("{"): 1, ord("]"): -1, ord("}"): -1}


def too_deep(data: bytes, limit: int = MAX_DEPTH) -> bool:
    """Tell whether JSON is nested deeper than `limit`, without decoding it, in linear time.

    Exact for JSON; for anything else it is exact up to where a decoder would stop.
    """
    if data.count(b"[") + data.count(b"{") <= limit:
        return False
    # With escapes gone, every second piece between quotes is a string.
    plain = data.replace(b"\\\\", b"").replace(b'\\"', b"").split(b'"')[::2]
    brackets = b"".join(plain).translate(None, _NO_BRACKETS)
    steps = map(_STEPS.__getitem__, brackets)
    return max(itertools.accumulate(steps), default=0) > limit
