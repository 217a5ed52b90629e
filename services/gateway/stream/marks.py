"""What a cursor proves its past with: the mark of the fact that it stands at.

A restored log that has grown since has other facts at the same sequences, and the same epoch.
"""

from __future__ import annotations

import hashlib

_DIGITS = 12


def mark_of(seq: int, name: str) -> str:
    """The mark of the fact of this name (`log.port.name_of`) at this sequence; without, none.

    The same at every gateway. It is a part of a digest of the fact's id alone, which whoever was
    shown the fact knows and nobody else can guess (UUIDv7): so the mark of somebody else's fact
    says nothing of it, and that of one whose result is hidden nothing of the result.
    """
    if not name:
        return ""
    return hashlib.sha256(b"%d %b" % (seq, name.encode())).hexdigest()[:_DIGITS]
