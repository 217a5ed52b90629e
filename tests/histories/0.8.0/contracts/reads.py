"""What a gateway asks of hosts that is no call of a tool: prompts, resources, completion."""

from __future__ import annotations

import msgspec

METHODS = frozenset(
    {
        *("prompts/list", "prompts/get"),
        *("resources/list", "resources/templates/list", "resources/read"),
        "completion/complete",
        *("resources/subscribe", "resources/unsubscribe"),
    }
)
"""Methods of the protocol that may be asked so."""
PROMPTS, RESOURCES, UPDATED = "prompts", "resources", "updated"
"""What has changed: one of the lists, or one resource."""
MOST_READ_BYTES = 8 * 1024 * 1024
"""Of one answer …"""
MOST_READ_PACKED = 1000 * 1024
"""… and of what goes over NATS, packed if need be."""
LONGEST_READ_S = 60.0
"""The longest that an answer may take."""


class ReadRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`cmd.executor.read`: ask a host this, in the session in which this user's calls are made."""

    host: str
    seq: int
    """Sequence of the `mcp.registered` fact that the gateway knows, at least."""
    user: str
    """Empty: in the session that is everybody's, or nobody's yet."""
    method: str
    params: msgspec.Raw = msgspec.Raw(b"{}")
    within_s: float = 10.0


class RpcSaid(msgspec.Struct, frozen=True, omit_defaults=True):
    """An error that the host has answered with."""

    code: int
    message: str
    data: bytes = b""
    """As JSON; empty: none, or more than anybody needs."""


class ReadAnswer(msgspec.Struct, frozen=True, omit_defaults=True):
    """Answer to a `ReadRequest`, as msgpack."""

    result: bytes = b""
    """As JSON-RPC has it."""
    packed: bool = False
    """The result is packed with zlib."""
    error: RpcSaid | None = None


class ReadsChanged(msgspec.Struct, frozen=True, omit_defaults=True):
    """`reads.changed.*.*`: what a host has said unasked in one of its sessions."""

    host: str
    what: str
    user: str = ""
    """Whose session it is; empty: everybody's, or nobody's yet."""
    uri: str = ""
    """Of the resource, as the host has it."""
