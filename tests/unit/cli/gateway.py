"""A few lines of a gateway: it answers over real sockets what a test tells it to."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


class Gateway:
    """`answers` maps `METHOD path` to a status and a body; what was asked stands in `asked`."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.answers: dict[str, tuple[int, Any]] = {}
        self.asked: list[tuple[str, str, Any]] = []

    def ok(self, what: str, data: Any, status: int = 200, **more: Any) -> None:
        self.answers[what] = (status, {"success": True, "data": data, "message": "", **more})

    def refuse(self, what: str, status: int, message: str) -> None:
        error = {"code": status, "reason": "not_found", "message": message, "path": ""}
        self.answers[what] = (status, {"success": False, "error": error})


@contextmanager
def gateway() -> Iterator[Gateway]:
    class Handler(BaseHTTPRequestHandler):
        def _answer(self) -> None:
            path, _, query = self.path.partition("?")
            length = int(self.headers.get("Content-Length") or 0)
            sent = self.rfile.read(length)
            is_json = "json" in self.headers.get("Content-Type", "")
            body = json.loads(sent) if length and is_json else sent or None
            known.asked.append((f"{self.command} {path}", query, body))
            missing = (404, {"success": False, "error": {"message": f"nothing at {path}"}})
            status, content = known.answers.get(f"{self.command} {path}", missing)
            if self.headers.get("Authorization") != "Bearer secret":
                status, content = 401, {"success": False, "error": {"message": "who are you?"}}
            data = json.dumps(content).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        do_GET = do_POST = do_PUT = do_DELETE = _answer

        def log_message(self, format: str, *args: Any) -> None:
            """Keep quiet."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    known = Gateway(f"http://127.0.0.1:{server.server_port}")
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield known
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
