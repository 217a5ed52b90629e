"""The words of a text, as tools are searched by them. Pure."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

MOST_WORDS = 16
"""Words of a question that count."""
MOST_TEXT = 4_000
"""Characters of one text of a tool by which it is found."""
_DEPTH = 4
_CAMEL = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")
_WORD = re.compile(r"[^\W_]+")
_IDLE = frozenset(
    "a about all am an and any are as at be been by can could did do does for from had has have he"
    " how i if in into is it its me my no not of on one or our please should so some that the their"
    " them there these they this those to up us want was we were what when where which who why will"
    " with would you your need every tool".split()
)
"""Words that say nothing of what is looked for."""
_ALIKE = (
    "create, add, new, make, insert, open, put, file",
    "delete, remove, erase, drop, clear, purge, clean",
    "list, show, all, see, view",
    "get, fetch, read, retrieve, look, download",
    "find, search, query, locate, about",
    "send, post, write, message, tell, notify",
    "update, edit, change, modify, set",
    "reply, answer, respond",
    "start, run, execute, launch, begin",
    "stop, end, cancel, close, quit",
    "done, status, state, finish, finished, complete, resolve",
    "which, list, show",
    "how many, count, number, size",
    "todo, task, tasks",
    "remember, memory, note, knowledge",
    "warning, alert, alarm",
    "room, area",
    "folder, directory",
    "picture, image, photo",
    "mail, email",
    "ticket, issue, bug, report, problem",
    "page, website, web, url, site",
    "log, output, print, console",
    "access, permission, share",
    "person, user, somebody, people, member",
    "drive, travel, directions, route",
    "hours, time",
    "pay, money, payment",
    "money back, refund",
    "meeting, event, appointment",
    "song, track, music",
)
"""By line, words by which people and servers call the same."""
_SHORT: Mapping[str, str] = {
    "pr": "pull request",
    "mr": "merge request",
    "dm": "direct message",
    "repo": "repository",
    "db": "database",
    "k8s": "kubernetes",
    "docs": "documentation",
}
_LINES = [line.split(", ") for line in _ALIKE]
_ALIKE_BY: Mapping[str, tuple[str, ...]] = {
    word: tuple(other for line in _LINES if word in line for other in line if other != word)
    for word in {word for line in _LINES for word in line}
}


class Notion(NamedTuple):
    """One thing that a question is about; a tool is about it by the word that fits it best."""

    words: tuple[str, ...]
    alike: tuple[str, ...]
    """Others that may stand for it."""


def split(text: str) -> str:
    """A text whose names are words: `getFile`, `get_file` and `get-file` are two."""
    return _CAMEL.sub(" ", text[:MOST_TEXT]).replace("_", " ").replace("-", " ")


def asked(text: str) -> list[Notion]:
    """What a question is about."""
    every = [word.lower() for word in _WORD.findall(split(text))][:MOST_WORDS]
    idle = _IDLE if set(every) - _IDLE else frozenset()
    found: list[Notion] = []
    for word in dict.fromkeys(every):
        exact = () if word in idle else (word, *filter(None, (_SHORT.get(word),)))
        same = next((n for n, one in enumerate(found) if word in one.alike), None)
        if same is None:
            found.append(Notion(exact, _alike(word)))
        else:
            # Said twice, as in "create a new page".
            found[same] = Notion((*found[same].words, *exact), found[same].alike)
    for one, other in itertools.pairwise(every):
        # What is two words to some is one to others: on call, not staged.
        joined = f"un{other}" if one == "not" else one + other
        found.append(Notion((joined,), _alike(f"{one} {other}")))
    return [notion for notion in found if notion.words or notion.alike]


def _alike(word: str) -> tuple[str, ...]:
    return _ALIKE_BY.get(word) or _ALIKE_BY.get(word.removesuffix("s"), ())


def of_schema(schema: Mapping[str, Any]) -> str:
    """Names and descriptions of what a schema asks for."""
    return " ".join(_of_schema(schema, _DEPTH))[:MOST_TEXT]


def _of_schema(schema: Any, depth: int) -> Iterator[str]:
    if not isinstance(schema, Mapping) or not depth:
        return
    fields = schema.get("properties")
    for name, field in fields.items() if isinstance(fields, Mapping) else ():
        yield str(name)
        if isinstance(field, Mapping) and isinstance(said := field.get("description"), str):
            yield said
        yield from _of_schema(field, depth - 1)
    yield from _of_schema(schema.get("items"), depth - 1)
