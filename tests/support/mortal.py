"""Gateways as processes of their own, each of which kills itself at one step of what it is asked: a
write to NATS KV (before it is sent, and once it is stored), or an answer that is about to leave.
Reads change nothing, and the probe of a gateway that has not written for a while was not asked for.
The program imports the gateway once, and forks one for each line that it is told."""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from contracts.subjects import ACCOUNTS_BUCKET, WRITE_PROBE
from services.gateway import listener, service
from services.gateway.app import Gateway
from services.gateway.http import routes
from services.gateway.people.providers.kept import KeptTokens
from services.gateway.settings import Settings
from services.process import run
from services.process.child import follow
from services.store.stream import Stream

NEVER = -1
_KV = "$KV."
_PEOPLE = f"{_KV}{ACCOUNTS_BUCKET}."


def _say(**values: Any) -> None:
    os.write(1, json.dumps(values).encode() + b"\n")


class _Steps:
    """Counts the steps of this process, and ends it at one of them as a power cut does."""

    def __init__(self, last: int) -> None:
        self._left = last

    def reach(self, step: str, lost: bytes = b"") -> None:
        """`lost`: the body of the answer that nobody will get."""
        if self._left == 0:
            _say(step=step, lost=lost.decode())
            os.kill(os.getpid(), signal.SIGKILL)
        self._left -= 1

    def watch(self) -> None:
        """Have every write and every answer be a step."""
        publish, serve = Stream.publish, Gateway.__call__

        async def stored(stream: Stream, subject: str, data: bytes, **more: Any) -> Any:
            if not subject.startswith(_KV) or subject == WRITE_PROBE:
                return await publish(stream, subject, data, **more)
            what = f"{'put' if data else 'delete'} {_kind(subject)}"
            self.reach(f"before {what}")
            found = await publish(stream, subject, data, **more)
            self.reach(f"after {what}")
            return found

        async def answered(gateway: Gateway, scope: Any, receive: Any, send: Any) -> None:
            head: list[Any] = []

            async def sent(message: Any) -> None:
                if message["type"] == "http.response.start":
                    head.append(message)
                    return
                if head:
                    self.reach("answer", message.get("body", b""))
                    await send(head.pop())
                await send(message)

            await serve(gateway, scope, receive, sent)

        Stream.publish = stored  # type: ignore[method-assign,assignment]
        Gateway.__call__ = answered  # type: ignore[method-assign]
        KeptTokens.run = _rest  # type: ignore[method-assign]


async def _rest(kept: KeptTokens) -> None:
    """Renew nothing: what a gateway writes by itself is no step of what it is asked."""


def _kind(subject: str) -> str:
    """What a key is of; a bucket that is not of people has one kind."""
    if subject.startswith(_PEOPLE):
        return subject.removeprefix(_PEOPLE).partition(".")[0]
    return subject.removeprefix(_KV).partition(".")[0]


def _announced(announce: Callable[..., None]) -> Callable[..., None]:
    def announced(data: Path, url: str, certificate: str = "") -> None:
        announce(data, url, certificate)
        _say(url=url)

    return announced


def _live(environ: Mapping[str, str], last: int) -> int:
    os.environ.update(environ)
    listener.announce = _announced(listener.announce)
    _Steps(last).watch()
    return run.start(service.serve, "gateway", Settings)


def main() -> None:
    """Fork a gateway for each line; they end with this process, and nobody waits for them."""
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    own = os.getpid()
    # Built once, all that are forked have it: most of what a start takes.
    routes._application(Settings().max_body, Settings().blob_limit)
    for line in sys.stdin.buffer:
        asked = json.loads(line)
        pid = os.fork()
        if not pid:
            code = 1
            try:
                follow(own)
                signal.signal(signal.SIGCHLD, signal.SIG_DFL)
                os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
                code = _live(asked["environ"], asked["last"])
            finally:
                os._exit(code)
        _say(pid=pid)


if __name__ == "__main__":
    main()
