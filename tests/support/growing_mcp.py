"""An MCP server over stdio that is one process: it may hold a port, and a call adds tools to it.

Arguments: FOLDER [PORT]. Each process leaves a file `started-PID` in FOLDER. `grow` adds a tool,
and says so unless it is to be `quiet`; `hold` answers when the file `go` is there, and nothing else
is answered before; while the file `mute` is there it answers nothing at all.
"""

from __future__ import annotations

import json
import os
import socket
import sys
import threading
from pathlib import Path
from typing import Any

PROTOCOL = "2025-11-25"
OWN = ("grow", "hold", "who")


def listed(name: str) -> dict[str, Any]:
    hints = {"readOnlyHint": name != "grow"}
    return {"name": name, "inputSchema": {"type": "object"}, "annotations": hints}


class Grower:
    """The one process."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.tools = list(OWN)
        self.pause = threading.Event()

    def say(self, **message: Any) -> None:
        print(json.dumps({"jsonrpc": "2.0", **message}), flush=True)

    def wait(self, file: str, *, there: bool) -> None:
        while (self.folder / file).exists() is not there:
            self.pause.wait(0.01)

    def call(self, name: str, arguments: dict[str, Any]) -> Any:
        match name:
            case "grow":
                self.tools.append(arguments["name"])
                if not arguments.get("quiet"):
                    self.say(method="notifications/tools/list_changed")
            case "hold":
                (self.folder / "held").touch()
                self.wait("go", there=True)
        return {"pid": os.getpid(), "tool": name}

    def answer(self, request: dict[str, Any]) -> dict[str, Any]:
        match request["method"]:
            case "initialize":
                return {
                    "protocolVersion": PROTOCOL,
                    "capabilities": {"tools": {"listChanged": True}},
                    "serverInfo": {"name": "grower", "version": "1"},
                    "instructions": "Grow it.",
                }
            case "tools/list":
                return {"tools": [listed(name) for name in self.tools]}
            case "tools/call" if request["params"]["name"] in self.tools:
                params = request["params"]
                found = self.call(params["name"], params.get("arguments", {}))
                content = [{"type": "text", "text": json.dumps(found)}]
                return {"content": content, "structuredContent": found}
        text = [{"type": "text", "text": "there is no such tool"}]
        return {"content": text, "isError": True}


def main(folder: Path, port: int) -> None:
    grower = Grower(folder)
    door = socket.socket()
    if port:
        door.bind(("127.0.0.1", port))
        door.listen()
    (folder / f"started-{os.getpid()}").touch()
    for line in sys.stdin:
        request = json.loads(line)
        grower.wait("mute", there=False)
        if "id" in request and "method" in request:
            grower.say(id=request["id"], result=grower.answer(request))


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 0)
