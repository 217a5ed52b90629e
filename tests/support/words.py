"""Every place in the facts where one of several words stands, found in the contracts themselves."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import msgspec
from msgspec import inspect

from contracts import subjects
from contracts.facts import AnyFact, Unknown, decode

WORD = "of_tomorrow"
USER = "ann"
Step = str | int
"""The name of a field, or 0 for what is in a list."""


class Place(NamedTuple):
    """One place, and a fact that has a word there which this release does not know."""

    name: str
    """Of the fact, and the way to the word."""
    newer: dict[str, Any]
    before: dict[str, Any]
    """The same fact with a word that is known."""

    @property
    def type(self) -> str:
        return str(self.before["type"])


def places() -> list[Place]:
    """All of them: enumerations, literals, tags of unions, and the fields of closed structs."""
    every = inspect.type_info(AnyFact)
    assert isinstance(every, inspect.UnionType)
    found = []
    for fact in every.types:
        assert isinstance(fact, inspect.StructType)
        for way, word in _ways(fact, ()):
            before, newer = _sample(fact, way), _sample(fact, way)
            _put(newer, way, word)
            name = ".".join(str(step) for step in way if step != 0)
            found.append(Place(f"{fact.tag}:{name}", newer, before))
    return found


class Case(NamedTuple):
    """One of the places, in a fact about a task and a host of its own."""

    place: Place
    task: str
    host: str
    subject: str
    data: bytes

    @property
    def key(self) -> str:
        return f"{USER}.{self.task}"


def _ways(of: inspect.Type, way: tuple[Step, ...]) -> Iterator[tuple[tuple[Step, ...], Any]]:
    """The ways to all words in a type, and what a newer release writes there."""
    match of:
        case inspect.EnumType() | inspect.LiteralType():
            yield way, WORD
        case inspect.StructType():
            if of.tag is not None:
                yield (*way, of.tag_field or "type"), WORD
            if of.forbid_unknown_fields:
                yield (*way, WORD), True
            for field in of.fields:
                yield from _ways(field.type, (*way, field.encode_name))
        case inspect.UnionType():
            for one in of.types:
                branch = (*way, f"<{one.tag}>") if isinstance(one, inspect.StructType) else way
                yield from _ways(one, branch)
        case inspect.VarTupleType() | inspect.ListType():
            yield from _ways(of.item_type, (*way, 0))
        case inspect.DictType():
            yield from _ways(of.value_type, (*way, "any"))
        case inspect.Metadata():
            yield from _ways(of.type, way)
        case _:
            pass


def _sample(of: inspect.Type, way: tuple[Step, ...]) -> Any:
    """The least value of a type that has something at the end of the way."""
    match of:
        case inspect.StructType():
            found: dict[str, Any] = {}
            if of.tag is not None:
                found[of.tag_field or "type"] = of.tag
            for field in of.fields:
                onward = bool(way) and way[0] == field.encode_name
                if field.required or onward:
                    found[field.encode_name] = _sample(field.type, way[1:] if onward else ())
            return found
        case inspect.UnionType():
            return _sample(*_branch(of, way))
        case inspect.VarTupleType() | inspect.ListType():
            return [_sample(of.item_type, way[1:])] if way else []
        case inspect.DictType():
            return {"any": _sample(of.value_type, way[1:])} if way else {}
        case inspect.Metadata():
            return _sample(of.type, way)
        case _:
            return _plain(of)


def _branch(of: inspect.UnionType, way: tuple[Step, ...]) -> tuple[inspect.Type, tuple[Step, ...]]:
    structs = [one for one in of.types if isinstance(one, inspect.StructType)]
    for one in structs:
        if way and way[0] == f"<{one.tag}>":
            return one, way[1:]
    return (structs or [one for one in of.types if not isinstance(one, inspect.NoneType)])[0], ()


def _plain(of: inspect.Type) -> Any:
    match of:
        case inspect.EnumType():
            return next(iter(of.cls)).value
        case inspect.LiteralType():
            return of.values[0]
        case inspect.StrType():
            return "x" * (of.min_length or 1)
        case inspect.IntType() | inspect.FloatType():
            return of.ge if of.ge is not None else 1
        case inspect.BoolType():
            return True
        case _:
            return {}


def _put(into: Any, way: tuple[Step, ...], word: Any) -> None:
    *before, last = [step for step in way if not (isinstance(step, str) and step[:1] == "<")]
    for step in before:
        into = into[step]
    into[last] = word


def _case(place: Place, number: int) -> Case:
    task, host = f"t{number}", f"h{number}"
    k = 2 if place.type in ("mcp.registered", "mcp.health") else 1
    about = {"user": USER, "task": task, "host": host, "attempt": 1, "k": k, "term": number}
    about |= {"operation": f"o{number}"}
    own = {name: value for name, value in about.items() if name in place.before}
    known = decode(msgspec.json.encode(place.before | own))
    assert not isinstance(known, Unknown), (place.name, known.why)
    newer = msgspec.json.encode(place.newer | own)
    return Case(place, task, host, subjects.of(known), newer)


CASES = [_case(place, number) for number, place in enumerate(places(), 1)]
