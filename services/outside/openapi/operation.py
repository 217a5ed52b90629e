"""What is known of one operation: how its tool's arguments become a request.

It stands in the tool's `_meta` in the log, so a call needs no document.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

import msgspec

from contracts.host import Tool

META = "metamcp/openapi"
"""Key of an operation in its tool's `_meta`."""
Place = Literal["path", "query", "header", "cookie"]
STYLES: dict[str, tuple[str, ...]] = {
    "path": ("simple",),
    "query": ("form", "deepObject", "spaceDelimited", "pipeDelimited"),
    "header": ("simple",),
    "cookie": ("form",),
}
"""By place, the styles that are known; the first is the default."""


class Parameter(msgspec.Struct, frozen=True, omit_defaults=True):
    """One parameter, and the argument it is taken from."""

    name: str
    place: Place
    argument: str = ""
    """Empty: the argument has its name."""
    style: str = ""
    """Empty: the default of its place."""
    explode: bool = False
    required: bool = False
    json: bool = False
    """It is sent as JSON, whatever its style."""
    reserved: bool = False
    """Characters such as `/` stand in a query as they are."""


class Scheme(msgspec.Struct, frozen=True, omit_defaults=True):
    """A security scheme: where its secret goes."""

    name: str
    """In the document; the endpoint names a secret for it."""
    kind: Literal["key", "bearer", "basic"]
    place: str = ""
    """Of a key: `header`, `query` or `cookie`."""
    key: str = ""
    """Name of that header, query parameter or cookie."""


class ApiOperation(msgspec.Struct, frozen=True, omit_defaults=True):
    """A method of a path."""

    method: str
    path: str
    parameters: tuple[Parameter, ...] = ()
    body: str = ""
    """Media type of the body; empty: it has none."""
    body_argument: str = "body"
    body_required: bool = False
    files: tuple[str, ...] = ()
    """Fields of a form that are files: their bytes in base64."""
    security: tuple[tuple[Scheme, ...], ...] = ()
    """Any one of these combinations lets a call in; none: nothing is asked for."""


class BadArguments(Exception):
    """The arguments are none for this operation; the message says which."""


def of_tool(tools: Iterable[Tool], name: str) -> ApiOperation | None:
    """The operation of the tool of this name."""
    for tool in tools:
        if tool.name == name and tool.meta is not None and META in tool.meta:
            return msgspec.convert(tool.meta[META], ApiOperation)
    return None
