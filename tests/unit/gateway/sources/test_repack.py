"""From GitHub's archive to the one of a folder: what goes along, within limits, always the same."""

from __future__ import annotations

import gzip
import io
import tarfile
from collections.abc import Mapping, Sequence
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from contracts.errors import Reason, Rejected
from services.gateway.sources.repack import ArchiveLimits, Repacked, repack
from services.packed.wanted import MOST_BYTES
from services.packed.writer import Archive

LIMITS = ArchiveLimits(files=100, total=10**7, packed=10**7)
LINK = object()
Tree = Mapping[str, object]


def tarball(tree: Tree, top: str = "ann-app-1234567") -> bytes:
    """As GitHub makes it."""
    out = io.BytesIO()
    kind: Any = {"format": tarfile.PAX_FORMAT, "pax_headers": {"comment": "0" * 40}}
    with tarfile.open(fileobj=out, mode="w:gz", **kind) as t:
        t.addfile(folder(top))
        for name, content in tree.items():
            entry = tarfile.TarInfo(f"{top}/{name}")
            if content is LINK:
                entry.type, entry.linkname = tarfile.SYMTYPE, "/etc/passwd"
                t.addfile(entry)
            elif content is None:
                t.addfile(folder(f"{top}/{name}"))
            else:
                assert isinstance(content, bytes)
                entry.size = len(content)
                t.addfile(entry, io.BytesIO(content))
    return out.getvalue()


def folder(name: str) -> tarfile.TarInfo:
    entry = tarfile.TarInfo(name)
    entry.type = tarfile.DIRTYPE
    return entry


def repacked(
    data: bytes, paths: Sequence[str] = (), limits: ArchiveLimits = LIMITS
) -> tuple[Repacked, dict[str, bytes], bytes]:
    out = io.BytesIO()
    found = repack(io.BytesIO(data), out, sorted(paths), limits, lambda: None)
    with tarfile.open(fileobj=io.BytesIO(out.getvalue())) as tar:
        files = {}
        for entry in tar:
            file = tar.extractfile(entry)
            assert file is not None
            files[entry.name] = file.read()
    return found, files, out.getvalue()


TEXT = {"a.py": b"1", "src/b.py": b"22", "src/c/d.txt": b"333"}


def test_text_goes_along_under_its_own_name() -> None:
    found, files, _ = repacked(tarball(TEXT | {"empty": None}))
    assert files == TEXT
    assert found == Repacked(3, 6, {})


def test_what_is_no_text_of_ones_own_is_left_out_and_counted() -> None:
    odd: Tree = {
        "link": LINK,
        "img.png": b"\x89PNG\0\0",
        "wide.txt": "\ufeffhi".encode("utf-16-le"),
        "big.txt": b"x" * (MOST_BYTES + 1),
        "node_modules/m/i.js": b"1",
        ".secret/x": b"1",
        ".hidden": b"1",
        ".env.local": b"A=1",
        ".github/workflows/ci.yml": b"on: push",
        "a\\b": b"1",
        "x/git~1": b"1",
        ".git/config": b"1",
        "sub/.GIT/hooks/x": b"1",
        "n" * 600: b"1",
        "tab\there": b"1",
    }
    found, files, _ = repacked(tarball(TEXT | odd))
    assert files.keys() - TEXT.keys() == {"wide.txt", ".env.local", ".github/workflows/ci.yml"}
    assert found.left_out == {
        "links": 1,
        "binary": 1,
        "too big": 1,
        "installed": 1,
        "hidden": 2,
        "unusable names": 6,
    }


def test_paths_are_files_and_folders_and_what_is_named_is_taken_whatever_it_is() -> None:
    tree: Tree = TEXT | {".vscode/s.json": b"{}", "src2/x.py": b"1", "logo.png": b"\0png"}
    assert repacked(tarball(tree), ["src"])[1].keys() == {"src/b.py", "src/c/d.txt"}
    assert repacked(tarball(tree), ["src/c", "a.py"])[1].keys() == {"a.py", "src/c/d.txt"}
    assert repacked(tarball(tree), ["src", "src/c"])[1].keys() == {"src/b.py", "src/c/d.txt"}
    assert repacked(tarball(tree), [".vscode", "logo.png"])[1].keys() == {
        ".vscode/s.json",
        "logo.png",
    }


@pytest.mark.parametrize(
    ("tree", "paths", "reason", "words"),
    [
        (TEXT, ["src/none", "a.py"], Reason.NOT_FOUND, "no path 'src/none'"),
        (TEXT, ["sr"], Reason.NOT_FOUND, "no path 'sr'"),
        ({"l": LINK}, ["l"], Reason.BAD_REQUEST, "left out: 1 links"),
        ({"empty": None}, ["empty"], Reason.BAD_REQUEST, "nothing of it can go along"),
        ({}, [], Reason.BAD_REQUEST, "nothing of it can go along"),
    ],
)
def test_what_is_not_there_is_said(
    tree: Tree, paths: list[str], reason: Reason, words: str
) -> None:
    with pytest.raises(Rejected, match=words) as refused:
        repacked(tarball(tree), paths)
    assert refused.value.reason is reason


@pytest.mark.parametrize(
    ("limits", "words"),
    [
        (LIMITS._replace(files=2), "more than 2 files with one task"),
        (LIMITS._replace(total=5), "more than 5 bytes with one task"),
        (LIMITS._replace(packed=20), "more than 20 bytes packed"),
    ],
)
def test_limits_are_those_of_a_task(limits: ArchiveLimits, words: str) -> None:
    with pytest.raises(Rejected, match=words) as refused:
        repacked(tarball(TEXT), (), limits)
    assert refused.value.reason is Reason.TOO_LARGE
    assert "paths" in refused.value.message


@pytest.mark.parametrize("spoil", [lambda d: d[:-30], lambda d: b"not gzip", lambda d: d[:40] + d])
def test_a_damaged_archive_is_asked_for_again(spoil: object) -> None:
    with pytest.raises(Rejected, match="damaged") as refused:
        repacked(spoil(tarball(TEXT)))  # type: ignore[operator]
    assert refused.value.reason is Reason.UNAVAILABLE


def test_an_archive_that_grows_without_end_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("services.gateway.sources.repack.MOST_EXPANDED", 10**6)
    with pytest.raises(Rejected, match="bytes unpacked") as refused:
        repacked(gzip.compress(gzip.decompress(tarball({"big": b"\0" * 2 * 10**6}))))
    assert refused.value.reason is Reason.TOO_LARGE


PARTS = st.text("abz.-_ ä", min_size=1, max_size=4).filter(lambda part: not part.startswith("."))
TREES = st.dictionaries(
    st.lists(PARTS, min_size=1, max_size=3).map("/".join), st.binary(max_size=20), max_size=8
)


@settings(deadline=None)
@given(TREES, st.randoms(use_true_random=False), st.text("abc", min_size=1, max_size=9))
def test_the_bytes_are_those_of_the_same_folder_in_whatever_order_they_come(
    tree: dict[str, bytes], random: object, top: str
) -> None:
    tree = {n: d for n, d in tree.items() if b"\0" not in d and not n.strip(" .").endswith("/")}
    names = [n for n in tree if not any(o != n and o.startswith(f"{n}/") for o in tree)]
    names = [n for n in names if not any(part != part.strip(" .") for part in n.split("/"))]
    if not names:
        return
    expected = io.BytesIO()
    with Archive(expected) as archive:
        for name in sorted(names):
            archive.add(name, tree[name])
    shuffled = list(names)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    _, _, made = repacked(tarball({name: tree[name] for name in shuffled}, top))
    assert made == expected.getvalue()
