"""An MCP server over stdio of which one tool is not as MCP wants it; plain JSON-RPC.

`heavy`: one whose tools say more of themselves than is borne.
"""

from __future__ import annotations

import json
import sys
from typing import Any

GOOD = {"name": "echo", "inputSchema": {"type": "object"}}
BAD = {"name": "no_schema", "inputSchema": None}
RESULTS: dict[str, dict[str, Any]] = {
    "initialize": {
        "protocolVersion": "2025-06-18",
        "capabilities": {"tools": {}},
        "serverInfo": {"name": "odd", "version": "1"},
    },
    "tools/list": {"tools": [BAD, GOOD]},
    "tools/call": {"content": [{"type": "text", "text": "good"}]},
}


HEAVY = [
    {**GOOD, "name": f"t{n}", "title": "T", "_meta": {"vendor/x": "x" * 10_000}} for n in range(100)
]


def main() -> None:
    if sys.argv[1:] == ["heavy"]:
        RESULTS["tools/list"] = {"tools": HEAVY}
    for line in sys.stdin:
        message = json.loads(line)
        if "id" not in message:
            continue
        result = RESULTS.get(message["method"])
        error = {"code": -32601, "message": "no such method"}
        told = {"error": error} if result is None else {"result": result}
        print(json.dumps({"jsonrpc": "2.0", "id": message["id"], **told}), flush=True)


if __name__ == "__main__":
    main()
