"""Tags of tasks: what people call them by, in lists. A fact like those in `contracts.facts`."""

from __future__ import annotations

from typing import Annotated, TypeAlias

import msgspec

from contracts.fact import Fact

MOST_TAGS = 16
"""Of one task."""
TAG_CHARS = 256
"""Of a tag's value."""

TagKey = Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z0-9_.-]{1,64}(?![\s\S])")]
TagValue = Annotated[str, msgspec.Meta(max_length=TAG_CHARS)]
Tags: TypeAlias = Annotated[dict[TagKey, TagValue], msgspec.Meta(max_length=MOST_TAGS)]


class TaskTagged(Fact, frozen=True, kw_only=True, tag="task.tagged", gc=False):
    """A task has other tags from here on, also after its end; nothing else of it changes."""

    user: str
    task: str
    k: int
    """Counts the changes of this task's tags up from 1."""
    tags: Tags = msgspec.field(default_factory=dict)
    """All that it has now; those it was created with stand in its `spec`."""
    tagged_by: str = ""
    """The user who did it."""
    authority: str = ""
    """With what, as `asked_by` of `task.created`."""
