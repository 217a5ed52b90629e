"""Text from strangers, made fit for a terminal: what plays with it is shown as an escape."""

from __future__ import annotations

import json
import re

# All but the tab that moves the cursor, hides text or turns it round.
_MARKS = "\x7f-\x9f\xad\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\U000e0000-\U000e007f"
_UNSEEN = re.compile(f"[\x00-\x08\x0a-\x1f{_MARKS}]")
_UNSEEN_IN_JSON = re.compile(f"[{_MARKS}]")


def visible(text: str) -> str:
    """The text in one line, each such character as `\\x1b` or `\\u202e`."""
    return _UNSEEN.sub(_escape, text)


def visible_json(text: str) -> str:
    """The same JSON: there, what is below the space is escaped already."""
    return _UNSEEN_IN_JSON.sub(lambda found: json.dumps(found[0])[1:-1], text)


def _escape(found: re.Match[str]) -> str:
    code = ord(found[0])
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}"
