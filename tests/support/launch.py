"""The stand-in for a server that was forked, see `forked`; quick, as it imports next to nothing."""

from __future__ import annotations

import _signal
import os
import sys
from _collections_abc import Iterable, Mapping
from _socket import AF_UNIX, SCM_RIGHTS, SOCK_STREAM, SOL_SOCKET, socket


def main(path: str, kept: str, *words: str) -> int:
    """Hand our descriptors over, wait for the end of the server, end in the same way."""
    descriptors = [0, 1, 2, *map(int, filter(None, kept.split(",")))]
    nest = ask(path, (os.getcwd(), kept, str(len(words)), *words), os.environ, descriptors)
    _signal.signal(_signal.SIGTERM, lambda *_: nest.send(b"T"))
    # Whoever is at the other end of a pipe is to see it close with the server.
    for number in descriptors:
        os.close(number)
    status = nest.recv(4)
    if not status:
        return 70
    code = int.from_bytes(status, "big", signed=True)
    if code < 0:
        if -code not in (_signal.SIGKILL, _signal.SIGSTOP):
            _signal.signal(-code, _signal.SIG_DFL)
        os.kill(os.getpid(), -code)
    return code


def ask(
    path: str, parts: Iterable[str], environment: Mapping[str, str], descriptors: Iterable[int]
) -> socket:
    """Order a server; the connection tells how it ended, and ends it when it closes."""
    pairs = (f"{name}={value}" for name, value in environment.items())
    data = b"\0".join(map(os.fsencode, (*parts, *pairs)))
    nest = socket(AF_UNIX, SOCK_STREAM)
    nest.connect(path)
    rights = b"".join(number.to_bytes(4, sys.byteorder) for number in descriptors)
    nest.sendmsg([len(data).to_bytes(4, "big")], [(SOL_SOCKET, SCM_RIGHTS, rights)])
    nest.sendall(data)
    return nest


if __name__ == "__main__":
    os._exit(main(*sys.argv[1:]))
