"""h11, but of two readings of a request none is taken: a proxy in front may take the other one."""

from __future__ import annotations

from typing import Any

import h11
from h11._readers import ChunkedReader
from h11._receivebuffer import ReceiveBuffer
from h11._util import LocalProtocolError


class StrictConnection(h11.Connection):
    """Refuses lines that end in a bare LF, and a request that says its length in two ways."""

    def __init__(self, our_role: Any, max_incomplete_event_size: int) -> None:
        super().__init__(our_role, max_incomplete_event_size)
        self._receive_buffer = _StrictBuffer()

    def next_event(self) -> Any:
        """See `h11.Connection`. Raises RemoteProtocolError."""
        event = super().next_event()
        if type(event) is h11.Request and type(self._reader) is ChunkedReader:
            names = {name for name, _ in event.headers}
            if b"content-length" in names or event.http_version < b"1.1":
                raise h11.RemoteProtocolError("a length and a transfer coding")
        return event


class _StrictBuffer(ReceiveBuffer):
    _extracted = bytearray()

    def _extract(self, count: int) -> bytearray:
        self._extracted = super()._extract(count)
        return self._extracted

    def maybe_extract_lines(self) -> list[bytearray] | None:
        lines = super().maybe_extract_lines()
        if lines is not None and self._extracted.count(b"\n") != self._extracted.count(b"\r\n"):
            raise LocalProtocolError("a line that ends in a bare LF")
        return lines
