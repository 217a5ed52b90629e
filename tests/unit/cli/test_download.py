"""Downloads by `metamcp result`: what breaks off is gone on with, wrong bytes are never taken."""

from __future__ import annotations

import io
import json
from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from contracts.result import READ_BYTES, inline, sha256_hex
from services.cli.app import execute
from services.cli.bar import bar
from services.cli.commands.download import Head, ToFile, head_of
from services.cli.commands.results import SHOWN, ToScreen
from services.cli.common import CliError, Exit, Out
from tests.support.nats import NatsServer
from tests.unit.cli.gateway import Gateway
from tests.unit.cli.kept import DATA, Site, content, keeping_site, metamcp, parts, put


@pytest.fixture
async def site(
    fresh_nats: NatsServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Site]:
    async with keeping_site(fresh_nats, tmp_path, monkeypatch) as found:
        yield found


async def test_a_result_is_written_to_a_file(
    site: Site, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    await site.finished("large", await site.stored())
    put("large.png", b"what was there")
    assert await metamcp("result", "large", "-o", "large.png") == Exit.OK
    assert content("large.png") == DATA
    assert capfdbinary.readouterr().err == f"{len(DATA)} bytes written to large.png\n".encode()
    assert await metamcp("result", "large", "--json", "-o", "again") == Exit.OK
    assert json.loads(capfdbinary.readouterr().out) == {
        "task": "large",
        "file": "again",
        "size": len(DATA),
        "sha256": sha256_hex(DATA),
        "media_type": "image/png",
    }
    assert await metamcp("result", "large", "-o", "-") == Exit.OK
    assert capfdbinary.readouterr().out == DATA
    assert await metamcp("result", "large") == Exit.OK
    assert capfdbinary.readouterr().out == DATA + b"\n"
    assert await metamcp("result", "large", "--json") == Exit.USAGE
    printed = capfdbinary.readouterr()
    assert printed.out == b""
    assert b"image/png" in printed.err
    assert await metamcp("result", "large", "-o", "/dev/null") == Exit.OK
    assert await metamcp("result", "large", "-o", ".") == Exit.FAILED
    assert await metamcp("result", "large", "-o", "nowhere/file") == Exit.FAILED
    assert b"nowhere/file can't be written" in capfdbinary.readouterr().err
    assert parts() == []


async def test_a_download_that_breaks_off_goes_on_by_itself(
    site: Site, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    await site.finished("large", await site.stored())
    site.cut = {2, 4}
    assert await metamcp("result", "large", "-o", "file") == Exit.OK
    assert content("file") == DATA
    assert site.reads.count(0) == 1
    assert parts() == []
    site.reads.clear()
    assert await metamcp("result", "large", "-o", "-") == Exit.OK
    assert capfdbinary.readouterr().out == DATA
    assert site.reads.count(0) == 1


async def test_a_download_is_gone_on_with_by_the_next_command(
    site: Site, capsys: pytest.CaptureFixture[str]
) -> None:
    await site.finished("large", await site.stored())
    site.cut = set(range(2, 1000))
    assert await metamcp("result", "large", "-o", "file") == Exit.FAILED
    printed = capsys.readouterr()
    assert f"broke off after {READ_BYTES} bytes" in printed.err
    assert content("file") is None
    assert content("file.part") == DATA[:READ_BYTES]
    assert parts() == ["file.part", "file.part.etag"]
    site.reads.clear()
    site.cut.clear()
    assert await metamcp("result", "large", "-o", "file") == Exit.OK
    assert site.reads[0] == READ_BYTES
    assert content("file") == DATA
    assert parts() == []


async def test_a_part_of_another_result_is_not_gone_on_with(site: Site) -> None:
    await site.finished("large", await site.stored())
    put("file.part", DATA[1 : READ_BYTES + 1])
    for tag in ("", '"of another one"', "no tag", "\xff"):
        put("file.part.etag", tag.encode("latin-1"))
        assert await metamcp("result", "large", "-o", "file") == Exit.OK
        assert content("file") == DATA
        assert parts() == []
        put("file.part", DATA[1 : READ_BYTES + 1])


async def test_a_part_that_is_whole_only_has_to_be_moved(site: Site) -> None:
    await site.finished("large", await site.stored())
    put("file.part", DATA)
    put("file.part.etag", f'"{sha256_hex(DATA)}"'.encode())
    assert await metamcp("result", "large", "-o", "file") == Exit.OK
    assert content("file") == DATA
    assert site.reads == []
    assert parts() == []


@pytest.mark.parametrize("wrong", [b"\0" * 1000, DATA[1:] + b"\0", DATA + b"\0"])
async def test_wrong_bytes_are_never_taken(
    site: Site, capsys: pytest.CaptureFixture[str], wrong: bytes
) -> None:
    await site.finished("large", await site.stored())
    put("file.part", wrong)
    put("file.part.etag", f'"{sha256_hex(DATA)}"'.encode())
    code = await metamcp("result", "large", "-o", "file")
    if len(wrong) > len(DATA):
        # More than all of it: begun anew.
        assert code == Exit.OK
    else:
        assert code == Exit.FAILED
        assert "digest" in capsys.readouterr().err
        assert content("file") is None
        assert parts() == []
        assert await metamcp("result", "large", "-o", "file") == Exit.OK
    assert content("file") == DATA
    assert parts() == []


async def test_bytes_that_the_results_service_finds_wrong_are_a_failure(
    site: Site, capsys: pytest.CaptureFixture[str]
) -> None:
    other = await site.stored(DATA[1:])
    wrong = msgspec.structs.replace(await site.stored(), sha256=other.sha256)
    await site.finished("wrong", wrong)
    assert await metamcp("results", "verify", "wrong") == Exit.FAILED
    assert await metamcp("result", "wrong", "-o", "file") == Exit.FAILED
    assert "error: " in capsys.readouterr().err
    assert parts() == []


async def test_json_is_laid_out_or_when_it_is_big_printed_as_it_is(
    site: Site, capsys: pytest.CaptureFixture[str]
) -> None:
    await site.finished("small", inline(b'{"x":{"y":1}}'))
    big = msgspec.json.encode({"text": "x" * SHOWN})
    await site.finished("big", await site.stored(big, "application/json"))
    await site.finished("bad", await site.stored(b"{" * 100, "application/json"))
    assert await metamcp("result", "small") == Exit.OK
    printed = capsys.readouterr().out
    assert json.loads(printed) == {"x": {"y": 1}}
    assert printed.count("\n") > 1
    assert await metamcp("result", "small", "--json") == Exit.OK
    assert capsys.readouterr().out == '{"x":{"y":1}}\n'
    assert await metamcp("result", "big") == Exit.OK
    assert capsys.readouterr().out == big.decode() + "\n"
    assert await metamcp("result", "bad") == Exit.OK
    assert capsys.readouterr().out == "{" * 100 + "\n"


def test_an_answer_without_a_digest_is_remarked_on(
    known: Gateway, capsys: pytest.CaptureFixture[str]
) -> None:
    known.answers["GET /api/tasks/t1/result"] = (200, {"a": 1})
    assert execute(["result", "t1", "-o", "file"]) == Exit.OK
    assert "not checked" in capsys.readouterr().err


def test_a_file_is_written_by_one_download_at_a_time(tmp_path: Path) -> None:
    path = tmp_path / "file"
    one = ToFile(path)
    with pytest.raises(CliError, match="another download"):
        ToFile(path)
    one.begin(Head(0, 1, '"a"', "", ""))
    one.write(b"x")
    one.finish()
    assert path.read_bytes() == b"x"
    ToFile(path).close()
    assert [found.name for found in tmp_path.iterdir()] == ["file"]


def test_a_link_to_a_file_stays_one(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "file")
    sink = ToFile(tmp_path / "link")
    sink.begin(Head(0, None, "", "", ""))
    sink.finish()
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "file").read_bytes() == b""


def test_what_is_no_json_is_not_printed_on_a_terminal() -> None:
    screen = ToScreen(Out(as_json=False), terminal=True)
    with pytest.raises(CliError, match="image/png"):
        screen.begin(Head(0, 1, "", "", "image/png"))
    screen.begin(Head(0, 1, "", "", "application/json"))


@given(st.integers(0, 10**9), st.integers(0, 10**9), st.integers(1, 10**9))
def test_heads_of_parts(start: int, more: int, length: int) -> None:
    size = start + length + more
    headers = {
        "content-range": f"bytes {start}-{start + length - 1}/{size}",
        "content-length": str(length),
        "etag": '"a"',
    }
    head = head_of(206, headers)
    assert (head.start, head.size, head.tag, head.nothing) == (start, size, '"a"', False)
    nothing = head_of(416, {"content-range": f"bytes */{size}", "etag": '"a"'})
    assert (nothing.size, nothing.nothing) == (size, True)


@given(st.sampled_from([200, 206, 416]), st.text(max_size=30), st.text(max_size=30))
def test_heads_that_make_no_sense_name_no_part(status: int, text: str, tag: str) -> None:
    headers = {"content-range": f"x{text}", "content-length": f"-{text}", "etag": f"W/{tag}"}
    head = head_of(status, headers)
    assert (head.start, head.size, head.tag) == (0 if status == 200 else -1, None, "")


def test_the_length_of_a_compressed_answer_says_nothing() -> None:
    assert head_of(200, {"content-length": "10"}).size == 10
    assert head_of(200, {"content-length": "10", "content-encoding": "gzip"}).size is None


@pytest.mark.parametrize("terminal", [True, False])
def test_progress_is_shown_on_a_terminal_only(terminal: bool) -> None:
    out, screen = Out(as_json=False), io.StringIO()
    out.errors = Console(file=screen, force_terminal=terminal, width=80)
    with bar(out) as moved:
        moved(5_000_000, 10_000_000)
    assert ("5.0/10.0 MB" in screen.getvalue()) is terminal
