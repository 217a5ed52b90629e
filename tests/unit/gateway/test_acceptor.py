"""A crowd of connections is taken in small parts, between which everything else goes on."""

from __future__ import annotations

import asyncio
import socket

import pytest

from services.gateway.acceptor import AT_ONCE, REST_S, Acceptor
from services.gateway.connections import Connections, Most, Visitor

CROWD = 40


class Greeter(asyncio.Protocol):
    """Says hello to whoever is let in."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """See `asyncio.Protocol`."""
        assert isinstance(transport, asyncio.Transport)
        transport.write(b"hello")


async def test_others_have_their_turn_between_the_parts_of_a_crowd(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    loop = asyncio.get_running_loop()
    now = loop.time()
    monkeypatch.setattr(loop, "time", lambda: now)
    listening = socket.create_server(("127.0.0.1", 0))
    listening.setblocking(False)
    connections = Connections(Most(all=1000, of_address=1000))

    def make(visitor: Visitor) -> asyncio.Protocol:
        visitor.known()
        return Greeter()

    address = listening.getsockname()
    crowd = [socket.create_connection(address) for _ in range(CROWD)]
    acceptor = Acceptor(listening, connections, make, None, 1.0, b"")
    taken = []
    try:
        for _ in range(CROWD // AT_ONCE):
            await _turns(10)
            taken.append(len(connections))
            now += REST_S
        for one in crowd:
            one.setblocking(False)
            assert await loop.sock_recv(one, 5) == b"hello"
    finally:
        acceptor.close()
        await acceptor.wait_closed()
        listening.close()
        for one in crowd:
            one.close()
    # However many turns there were: a part for each rest.
    assert taken == list(range(AT_ONCE, CROWD + 1, AT_ONCE))


async def _turns(count: int) -> None:
    loop = asyncio.get_running_loop()
    for _ in range(count):
        turn = loop.create_future()
        loop.call_soon(turn.set_result, None)
        await turn
