"""Pages shown to whoever sits before a screen; a browser in the terminal is none."""

from __future__ import annotations

import os
import sys
import webbrowser
from html import escape
from pathlib import Path

from services.process.files import write_private


def on_a_screen() -> bool:
    """Whether a page that is opened is seen by whoever gave the command."""
    screen = sys.platform in ("darwin", "win32") or any(
        os.environ.get(name) for name in ("DISPLAY", "WAYLAND_DISPLAY")
    )
    return screen and sys.stderr.isatty()


def open_page(url: str) -> bool:
    """Open a page in the browser; False: there is none."""
    return webbrowser.open(url)


def open_privately(url: str, file: Path) -> bool:
    """Open a page whose address is a secret; False: there is no browser.

    All users of a machine see how its programs were called: the browser is given a file that its
    owner alone can read, and goes on from there. Raises OSError.
    """
    file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    write_private(file, _onward(url))
    return open_page(file.resolve().as_uri())


def _onward(url: str) -> bytes:
    to = escape(url)
    text = (
        '<!doctype html><html lang="en"><head><meta charset="utf-8"><title>MetaMCP</title>'
        f'<meta name="referrer" content="no-referrer"><meta http-equiv="refresh" content="0;'
        f'url={to}"></head><body><p><a href="{to}">Go on to the console</a></p></body></html>\n'
    )
    return text.encode()
