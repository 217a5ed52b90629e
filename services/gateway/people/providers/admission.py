"""Whether somebody new comes in, how they are called here, and where they may go next. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator
from urllib.parse import urlsplit

from contracts.errors import Reason, Rejected
from services.gateway.people.providers.base import Stranger
from services.gateway.people.providers.settings import SignInSettings

LONGEST_NAME = 48
MOST_NUMBERED = 20
LONGEST_NEXT = 1024
_UNFIT = re.compile(r"[^a-z0-9_-]+")


def admitted(who: Stranger, settings: SignInSettings) -> str:
    """Why somebody new stays outside; empty: they come in."""
    match settings.admit_new_people:
        case "all":
            return ""
        case "domains":
            wanted = {one.lower().lstrip("@") for one in settings.admit_domains}
            theirs = {one.rpartition("@")[2].lower() for one in who.emails if "@" in one}
            if wanted & theirs:
                return ""
            return "no e-mail address that you have verified there is of a domain that may come in"
        case "organizations":
            wanted = {one.lower() for one in settings.admit_organizations}
            if wanted & {one.lower() for one in who.organizations}:
                return ""
            return "you are in no organization there that may come in"
        case _:
            return "new people need an account first: ask an administrator of this server for one"


def names(login: str, random: str) -> Iterator[str]:
    """Names for a new user, best first; the last has `random` in it, which nobody else has."""
    name = _UNFIT.sub("-", login.lower()).strip("-")[:LONGEST_NAME].strip("-") or "user"
    yield name
    for number in range(2, MOST_NUMBERED + 1):
        yield f"{name}-{number}"
    yield f"{name}-{random}"


def path_of_ours(next_: str) -> str:
    """Where to send a browser after the sign-in. Raises Rejected(BAD_REQUEST) for anywhere else."""
    plain = next_.isascii() and next_.isprintable() and " " not in next_ and "\\" not in next_
    try:
        parts = urlsplit(next_)
    except ValueError:
        plain = False
    else:
        plain = plain and not parts.scheme and not parts.netloc
    # Browsers read `//x`, and some `/\x`, as another host.
    if not plain or not re.match(r"/(?!/)", next_) or len(next_) > LONGEST_NEXT:
        text = "next: expected a path of this server, such as /api/docs"
        raise Rejected(Reason.BAD_REQUEST, text)
    return next_
