"""What may be registered by command, and by whom."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from contracts.errors import Reason, Rejected
from contracts.host import COMMAND, OpenApi, Stdio, StreamableHttp
from services.registry.changes import Acting
from services.registry.commands import described
from tests.unit.registry.test_changes import ALICE, MANY, OPERATOR, URL, of


def api(**fields: Any) -> dict[str, Any]:
    """An API's description."""
    document = {} if "document_url" in fields else {"document": {"openapi": "3.1.0"}}
    known = {"kind": "openapi", "url": "https://api.example.com"}
    return {"endpoint": {**known, **document, **fields}}


@pytest.mark.parametrize(
    ("entry", "acting", "reason"),
    [
        ({"endpoint": {"kind": "stdio", "command": "x"}}, ALICE, Reason.FORBIDDEN),
        ({"endpoint": {"kind": "http", "url": "http://tools.example.com"}}, ALICE, "https only"),
        ({"endpoint": {"kind": "http", "url": "https://127.0.0.1/mcp"}}, ALICE, "private"),
        ({"endpoint": {"kind": "http", "url": URL}, "owner": "bob"}, ALICE, Reason.FORBIDDEN),
        ({"endpoint": {"kind": "http", "url": URL}, "roots": ["/etc"]}, ALICE, "no files"),
        ({"endpoint": {"kind": "http", "url": URL, "headers": {"X-Api-Key": "s"}}}, ALICE, "log"),
        (
            {"endpoint": {"kind": "stdio", "command": "x", "env": {"MY_TOKEN": "s"}}},
            OPERATOR,
            "write {secret:NAME} in its place",
        ),
        (
            {"endpoint": {"kind": "stdio", "command": "x", "args": ["--api-key", "s3cr3t"]}},
            OPERATOR,
            "endpoint.args[1]: it looks like a secret",
        ),
        (
            {"endpoint": {"kind": "stdio", "command": "x", "env": {"DB": "pg://u:pw@h/d"}}},
            OPERATOR,
            "endpoint.env.DB",
        ),
        ({"endpoint": {"kind": "http", "url": f"{URL}?api_key=s3"}}, ALICE, "endpoint.url"),
        ({"endpoint": {"kind": "http", "url": f"{URL}?api_key=s3"}}, OPERATOR, "{secret:NAME}"),
        ({"endpoint": {"kind": "http", "url": f"{URL}?k={{secret:a-b}}"}}, ALICE, "no secret: use"),
        ({"endpoint": {"kind": "http", "url": "https://{secret:A}/mcp"}}, ALICE, "this is no URL"),
        ({"endpoint": {"kind": "stdio", "command": "{secret:A}"}}, OPERATOR, "endpoint.command"),
        (
            {
                "endpoint": {
                    "kind": "http",
                    "url": URL,
                    "headers": {"Authorization": "Basic {secret:A}"},
                    "bearer_from": "B",
                }
            },
            ALICE,
            "leave one out",
        ),
        (
            {"endpoint": {"kind": "http", "url": URL, "headers": {"PRIVATE-TOKEN": "s3"}}},
            ALICE,
            "endpoint.headers.PRIVATE-TOKEN",
        ),
        (
            {"endpoint": {"kind": "http", "url": URL, "headers": {"X-A": "a" * 4000, **MANY}}},
            ALICE,
            "16384 bytes in all",
        ),
        (api(url="https://169.254.169.254/x"), ALICE, "endpoint.url: 169.254.169.254 is a private"),
        (api(url="http://api.example.com"), ALICE, "endpoint.url: hosts that users have"),
        (api(document_url="https://127.0.0.1/a"), ALICE, "endpoint.document_url: 127.0.0.1 is"),
        (api(document_url="https://a.example/x?api_key=s3cret"), OPERATOR, "endpoint.document_url"),
        (api(secrets={"k": "ghp_abcdefghij0123456789xyz"}), OPERATOR, "endpoint.secrets.k"),
        ({"endpoint": {"kind": "noop"}}, OPERATOR, "benchmarks"),
        ({"endpoint": {"kind": "http", "url": URL, "more": 1}}, OPERATOR, "endpoint"),
        ([], OPERATOR, "object"),
    ],
)
def test_what_may_not_be_registered(entry: Any, acting: Acting, reason: Reason | str) -> None:
    with pytest.raises(Rejected) as refusal:
        described("h", msgspec.json.encode(entry), acting, allow_private=False, allow_noop=False)
    if isinstance(reason, Reason):
        assert refusal.value.reason is reason
    else:
        assert reason in refusal.value.message


def test_what_may_be_registered() -> None:
    loopback = {"endpoint": {"kind": "http", "url": "http://127.0.0.1:1/mcp"}}
    assert of(loopback, ALICE, private=True).owner == "alice"
    assert of(loopback, OPERATOR).owner is None
    assert of({"endpoint": {"kind": "http", "url": "hf://a/b"}}, ALICE).source == COMMAND
    assert of({"endpoint": {"kind": "stdio", "command": "x"}}, OPERATOR).source == COMMAND
    headers = {"Authorization": "Basic {secret:A}", "x-api-key": "{secret:B}"}
    referring = {"endpoint": {"kind": "http", "url": f"{URL}?key={{secret:C}}", "headers": headers}}
    assert of(referring, ALICE).endpoint == StreamableHttp(f"{URL}?key={{secret:C}}", headers)
    kept = of(api(secrets={"key": "MINE"}), ALICE).endpoint
    assert isinstance(kept, OpenApi)
    assert kept.secrets == {"key": "MINE"}
    args = ["--api-key", "{secret:A}", "postgres://u:{secret:B}@h/d", "-e", "K_TOKEN={secret:C}"]
    program = {"endpoint": {"kind": "stdio", "command": "x", "args": args}}
    assert of(program, OPERATOR).endpoint == Stdio("x", tuple(args))
    for word in ("add", "a b", ""):
        with pytest.raises(Rejected):
            described(word, b"{}", OPERATOR, allow_private=False, allow_noop=False)
