"""What commands about people share."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from services.cli.common import CliError, Exit
from services.cli.show.tasks import plain

SHORT = 12
"""Characters of a digest that tables show: enough to tell it from others."""


def one_of(found: Sequence[Any], field: str, text: str, command: str) -> Any:
    """The one of a list whose field is or begins with a text. Raises CliError.

    `command` lists them.
    """
    chosen = [one for one in found if text and str(one[field]).startswith(text)]
    if len(chosen) == 1:
        return chosen[0]
    hint = f"See `{command}`."
    if not chosen:
        raise CliError(Exit.REFUSED, f"There is no {plain(text, 70)} among them.", hint)
    raise CliError(Exit.USAGE, f"{len(chosen)} begin with {plain(text, 70)}: say more.", hint)


def day(at: float) -> str:
    """A moment as people read it."""
    return datetime.fromtimestamp(at, UTC).astimezone().isoformat(" ", "minutes")
