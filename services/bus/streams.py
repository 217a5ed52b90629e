"""The configuration of a stream or consumer as this release wants it, beside the one that is there.

Pure. A newer release may have been there before: it has more subjects, settings of its own, more
room. What it has added stays; what makes the stream what it is has to be as wanted.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

SUBJECTS = frozenset({"subjects", "filter_subjects"})
MORE = frozenset({"num_replicas", "max_msg_size"})
"""What may be more than is wanted."""


def difference(
    wanted: Mapping[str, Any], found: Mapping[str, Any], more: frozenset[str] = MORE
) -> list[str]:
    """Return a line for each setting that is not as wanted; what is there besides does not count.

    `more`: numbers that may be larger.
    """
    lines = []
    for name, value in wanted.items():
        have = found.get(name, type(value)())
        if isinstance(value, Mapping):
            lines += [f"{name}.{line}" for line in difference(value, have or {}, more)]
        elif name in SUBJECTS:
            if lacking := [one for one in value if one not in (have or ())]:
                lines.append(f"{name} lack {', '.join(lacking)}")
        elif isinstance(value, list) and isinstance(have, list):
            if sorted(value) != sorted(have):
                lines.append(f"{name} are {have}, not {value}")
        elif have != value and not (name in more and _more(have, value)):
            lines.append(f"{name} is {have!r}, not {value!r}")
    return lines


def laid_over(
    wanted: Mapping[str, Any], found: Mapping[str, Any], more: frozenset[str] = MORE
) -> dict[str, Any]:
    """Return what is wanted, with all that is there besides: nothing is taken away."""
    laid = dict(found)
    for name, value in wanted.items():
        have = found.get(name)
        if isinstance(value, Mapping):
            laid[name] = laid_over(value, have or {}, more)
        elif name in SUBJECTS:
            laid[name] = list(dict.fromkeys([*value, *(have or ())]))
        elif not (name in more and _more(have, value)):
            laid[name] = value
    return laid


def _more(have: object, value: int) -> bool:
    """Whether it is more; a limit that is not positive is none."""
    return isinstance(have, int) and (have > value or have <= 0)
