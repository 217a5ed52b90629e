"""What a tool answered, as people read it: chosen by the task's type and the answer's own shape.

An answer of another shape, of a host of somebody else say, stays JSON. Pure.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

from rich.console import RenderableType

from services.cli.show import findings, git, symbols
from services.cli.show.shape import Detail
from services.cli.show.tasks import unwrap

Renderer: TypeAlias = Callable[[Mapping[str, Any], Detail], RenderableType | None]
"""None: the answer has another shape."""
RENDERERS: dict[str, Renderer] = {
    "security_scan": findings.scan,
    "vulnerability_analysis": findings.weaknesses,
    "code_analysis": symbols.analysis,
    "code_search": symbols.matches,
    "git_log": git.log,
    "git_status": git.status,
}


def answer(task_type: str, value: Any, view: Detail) -> RenderableType | None:
    """A result as tables; None: there are none for it."""
    renderer = RENDERERS.get(task_type)
    found = unwrap(value)
    if renderer is None or not isinstance(found, Mapping):
        return None
    try:
        return renderer(found, view)
    except (TypeError, ValueError, KeyError, AttributeError):
        # Whoever serves the type may answer what they like: their words are shown as they are.
        return None
