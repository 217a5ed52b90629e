"""What a tool answered to a probe, read as the executor reads the answers of calls."""

from __future__ import annotations

from typing import Any, NamedTuple

from services.outside.mcp_errors import decoded
from services.outside.mcp_reading import ToolAnswer


class ProbeAnswer(NamedTuple):
    """A tool's answer."""

    content: list[Any]
    structured: Any
    is_error: bool

    def text(self) -> str:
        """Its texts, or what else it says."""
        items = [item for item in self.content if isinstance(item, dict)]
        texts = [str(item.get("text", "")) for item in items if item.get("type") == "text"]
        if any(texts) or self.structured is None:
            return " ".join(texts)
        return str(self.structured)


class LastAnswer:
    """The last answer of a tool in one session: a probe makes one call at a time."""

    def __init__(self) -> None:
        self._last = ProbeAnswer([], None, True)

    def keep(self, answer: ToolAnswer) -> str:
        """See `mcp_reading.Results`."""
        content, structured = decoded(answer.content), decoded(answer.structured)
        self._last = ProbeAnswer(content, structured, answer.is_error)
        return "last"

    def take(self) -> ProbeAnswer:
        """Give it."""
        return self._last
