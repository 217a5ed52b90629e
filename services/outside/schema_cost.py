"""How often a schema is gone through at one place of the data: references may multiply that.

Pure. `allOf` with two references to the next level is 2^n, and a circle that does so grows with the
data's depth. Here all the ways that a place can be come to are walked, each set of subschemas once.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterator
from typing import Any, NamedTuple, TypeAlias
from urllib.parse import unquote

MOST_NODES = 5_000
"""Subschemas in one schema."""
MOST_AT_ONCE = 2_000
"""Evaluations of subschemas at one place of the data."""
MOST_CHAIN = 100
"""Subschemas that lead from one to the next at the same place."""
MOST_STEPS = 300_000
"""Steps that finding this out may take."""

_LISTS = ("allOf", "anyOf", "oneOf")
_SINGLE = ("not", "if", "then", "else")
_MAPS = ("dependentSchemas", "dependencies")
_UNEVALUATED = ("unevaluatedProperties", "unevaluatedItems")
_ELSEWHERE = ("$dynamicRef", "$recursiveRef")

Node: TypeAlias = dict[str, Any]
Counts: TypeAlias = Counter[int]
"""How often each subschema, by its identity, is gone through."""


class Unjudged(Exception):
    """The schema may be fine, but judging it might take for ever: `path` in it, and why."""

    def __init__(self, path: str, why: str) -> None:
        super().__init__(f"{path}: {why}" if path else why)
        self.path = path
        self.why = why


def check(schema: Node, steps: int = MOST_STEPS) -> int:
    """Return the steps that it took, at most `steps`.

    Raises Unjudged for a schema whose judgement may take too long.
    """
    walk = _Walk(schema, steps)
    walk.run()
    return walk.steps


class _Below(NamedTuple):
    """What a subschema says about the parts of a value."""

    names: dict[str, int]
    """Properties that have a subschema of their own."""
    every_name: tuple[int, ...]
    """Subschemas that may go for any property."""
    other_names: tuple[int, ...]
    """… for those that `names` does not have."""
    first_items: tuple[int | None, ...]
    every_item: tuple[int, ...]
    other_items: tuple[int, ...]
    keys: tuple[int, ...]


class _Walk:
    def __init__(self, schema: Node, most: int) -> None:
        self._root = schema
        self._most = most
        self._ids: dict[str, Node] = {}
        self._nested = False
        """A part of it has an address of its own, so references may not mean what they seem to."""
        self._nodes: dict[int, Node] = {}
        self._closures: dict[int, Counts] = {}
        self._below: dict[int, _Below] = {}
        self.steps = 0
        self._name_parts(schema)

    def run(self) -> None:
        """Walk every way to a place of the data."""
        first = self._closure(self._node(self._root), 0)
        seen: set[frozenset[tuple[int, int]]] = set()
        waiting = deque([first])
        while waiting:
            state = waiting.popleft()
            key = frozenset(state.items())
            if key in seen:
                continue
            seen.add(key)
            self._measured(state)
            for after in self._after(state):
                if after:
                    waiting.append(self._closed(after))

    def _after(self, state: Counts) -> Iterator[Counts]:
        """What goes for each kind of part of a value that all these subschemas go for."""
        below = [(self._parts(node), count) for node, count in state.items()]
        for name in {None, *(name for one, _ in below for name in one.names)}:
            named: Counts = Counter()
            for one, count in below:
                own = name is not None and name in one.names
                targets = (one.names[name or ""],) if own else one.other_names
                self._add(named, (*targets, *one.every_name), count)
            yield named
        longest = max((len(one.first_items) for one, _ in below), default=0)
        for index in range(longest + 1):
            after: Counts = Counter()
            for one, count in below:
                first = one.first_items[index : index + 1]
                found = [node for node in first if node is not None]
                rest = () if first else one.other_items
                self._add(after, (*found, *rest, *one.every_item), count)
            yield after
        keys: Counts = Counter()
        for one, count in below:
            self._add(keys, one.keys, count)
        yield keys

    def _add(self, counts: Counts, nodes: tuple[int, ...], count: int) -> None:
        self._step(1 + len(nodes))
        for node in nodes:
            counts[node] += count

    def _closed(self, counts: Counts) -> Counts:
        """All that is gone through at a place for which these subschemas go."""
        whole: Counts = Counter()
        for node, count in counts.items():
            closure = self._closure(node, 0)
            self._step(len(closure))
            for inner, inner_count in closure.items():
                whole[inner] += inner_count * count
        return self._measured(whole)

    def _closure(self, node: int, chain: int) -> Counts:
        """What one subschema makes be gone through at its own place, itself included."""
        if (known := self._closures.get(node)) is not None:
            if not known:
                raise Unjudged("", "a reference leads back to itself without going deeper")
            return known
        if chain > MOST_CHAIN:
            raise Unjudged("", f"references lead on more than {MOST_CHAIN} times")
        self._closures[node] = Counter()
        counts: Counts = Counter({node: 1})
        schema = self._nodes[node]
        # What is left over can be known only by going through the others again.
        factor = 2 if any(name in schema for name in _UNEVALUATED) else 1
        for inner in self._beside(schema):
            closure = self._closure(inner, chain + 1)
            self._step(len(closure))
            for one, count in closure.items():
                counts[one] += count * factor
        self._closures[node] = self._measured(counts)
        return counts

    def _measured(self, counts: Counts) -> Counts:
        if counts.total() > MOST_AT_ONCE:
            why = f"references multiply: more than {MOST_AT_ONCE} checks at one place of the data"
            raise Unjudged("", why)
        return counts

    def _beside(self, schema: Node) -> Iterator[int]:
        """Subschemas that go for the same value."""
        for name in _ELSEWHERE:
            if name in schema:
                raise Unjudged("", f"it uses {name}")
        if isinstance(reference := schema.get("$ref"), str):
            yield from self._schema(self._target(reference))
        for name in _LISTS:
            if isinstance(found := schema.get(name), list):
                for one in found:
                    yield from self._schema(one)
        for name in _SINGLE:
            yield from self._schema(schema.get(name))
        for name in _MAPS:
            if isinstance(found := schema.get(name), dict):
                for one in found.values():
                    yield from self._schema(one)

    def _parts(self, node: int) -> _Below:
        if node not in self._below:
            self._below[node] = self._read(self._nodes[node])
        return self._below[node]

    def _read(self, schema: Node) -> _Below:
        properties, patterns = schema.get("properties"), schema.get("patternProperties")
        names = {
            name: found
            for name, one in (properties if isinstance(properties, dict) else {}).items()
            for found in self._schema(one)
        }
        every = patterns.values() if isinstance(patterns, dict) else ()
        items = schema.get("items")
        first = items if isinstance(items, list) else schema.get("prefixItems")
        rest = schema.get("additionalItems") if isinstance(items, list) else items
        return _Below(
            names,
            tuple(found for one in every for found in self._schema(one))
            + tuple(self._schema(schema.get("unevaluatedProperties"))),
            tuple(self._schema(schema.get("additionalProperties"))),
            tuple(next(self._schema(one), None) for one in first)
            if isinstance(first, list)
            else (),
            tuple(self._schema(schema.get("contains")))
            + tuple(self._schema(schema.get("unevaluatedItems"))),
            tuple(self._schema(rest)),
            tuple(self._schema(schema.get("propertyNames"))),
        )

    def _schema(self, value: Any) -> Iterator[int]:
        if isinstance(value, dict):
            yield self._node(value)

    def _node(self, schema: Node) -> int:
        if id(schema) not in self._nodes:
            self._nodes[id(schema)] = schema
            if len(self._nodes) > MOST_NODES:
                raise Unjudged("", f"it has more than {MOST_NODES} subschemas")
        return id(schema)

    def _step(self, count: int) -> None:
        self.steps += count
        if self.steps > self._most:
            raise Unjudged("", "it is too involved")

    def _target(self, reference: str) -> Any:
        """What a `$ref` of this document leads to."""
        if self._nested:
            raise Unjudged("", "it has both `$ref` and a part with an `$id` of its own")
        own = str(self._root.get("$id", self._root.get("id", ""))).rstrip("#")
        inner = reference.removeprefix(own) if own and reference.startswith(own) else reference
        if inner in ("", "#"):
            return self._root
        if not inner.startswith("#"):
            raise Unjudged("", f"{reference[:200]!r} is elsewhere, and nothing is fetched")
        if not inner.startswith("#/"):
            return self._ids.get(inner[1:])
        found: Any = self._root
        for part in unquote(inner[2:]).split("/"):
            found = _inside(found, part.replace("~1", "/").replace("~0", "~"))
        return found

    def _name_parts(self, value: Any) -> None:
        """Note the parts that have names."""
        if isinstance(value, list):
            for item in value:
                self._name_parts(item)
        if not isinstance(value, dict):
            return
        for key in ("$anchor", "$id"):
            if not isinstance(name := value.get(key), str):
                continue
            if key == "$anchor" or name.startswith("#"):
                self._ids[name.removeprefix("#")] = value
            elif value is not self._root:
                self._nested = True
        if "draft-04" in str(self._root.get("$schema", "")) and isinstance(value.get("id"), str):
            self._nested = self._nested or value is not self._root
        for item in value.values():
            self._name_parts(item)


def _inside(value: Any, part: str) -> Any:
    if isinstance(value, dict):
        return value.get(part)
    if isinstance(value, list) and part.isascii() and part.isdigit() and int(part) < len(value):
        return value[int(part)]
    return None
