"""One spelling for each path, so that a proxy's rule for it holds for all that gets there.

Pure: no clock, no randomness, no I/O.
"""

from __future__ import annotations

import re
from urllib.parse import quote, unquote_to_bytes

_PLAIN = "!$&'()*+,;=:@/"
"""What RFC 3986 (3.3) lets stand in a path as it is, besides letters, digits and `-._~`."""
_ESCAPE = re.compile(rb"%[0-9a-fA-F]{2}")
_ODD = re.compile(rb"//|/\.{1,2}(?:/|$)|\\|%5[cC]|[^/]/$")


def is_canonical(raw: bytes) -> bool:
    """Whether this path, as it was sent, has no second spelling.

    That is: no empty segment, no dot segment, no slash at the end, no backslash, and nothing
    escaped that need not be (so no `%2f` either: unescaped, it is another path).
    """
    if not raw.startswith(b"/") or _ODD.search(raw):
        return False
    if b"%" not in raw:
        return True
    again = quote(unquote_to_bytes(raw), _PLAIN).encode()
    return again == _ESCAPE.sub(lambda found: found[0].upper(), raw)
