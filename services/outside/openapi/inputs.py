"""What an operation takes: its parameters, its body, and the one schema of a tool's arguments.

Pure.
"""

from __future__ import annotations

import re
from typing import Any, NamedTuple

from services.outside.openapi.operation import STYLES, Parameter
from services.outside.openapi.schema import NodeBudget, ToolSchemas, plain, resolved

MOST_PARAMETERS = 200
ALL_PARAMETERS = 50_000
"""Of all operations of a document."""
_IGNORED_HEADERS = frozenset({"accept", "content-type", "authorization"})
OWN_HEADERS = frozenset(
    "host connection content-length transfer-encoding te trailer upgrade keep-alive expect cookie"
    " proxy-authorization accept-encoding content-encoding".split()
)
TOKEN = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,128}")
_ARGUMENT = re.compile(r"[^A-Za-z0-9_.-]+")
_IN_PATH = re.compile(r"\{([^{}]*)\}")
FORM, MULTIPART = "application/x-www-form-urlencoded", "multipart/form-data"


class Budgets(NamedTuple):
    """What may be made of one document."""

    inputs: NodeBudget
    answers: NodeBudget
    parameters: NodeBudget


class Unusable(Exception):
    """The operation can't be called; the message says why."""


class Inputs:
    """The inputs of one operation."""

    def __init__(
        self,
        document: dict[str, Any],
        path: str,
        item: dict[str, Any],
        operation: dict[str, Any],
        budgets: Budgets,
    ) -> None:
        """Raises Unusable."""
        self._document = document
        self._budgets = budgets
        self._schemas = ToolSchemas(document, "readOnly", budgets.inputs)
        self._properties: dict[str, Any] = {}
        self._required: list[str] = []
        self.parameters = self._parameters(path, item, operation)
        self.body: dict[str, Any] = self._body(operation)

    def schema(self) -> dict[str, Any]:
        """The schema of the arguments."""
        made: dict[str, Any] = {"type": "object", "properties": self._properties}
        if self._required:
            made["required"] = self._required
        made["additionalProperties"] = False
        if definitions := self._schemas.definitions():
            made["$defs"] = definitions
        return made

    def _parameters(
        self, path: str, item: dict[str, Any], operation: dict[str, Any]
    ) -> tuple[Parameter, ...]:
        found: dict[tuple[str, str], dict[str, Any]] = {}
        for listed in (item.get("parameters"), operation.get("parameters")):
            for value in listed[: MOST_PARAMETERS + 1] if isinstance(listed, list) else ():
                one = resolved(self._document, value)
                name, place = one.get("name", ""), one.get("in", "")
                texts = isinstance(name, str) and isinstance(place, str)
                if not texts or not name or place not in STYLES:
                    raise Unusable("one of its parameters has no name or no place")
                if place != "header" or name.lower() not in _IGNORED_HEADERS:
                    found[name, place] = one
        self._budgets.parameters.left -= len(found)
        if len(found) > MOST_PARAMETERS or self._budgets.parameters.left < 0:
            raise Unusable(
                f"it has more than {MOST_PARAMETERS} parameters, or the document more than"
                f" {ALL_PARAMETERS}"
            )
        in_path = set(_IN_PATH.findall(path))
        if missing := in_path - {name for name, place in found if place == "path"}:
            raise Unusable(f"its path names {plain(min(missing), 40)!r}, which is no parameter")
        return tuple(
            self._parameter(name, place, one)
            for (name, place), one in found.items()
            if place != "path" or name in in_path
        )

    def _parameter(self, name: str, place: Any, raw: dict[str, Any]) -> Parameter:
        if place in ("header", "cookie") and not TOKEN.fullmatch(name):
            raise Unusable(f"the {place} {plain(name, 40)!r} has no name that can be sent")
        if place == "header" and name.lower() in OWN_HEADERS:
            raise Unusable(f"the header {name} is the client's own")
        content, schema = raw.get("content"), raw.get("schema")
        as_json = isinstance(content, dict) and bool(content)
        if as_json:
            assert isinstance(content, dict)
            schema = resolved(self._document, next(iter(content.values()))).get("schema")
        style = raw.get("style", STYLES[place][0])
        if not as_json and style not in STYLES[place]:
            raise Unusable(f"{plain(name, 40)!r} has the style {plain(str(style), 20)!r}")
        made = self._schemas.of(schema if schema is not None else {})
        if isinstance(made, dict) and (text := plain(raw.get("description"), 500)):
            # Beside a reference it counts as well: this is JSON Schema by now.
            made = {**made, "description": text}
        required = place == "path" or raw.get("required") is True
        argument = self._argument(name, place, made, required=required)
        explode = raw.get("explode")
        return Parameter(
            name,
            place,
            argument if argument != name else "",
            style if style != STYLES[place][0] else "",
            explode if isinstance(explode, bool) else style in ("form", "deepObject"),
            required,
            as_json,
            raw.get("allowReserved") is True,
        )

    def _argument(self, name: str, place: str, schema: Any, *, required: bool) -> str:
        """Take the argument up under a name that is free."""
        # Some models' makers take such names only.
        fit = _ARGUMENT.sub("_", name).strip("_")[:64] or place
        argument = fit if fit not in self._properties else f"{place}_{fit}"
        while argument in self._properties:
            argument += "_"
        self._properties[argument] = schema
        if required:
            self._required.append(argument)
        return argument

    def _body(self, operation: dict[str, Any]) -> dict[str, Any]:
        raw = resolved(self._document, operation.get("requestBody"))
        content = raw.get("content")
        if not isinstance(content, dict) or not content:
            return {}
        media = min(content, key=_rank)
        schema = resolved(self._document, content[media]).get("schema")
        sent = _sent(str(media))
        if sent in (FORM, MULTIPART) or _is_json(sent):
            made = self._schemas.of(schema if schema is not None else {})
        elif sent.startswith("text/") or sent.endswith("xml"):
            made = {"type": "string"}
        else:
            made = {"type": "string", "contentEncoding": "base64"}
        text = plain(raw.get("description"), 500)
        if text and isinstance(made, dict):
            made = {**made, "description": text}
        required = raw.get("required") is True
        argument = self._argument("body", "request", made, required=required)
        return {
            "body": sent,
            "body_argument": argument,
            "body_required": required,
            "files": self._files(schema) if sent == MULTIPART else (),
        }

    def _files(self, schema: Any) -> tuple[str, ...]:
        properties = resolved(self._document, schema).get("properties")
        found = []
        for name, value in properties.items() if isinstance(properties, dict) else ():
            one = resolved(self._document, value)
            if one.get("type") == "array":
                one = resolved(self._document, one.get("items"))
            encoded = one.get("contentMediaType") and one.get("type", "string") == "string"
            if one.get("format") == "binary" or encoded:
                found.append(name)
        return tuple(found)


def _is_json(media: str) -> bool:
    return media == "application/json" or media.endswith("+json")


def _sent(media: str) -> str:
    """The media type that is sent, lower case and without parameters. Raises Unusable."""
    bare = media.partition(";")[0].strip().lower()
    if bare in ("*/*", "application/*"):
        return "application/json"
    if bare == "text/*":
        return "text/plain"
    kind, _, sub = bare.partition("/")
    if not (TOKEN.fullmatch(kind) and TOKEN.fullmatch(sub)):
        raise Unusable(f"its body has the media type {plain(media, 40)!r}")
    return "application/octet-stream" if "*" in bare else bare


def _rank(media: Any) -> int:
    bare = str(media).partition(";")[0].strip().lower()
    if _is_json(bare) or bare in ("*/*", "application/*"):
        return 0
    order = (FORM, MULTIPART)
    if bare in order:
        return 1 + order.index(bare)
    return 3 if bare.startswith("text/") else 4
