"""What the suite starts as its client: has the driver in the tests' process do all.

By itself it imports nothing that takes time: the suite starts dozens at once.
"""

from __future__ import annotations

import json
import os
import socket
import sys

with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as asking:
    asking.connect(sys.argv[1])
    told = {
        "scenario": os.environ["MCP_CONFORMANCE_SCENARIO"],
        "context": json.loads(os.environ.get("MCP_CONFORMANCE_CONTEXT", "{}")),
        "url": sys.argv[2],
    }
    asking.sendall(json.dumps(told).encode() + b"\n")
    said = asking.makefile().read()
print(said)
sys.exit("went well" not in said)
