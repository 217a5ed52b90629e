"""Archives that users bring along: whole ones come as they are, hostile ones do no harm."""

from __future__ import annotations

import asyncio
import hashlib
import stat
import struct
import tarfile
import time
import tracemalloc
import zipfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from services.executor.attempt import archive as archives
from services.executor.attempt.archive import LeftOut, Unpacked, unpack
from services.executor.attempt.tree import Tree, WorkspaceLimits
from services.packed import compressed
from services.packed.names import BadFiles, ForbiddenPath
from tests.support.archives import (
    COMPRESSED,
    FILES,
    ended,
    member,
    overlapping,
    padded,
    pax,
    sized,
    summed,
    tar,
    zeros,
    zip,
    zip_link,
)
from tests.unit.executor.world import moment

MIB = 2**20
ROOM = WorkspaceLimits(100, MIB)
GOOD = member(b"good.py", content=b"1")


async def unpacked(
    folder: Path, data: bytes, limits: WorkspaceLimits = ROOM
) -> tuple[dict[str, bytes], Unpacked]:
    """Unpack into a new folder; return the files, by name, and what is said of them."""
    top = folder / hashlib.sha256(data).hexdigest()[:8]
    top.mkdir(mode=0o700)
    source = folder / "archive"
    source.write_bytes(data)
    found = await unpack(source, Tree(top, limits))
    files = [path for path in top.rglob("*") if path.is_file()]
    return {str(path.relative_to(top)): path.read_bytes() for path in files}, found


async def refusal(folder: Path, data: bytes, limits: WorkspaceLimits = ROOM) -> Exception:
    with pytest.raises((BadFiles, ForbiddenPath)) as caught:
        await unpacked(folder, data, limits)
    return caught.value


def below(folder: Path) -> list[Path]:
    """All that was unpacked."""
    return [*folder.glob("*/**/*")]


KINDS = {name: pack(tar()) for name, pack in COMPRESSED.items()}
KINDS |= {"gnu": tar(format=tarfile.GNU_FORMAT), "ustar": tar(format=tarfile.USTAR_FORMAT)}
KINDS |= {"zip": zip(), "zip, stored": zip(method=zipfile.ZIP_STORED)}
KINDS["two gzip streams"] = COMPRESSED["gz"](tar()[:700]) + COMPRESSED["gz"](tar()[700:])


@pytest.mark.parametrize("data", KINDS.values(), ids=KINDS)
async def test_each_kind_is_known_by_its_content(tmp_path: Path, data: bytes) -> None:
    files, found = await unpacked(tmp_path, data)
    assert files == FILES
    assert (found.files, found.size, found.left_out) == (3, sum(map(len, FILES.values())), {})


@pytest.mark.parametrize("packed", [tar, zip], ids=["tar", "zip"])
async def test_names_of_any_length_and_script_are_kept(tmp_path: Path, packed: Any) -> None:
    wanted = {f"{'d' * 120}/{'e' * 120}/f": b"1", "ünï/日本.txt": b"2", "a b/'c'.txt": b"3"}
    assert (await unpacked(tmp_path, packed(wanted)))[0] == wanted


async def test_what_is_unpacked_is_private(tmp_path: Path) -> None:
    await unpacked(tmp_path, ended(member(b"x/", b"5"), member(b"x/y/z", content=b"1")))
    found = {path.name: stat.S_IMODE(path.stat().st_mode) for path in below(tmp_path)}
    assert found == {"x": 0o700, "y": 0o700, "z": 0o600}


async def test_a_file_of_some_thousand_bytes_comes_whole(tmp_path: Path) -> None:
    content = bytes(range(256)) * 3000
    for data in (tar({"x": content}), COMPRESSED["xz"](tar({"x": content})), zip({"x": content})):
        assert (await unpacked(tmp_path, data))[0] == {"x": content}


# What is left out, and counted.

LEFT = {
    "symbolic link": (member(b"l", b"2"), LeftOut.LINK),
    "hard link": (member(b"l", b"1"), LeftOut.LINK),
    "character device": (member(b"d", b"3"), LeftOut.OTHER),
    "pipe": (member(b"p", b"6"), LeftOut.OTHER),
    "unknown, with content": (member(b"q", b"Q", b"x" * 700), LeftOut.OTHER),
    "sparse as pax has it": (
        pax({"GNU.sparse.major": "1", "GNU.sparse.realsize": "99999999999"})
        + member(b"s", content=b"x" * 600),
        LeftOut.OTHER,
    ),
    "file of .git": (member(b"repo/.git/config", content=b"x" * 600), LeftOut.GIT),
    "file of .GIT": (member(b"repo/.GIT /hooks/x", content=b"x"), LeftOut.GIT),
    "submodule": (member(b"sub/.git", content=b"gitdir: ../x"), LeftOut.GIT),
    "link in .git": (member(b".git/link", b"2"), LeftOut.GIT),
    "name of latin-1": (member(b"caf\xe9", content=b"x"), LeftOut.NAME),
    "control character": (member(b"a\x1b[2J", content=b"x"), LeftOut.NAME),
    "backslash": (member(b"a\\b", content=b"x"), LeftOut.NAME),
    "part too long": (pax({"path": "p" * 256}) + member(b"p", content=b"x"), LeftOut.NAME),
    "name too long": (pax({"path": "p/" * 300 + "q"}) + member(b"p", content=b"x"), LeftOut.NAME),
}


@pytest.mark.parametrize(("entry", "why"), LEFT.values(), ids=LEFT)
async def test_what_is_no_plain_file_is_left_out_and_counted(
    tmp_path: Path, entry: bytes, why: LeftOut
) -> None:
    files, found = await unpacked(tmp_path, ended(member(b"before", content=b"0"), entry, GOOD))
    assert files == {"before": b"0", "good.py": b"1"}
    assert found.left_out == {why: 1}
    assert found.remark() == f"input.archive: 2 files, 2 bytes unpacked; left out: 1 {why.value}"


async def test_an_old_sparse_file_is_passed_over_with_its_map(tmp_path: Path) -> None:
    header = bytearray(member(b"s", b"S", size=600))
    header[482] = 1
    more, last = bytearray(512), bytes(512)
    more[504] = 1
    entry = summed(header) + bytes(more) + last + padded(b"x" * 600)
    files, found = await unpacked(tmp_path, ended(entry, GOOD))
    assert (files, found.left_out) == ({"good.py": b"1"}, {LeftOut.OTHER: 1})


async def test_a_zip_leaves_out_links_repositories_and_odd_names_as_well(tmp_path: Path) -> None:
    pipe = zipfile.ZipInfo("pipe")
    pipe.create_system, pipe.external_attr = 3, (stat.S_IFIFO | 0o644) << 16
    entries = [zip_link("l", "/etc/passwd"), (".git/config", b"x"), (pipe, b""), ("a\\b", b"x")]
    files, found = await unpacked(tmp_path, zip([*entries, ("d/", b""), ("d/ok", b"1")]))
    assert files == {"d/ok": b"1"}
    assert found.left_out == dict.fromkeys(LeftOut, 1)


async def test_a_link_leads_nothing_out(tmp_path: Path) -> None:
    data = ended(member(b"l", b"2"), member(b"l/x", content=b"1"))
    assert (await unpacked(tmp_path, data))[0] == {"l/x": b"1"}


async def test_names_of_a_zip_that_forgets_to_say_utf_8_are_read(tmp_path: Path) -> None:
    data = zip({"ä.py": b"1"}).replace(b"\0\x08\x08\0", b"\0\0\x08\0")
    assert (await unpacked(tmp_path, data))[0] == {"ä.py": b"1"}


# What fails the task, and names the member.

LEADS_OUT = ["../x", "a/../../x", "/etc/passwd", "./../x", "//x"]


@pytest.mark.parametrize("name", LEADS_OUT)
async def test_a_name_that_leads_out_fails_the_task(tmp_path: Path, name: str) -> None:
    raw = name.encode()
    for data in (ended(member(raw, content=b"x")), ended(member(raw, b"2")), zip({name: b"x"})):
        error = await refusal(tmp_path, data)
        assert isinstance(error, ForbiddenPath)
        assert repr(name) in str(error)
    assert not (tmp_path / "x").exists()


def lying(data: bytes, old: int, new: int) -> bytes:
    """A zip that gives another size than it has."""
    return data.replace(struct.pack("<L", old), struct.pack("<L", new))


def encrypted() -> bytes:
    data = bytearray(zip({"secret": b"x" * 50}))
    data[6] |= 1
    data[data.index(b"PK\x01\x02") + 8] |= 1
    return bytes(data)


WRONG = {
    "nothing": (b"", "no archive"),
    "text": (b"print(1)\n" * 100, "no archive"),
    "7z": (b"7z\xbc\xaf\x27\x1c" + bytes(600), "is 7z: send a tar"),
    "zstd": (b"\x28\xb5\x2f\xfd" + bytes(600), "is zstd"),
    "text in gzip": (COMPRESSED["gz"](b"hello" * 500), "is compressed in it is no tar"),
    "empty tar": (ended(), "Nothing is left"),
    "empty zip": (zip({}), "Nothing is left"),
    "only links": (ended(member(b"l", b"2")), "left out: 1 links. Nothing is left"),
    "twice": (ended(GOOD, GOOD), "good.py is there twice"),
    "twice in a zip": (zip({"a": b"", "./a": b""}), "a is there twice"),
    "file and folder": (ended(member(b"a"), member(b"a/b")), "is also a folder"),
    "no name": (ended(member(b"./", b"0"), member(b".", b"0")), "names no file"),
    "cut in content": (tar()[:900], "cut off"),
    "cut between members": (GOOD, "cut off"),
    "cut gzip": (COMPRESSED["gz"](tar())[:90], "cut off"),
    "cut xz": (COMPRESSED["xz"](tar())[:90], "cut off"),
    "cut zip": (zip()[:-30], "damaged"),
    "damaged gzip": (b"\x1f\x8b\x08\0\0\0\0\0" + b"\xff" * 600, "damaged"),
    "damaged bzip2": (b"BZh9" + b"\xff" * 600, "damaged"),
    "damaged header": (ended(GOOD, b"\x01" + GOOD[1:]), "damaged"),
    "negative size": (ended(sized(b"\xff" * 12)), "number"),
    "signed size": (ended(sized(b"-0000000001\0")), "number"),
    "size of 8 EiB": (ended(sized(b"\x80" + b"\xff" * 11)), "too big"),
    "big pax header": (ended(member(b"x", b"x", size=2**30), GOOD), "is described by"),
    "long long name": (ended(member(b"x", b"L", size=2**30), GOOD), "is described by"),
    "wrong pax": (ended(member(b"x", b"x", b"99 path=x\n"), GOOD), "pax header"),
    "pax of no length": (ended(member(b"x", b"x", b" path=x\n"), GOOD), "pax header"),
    "pax size": (ended(pax({"size": "1e9"}), GOOD), "is no size"),
    "one name for all": (ended(pax({"path": "same"}, b"g"), GOOD), "the same name"),
    "encrypted": (encrypted(), "'secret' is encrypted"),
    "lzma": (zip({"x": b"x" * 99}, zipfile.ZIP_LZMA), "make it with deflate"),
    "overlapping": (overlapping(50, MIB), "lies inside of another"),
    "said to be smaller": (lying(zip({"x": b"x" * 3000}), 3000, 1000), "CRC"),
    "said to be bigger": (lying(zip({"x": b"x" * 3000}), 3000, 4000), "damaged"),
}  # fmt: skip


@pytest.mark.parametrize(("data", "words"), WRONG.values(), ids=WRONG)
async def test_what_is_wrong_is_said(tmp_path: Path, data: bytes, words: str) -> None:
    error = await refusal(tmp_path, data)
    assert isinstance(error, BadFiles)
    assert words in str(error)


async def test_what_stands_behind_the_end_is_nobodys_business(tmp_path: Path) -> None:
    for data in (tar() + b"rubbish" * 99, COMPRESSED["gz"](tar()) + b"rubbish" * 99):
        assert (await unpacked(tmp_path, data))[0] == FILES


# Limits.

TIGHT = WorkspaceLimits(3, 100)
TOO_MUCH = {
    "files": (ended(*(member(b"f%d" % n) for n in range(4))), "more than 3 files"),
    "folders": (ended(*(member(b"f%d/" % n, b"5") for n in range(4))), "more than 3 folders"),
    "depth": (ended(member(b"a/b/c/d/e")), "more than 3 folders"),
    "bytes": (ended(member(b"a", content=b"x" * 60), member(b"b", content=b"x" * 60)), "too big"),
    "bytes in a zip": (zip({"a": b"x" * 60, "b": b"x" * 60}), "'b' is too big: 60 bytes more"),
}


@pytest.mark.parametrize(("data", "words"), TOO_MUCH.values(), ids=TOO_MUCH)
async def test_what_is_over_a_limit_is_refused(tmp_path: Path, data: bytes, words: str) -> None:
    assert words in str(await refusal(tmp_path, data, TIGHT))


async def test_members_without_end_are_counted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(archives, "MOST_MEMBERS", 10)
    data = ended(*(member(b".git/x%d" % n) for n in range(11)))
    assert "more than 10 members" in str(await refusal(tmp_path, data))


def nested(mebibytes: int) -> bytes:
    """What is left out, compressed so well that it takes next to nothing."""
    return COMPRESSED["gz"](ended(member(b".git/x", content=bytes(mebibytes * MIB))))


@pytest.mark.parametrize(
    "bomb", [zeros(64), overlapping(20_000, 8 * MIB)], ids=["gzip", "overlapping zip"]
)
async def test_a_bomb_stops_at_the_limit_and_takes_no_memory(tmp_path: Path, bomb: bytes) -> None:
    assert len(bomb) < 3 * MIB
    tracemalloc.start()
    try:
        error = await refusal(tmp_path, bomb)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert isinstance(error, BadFiles)
    assert peak < 40 * MIB
    assert sum(path.stat().st_size for path in below(tmp_path)) < 2 * MIB


async def test_what_is_left_out_has_a_limit_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(archives, "ASIDE_BYTES", MIB)
    assert "all that would be left out" in str(await refusal(tmp_path, nested(5)))


async def test_a_directory_too_big_to_be_held_is_refused(tmp_path: Path) -> None:
    error = await refusal(tmp_path, overlapping(200_000, 10))
    assert "its directory has" in str(error)


async def test_memory_for_xz_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compressed, "XZ_MEMORY", 1024)
    assert "Memory usage limit" in str(await refusal(tmp_path, COMPRESSED["xz"](tar())))


# Beside the others.


async def test_the_loop_goes_on_and_a_cancelled_one_has_stopped(tmp_path: Path) -> None:
    """The longest turn of the loop while a big archive is unpacked is told by `pytest -rP`."""
    (tmp_path / "archive").write_bytes(zeros(100))
    top = tmp_path / "top"
    top.mkdir()
    work = asyncio.create_task(unpack(tmp_path / "archive", Tree(top, WorkspaceLimits(9, 2**40))))
    longest, turns, before = 0.0, 0, time.monotonic()
    while not (top / "zeros").exists() or (top / "zeros").stat().st_size < 20 * MIB:
        await moment(0.001)
        now = time.monotonic()
        longest, turns, before = max(longest, now - before), turns + 1, now
    work.cancel()
    with pytest.raises(asyncio.CancelledError):
        await work
    size = (top / "zeros").stat().st_size
    await moment(0.02)
    assert (top / "zeros").stat().st_size == size < 100 * MIB
    assert turns > 5
    print(f"longest turn of the loop {longest * 1000:.1f} ms, {turns} turns")


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(
    st.sampled_from([tar(), COMPRESSED["gz"](tar()), COMPRESSED["xz"](tar()), zip()]),
    st.lists(st.tuples(st.floats(0, 1), st.integers(0, 255)), max_size=8),
    st.floats(0, 1),
)
@example(zip(), [], 0.999)
async def test_damage_anywhere_never_breaks_anything_else(
    tmp_path_factory: pytest.TempPathFactory,
    data: bytes,
    changes: list[tuple[float, int]],
    cut: float,
) -> None:
    broken = bytearray(data[: int(len(data) * cut) + 1])
    for place, value in changes:
        broken[int((len(broken) - 1) * place)] = value
    folder = tmp_path_factory.mktemp("fuzz")
    try:
        files, _ = await unpacked(folder, bytes(broken))
    except (BadFiles, ForbiddenPath):
        return
    assert sum(map(len, files.values())) <= ROOM.total
    outside = {path.name for path in folder.iterdir() if path.is_file()}
    assert outside == {"archive"}
