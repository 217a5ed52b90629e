"""The console's files: read once, served under a path that names their content, for ever cacheable.

A page that was loaded before an upgrade has all of its modules already: the shell names each.
"""

from __future__ import annotations

import functools
import gzip
import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

WEB = Path(__file__).parent / "web"
PATH = "/console/assets"
TYPES = {
    ".js": "text/javascript; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".svg": "image/svg+xml",
}
"""What is served; anything else in the folder is for whoever reads it there."""


class Asset(NamedTuple):
    """One file."""

    data: bytes
    packed: bytes
    """The same with gzip."""
    media_type: str


class Assets(NamedTuple):
    """All files, by their path below the folder."""

    version: str
    """Digest of all of them."""
    files: Mapping[str, Asset]

    def url(self, name: str) -> str:
        """Where a browser finds it."""
        return f"{PATH}/{self.version}/{name}"

    @property
    def modules(self) -> list[str]:
        """The modules, which a page loads side by side."""
        return self._named(".js")

    @property
    def styles(self) -> list[str]:
        """The style sheets, the base first."""
        return self._named(".css")

    def _named(self, ending: str) -> list[str]:
        return sorted(name for name in self.files if name.endswith(ending))


def is_file(path: str) -> bool:
    """Whether a path is that of a file here; they lie in memory and cost little."""
    return path.startswith(f"{PATH}/")


@functools.cache
def load() -> Assets:
    """Read them."""
    digest, files = hashlib.sha256(), {}
    for path in sorted(WEB.rglob("*")):
        if path.suffix not in TYPES:
            continue
        name, data = path.relative_to(WEB).as_posix(), path.read_bytes()
        digest.update(f"{name}\0{len(data)}\0".encode() + data)
        files[name] = Asset(data, gzip.compress(data, 9, mtime=0), TYPES[path.suffix])
    return Assets(digest.hexdigest()[:16], files)
