"""What hosts wrote on stderr, read back: two files, whole lines, safe on a terminal, bounded."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import hypothesis
import msgspec
import pytest
from hypothesis import strategies as st

from contracts.errors import Reason, Rejected
from contracts.wire import HostLog
from services.executor.hosts.host_log import MOST_BYTES, MOST_LINES, HostLogServer, lines_of, read
from services.outside.mcp_child import LOG_BYTES, Tail
from tests.unit.executor.sessions import STDIO, Bench, closing, failure


async def ask(folder: Path, **fields: Any) -> HostLog:
    request = msgspec.json.encode({"host": "h1"} | fields)
    return msgspec.json.decode(await HostLogServer(folder, "e1").answer(request), type=HostLog)


async def test_the_last_words_of_a_real_server_are_there(tmp_path: Path) -> None:
    bench = Bench(tmp_path, STDIO)
    await failure(bench.open(), bench.call("die"))
    await closing(bench)
    found = await ask(tmp_path / "hosts")
    assert (found.host, found.instance) == ("h1", "e1")
    started, said, ended = found.lines
    assert started.startswith("--- ")
    assert said == "last words of the recorder"
    assert ended.endswith("ended with 3")
    assert (await ask(tmp_path / "hosts", lines=2)).lines == (said, ended)


async def test_a_host_without_a_log_has_no_lines(tmp_path: Path) -> None:
    assert (await ask(tmp_path / "nowhere")).lines == ()


@pytest.mark.parametrize(
    ("request_", "reason"),
    [
        (b"", Reason.BAD_REQUEST),
        (b"{", Reason.BAD_REQUEST),
        (b'{"host": "\xff"}', Reason.BAD_REQUEST),
        (b'{"host": "h1", "lines": 0}', Reason.BAD_REQUEST),
        (b'{"host": "h1", "lines": 1001}', Reason.BAD_REQUEST),
        (b'{"host": "h1", "more": 1}', Reason.BAD_REQUEST),
        (b'{"host": "../h1"}', Reason.BAD_ID),
        (b'{"host": ""}', Reason.BAD_ID),
    ],
)
async def test_what_is_no_request_is_refused(
    tmp_path: Path, request_: bytes, reason: Reason
) -> None:
    with pytest.raises(Rejected) as refusal:
        await HostLogServer(tmp_path, "e1").answer(request_)
    assert refusal.value.reason is reason


def test_the_older_file_comes_first(tmp_path: Path) -> None:
    path = tmp_path / "h1.log"
    tail = Tail(path)
    line = b"x" * 99 + b"\n"
    for number in range(LOG_BYTES // 100 + 50):
        tail.add(b"%06d" % number + line[6:])
    assert path.with_suffix(".log.1").exists()
    lines = read(path, MOST_LINES)
    numbers = [int(line[:6]) for line in lines]
    last = LOG_BYTES // 100 + 49
    assert numbers == list(range(last - MOST_LINES + 1, last + 1))
    path.unlink()
    assert int(read(path, 1)[0][:6]) < last


def test_a_line_over_both_files_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "h1.log.1").write_bytes(b"first\nsec")
    (tmp_path / "h1.log").write_bytes(b"ond\nthird")
    assert read(tmp_path / "h1.log", 10) == ("first", "second", "third")


def test_nothing_is_left_out_in_the_middle(tmp_path: Path) -> None:
    (tmp_path / "h1.log.1").write_bytes(b"old\n")
    (tmp_path / "h1.log").write_bytes(b"a" * MOST_BYTES + b"\n" + b"b" * 1000 + b"\nc\n")
    assert read(tmp_path / "h1.log", 10) == ("b" * 1000, "c")


def test_what_a_host_may_have_put_there_instead_is_not_read(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "h1.log")
    (tmp_path / "secret").write_text("key\n")
    (tmp_path / "h2.log").symlink_to(tmp_path / "secret")
    (tmp_path / "h3.log").mkdir()
    assert [read(tmp_path / f"h{n}.log", 10) for n in (1, 2, 3)] == [()] * 3


def test_one_file_under_both_names_is_read_once(tmp_path: Path) -> None:
    (tmp_path / "h1.log").write_text("once\n")
    os.link(tmp_path / "h1.log", tmp_path / "h1.log.1")
    assert read(tmp_path / "h1.log", 10) == ("once",)


@pytest.mark.parametrize(
    ("written", "shown"),
    [
        (b"plain\ttext\n", "plain\ttext"),
        (b"\x1b[31mred\x1b[0m\r\n", r"\x1b[31mred\x1b[0m"),
        (b"50%\r100%\n", r"50%\x0d100%"),
        ("füße 中 \N{RIGHT-TO-LEFT OVERRIDE}\n".encode(), r"füße 中 \u202e"),
        (b"caf\xe9 \x9b\n", "caf� �"),
        ("\x9b\n".encode(), r"\x9b"),
    ],
)
def test_control_characters_are_shown_and_not_obeyed(written: bytes, shown: str) -> None:
    assert lines_of(written, 10) == (shown,)


@hypothesis.given(st.lists(st.binary(max_size=30)).map(b"\n".join), st.integers(1, 20))
def test_lines_are_the_last_ones_and_safe(data: bytes, count: int) -> None:
    lines = lines_of(data, count)
    there = data.decode("utf-8", "replace").replace("\r\n", "\n").removesuffix("\n")
    assert len(lines) == min(count, there.count("\n") + 1 if data else 0)
    assert all(char == "\t" or (char >= " " and char != "\x7f") for line in lines for char in line)


@pytest.mark.parametrize("byte", [b"\x00", b"\x1b", "中".encode(), b'"', b"\\"])
@pytest.mark.parametrize("width", [200, MOST_BYTES * 2])
def test_an_answer_fits_into_a_message(tmp_path: Path, byte: bytes, width: int) -> None:
    line = byte * (width // len(byte)) + b"\n"
    (tmp_path / "h1.log").write_bytes(line * (2 * LOG_BYTES // len(line) + 1))
    lines = read(tmp_path / "h1.log", MOST_LINES)
    assert lines
    assert 0 < sum(len(line.encode()) for line in lines) <= MOST_BYTES
    assert len(msgspec.json.encode(lines)) < 2 * MOST_BYTES + MOST_LINES * 3
