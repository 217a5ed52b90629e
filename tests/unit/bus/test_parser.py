"""The parser against nats-py's own: the same bytes, cut anywhere, are the same messages."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from nats.errors import ProtocolError
from nats.protocol.parser import Parser

from services.bus.parser import DirectParser, Message

DIRECT, QUEUED, GONE = 1, 2, 3
Seen = tuple[int, str, str, bytes, bytes]

tokens = st.text("abz.$_", min_size=1, max_size=8)
heads = st.sampled_from([b"", b"NATS/1.0\r\nA: b\r\n\r\n", b"NATS/1.0 404 Not found\r\n\r\n"])
messages = st.tuples(
    st.sampled_from([DIRECT, QUEUED, GONE]),
    tokens,
    st.just("") | tokens,
    heads,
    st.binary(max_size=40) | st.sampled_from([b"\r\n", b"MSG a 1 2\r\n", b"PING\r\n"]),
)
others = st.sampled_from([b"PING\r\n", b"PONG\r\n", b"+OK\r\n"])


class Client:
    """As much of a client as a parser uses."""

    def __init__(self) -> None:
        self.seen: list[Seen | str] = []
        self.stats = {"in_msgs": 0, "in_bytes": 0}

        async def callback(_: Any) -> None: ...

        callback.direct = self._take  # type: ignore[attr-defined]
        self._subs = {DIRECT: SimpleNamespace(_cb=callback), QUEUED: SimpleNamespace(_cb=None)}

    def _take(self, message: Message) -> None:
        self.seen.append((DIRECT, message.subject, message.reply, message.head, message.data))

    async def _process_msg(
        self, sid: int, subject: bytes, reply: bytes, data: bytes, head: bytes | None
    ) -> None:
        self.seen.append((sid, subject.decode(), reply.decode(), head or b"", data))

    async def _process_ping(self) -> None:
        self.seen.append("ping")

    async def _process_pong(self) -> None:
        self.seen.append("pong")


def wire(item: Seen | bytes) -> bytes:
    if isinstance(item, bytes):
        return item
    sid, subject, reply, head, data = item
    back = f" {reply}" if reply else ""
    if head:
        line = f"HMSG {subject} {sid}{back} {len(head)} {len(head) + len(data)}\r\n"
    else:
        line = f"MSG {subject} {sid}{back} {len(data)}\r\n"
    return line.encode() + head + data + b"\r\n"


def parsed(kind: type[Parser], chunks: list[bytes]) -> list[Seen | str]:
    client = Client()
    parser = kind(client)

    async def feed() -> None:
        for chunk in chunks:
            await parser.parse(chunk)

    asyncio.run(feed())
    return client.seen


@given(st.lists(messages | others, max_size=8), st.lists(st.integers(1, 30), max_size=40))
def test_what_comes_in_pieces_is_what_the_library_makes_of_it(
    items: list[Seen | bytes], sizes: list[int]
) -> None:
    data, chunks = b"".join(map(wire, items)), []
    for size in sizes:
        chunks.append(data[:size])
        data = data[size:]
    chunks.append(data)
    assert parsed(DirectParser, chunks) == parsed(Parser, chunks)


@pytest.mark.parametrize("line", [b"MSG a x 2\r\nab\r\n", b"HMSG a 1 2\r\n", b"NONSENSE\r\n"])
def test_what_is_no_protocol_ends_the_connection(line: bytes) -> None:
    with pytest.raises(ProtocolError):
        parsed(DirectParser, [line])
