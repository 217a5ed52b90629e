"""Errors of JSON-RPC that hosts answer with, as texts of facts: executors write them, doors read.

What is stored is a text for people. Here is its one form, so that programs may be told it as well.
"""

from __future__ import annotations

import re
from typing import Any, NamedTuple

import msgspec

MISSING_CAPABILITY = -32021
"""The host needs a capability that a client of MCP has to declare."""
_LONGEST = 1024
"""Bytes of what a host says it needs."""
_FORM = re.compile(
    r"JSON-RPC error (-?\d{1,15})(?: \(missing client capabilities: (\{.*?\})\))?: (.*)", re.DOTALL
)


class RpcError(NamedTuple):
    """What a host has answered."""

    code: int
    message: str
    data: Any = None
    """Only of an error that says which capabilities are missing."""


def told(code: int, message: str, data: Any = None) -> str:
    """The text of an error."""
    needed = data.get("requiredCapabilities") if isinstance(data, dict) else None
    if code == MISSING_CAPABILITY and isinstance(needed, dict):
        said = msgspec.json.encode(needed).decode()
        if len(said) <= _LONGEST:
            return f"JSON-RPC error {code} (missing client capabilities: {said}): {message}"
    return f"JSON-RPC error {code}: {message}"


def read(text: str) -> RpcError | None:
    """The error of a text; None: it is about something else."""
    if (found := _FORM.fullmatch(text)) is None:
        return None
    code, said, message = found.groups()
    try:
        data = {"requiredCapabilities": msgspec.json.decode(said)} if said else None
    except msgspec.DecodeError:
        data = None
    return RpcError(int(code), message, data)
