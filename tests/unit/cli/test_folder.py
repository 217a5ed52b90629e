"""Which files of a folder go with a task, and what is left out of it for which reason."""

from __future__ import annotations

import contextlib
import gzip
import io
import os
import tarfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.cli import folder as folders
from services.cli.attach import pick
from services.cli.common import CliError, Exit
from services.cli.folder import LocalFile, Unreadable, read, walk
from services.packed.writer import Archive
from tests.unit.cli.test_ignored import write


def names(folder: Path, *, hidden: bool = False) -> list[str]:
    return [file.name for file in walk(folder, hidden=hidden).files]


def test_files_come_in_order_with_slashes_and_their_sizes(tmp_path: Path) -> None:
    for name in ("b.py", "a/z.py", "a/b/c.py", "a-b.py", "é.py"):
        write(tmp_path, name, name)
    found = walk(tmp_path)
    assert [file.name for file in found.files] == ["a-b.py", "a/b/c.py", "a/z.py", "b.py", "é.py"]
    assert all(file.size == len(file.name.encode()) for file in found.files)
    assert found.left_out == {}


def test_everything_that_stays_at_home_is_counted_with_its_reason(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(folders, "MOST_BYTES", 1000)
    write(tmp_path, "a.py")
    write(tmp_path, "big.py", "x" * 1001)
    (tmp_path / "image").write_bytes(b"\x89PNG\0\0")
    write(tmp_path, ".hidden.py")
    write(tmp_path, ".idea/a.xml")
    write(tmp_path, "out/b.py")
    write(tmp_path, ".gitignore", "out/\n")
    write(tmp_path, "node_modules/x/index.js")
    write(tmp_path, "own-env/pyvenv.cfg")
    write(tmp_path, "own-env/lib/a.py")
    write(tmp_path, ".git/config")
    (tmp_path / "link.py").symlink_to("a.py")
    (tmp_path / "loop").symlink_to(".")
    (tmp_path / "gone").symlink_to("nowhere")
    os.mkfifo(tmp_path / "pipe")
    write(tmp_path, "back\\slash.py")
    write(tmp_path, "git~1/a.py")
    (tmp_path / os.fsdecode(b"\xff.py")).write_text("x")
    found = walk(tmp_path)
    assert [file.name for file in found.files] == ["a.py"]
    assert found.left_out == {
        "binary": 1,
        "hidden": 2,
        "ignored": 1,
        "installed": 2,
        "links": 3,
        "no files": 1,
        "too big": 1,
        "unusable names": 3,
    }


def test_hidden_files_that_a_scan_is_for_go_along(tmp_path: Path) -> None:
    wanted = [".env", ".env.local", ".github/workflows/ci.yml", ".gitlab-ci.yml", ".npmrc"]
    for name in (*wanted, ".envelope", ".vscode/a.json", ".bashrc"):
        write(tmp_path, name)
    assert names(tmp_path) == wanted
    everything = sorted([*wanted, ".envelope", ".vscode/a.json", ".bashrc"])
    assert names(tmp_path, hidden=True) == everything


def test_a_repository_s_own_folder_never_goes_along(tmp_path: Path) -> None:
    write(tmp_path, ".git/config")
    write(tmp_path, "sub/.git/config")
    write(tmp_path, "sub/a.py")
    assert names(tmp_path, hidden=True) == ["sub/a.py"]


def test_text_of_two_bytes_a_character_is_no_binary_file(tmp_path: Path) -> None:
    (tmp_path / "a.cs").write_text("class A {}", encoding="utf-16")
    (tmp_path / "b.cs").write_bytes("class A {}".encode("latin-1") + b"\xe9")
    (tmp_path / "c.bin").write_bytes("class A {}".encode("utf-16-le"))
    assert names(tmp_path) == ["a.cs", "b.cs"]


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_what_may_not_be_read_is_counted(tmp_path: Path) -> None:
    write(tmp_path, "a.py")
    write(tmp_path, "closed/b.py")
    write(tmp_path, "c.py")
    (tmp_path / "closed").chmod(0)
    (tmp_path / "c.py").chmod(0)
    found = walk(tmp_path)
    (tmp_path / "closed").chmod(0o700)
    assert [file.name for file in found.files] == ["a.py"]
    assert found.left_out == {"unreadable": 2}


def test_a_folder_without_end_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(folders, "MOST_SEEN", 3)
    for number in range(4):
        write(tmp_path, f"{number}.py")
    with pytest.raises(CliError, match="more than 3 files and folders") as caught:
        walk(tmp_path)
    assert caught.value.code is Exit.USAGE


def test_very_deep_folders_are_no_trouble(tmp_path: Path) -> None:
    deep = "/".join(["d"] * 240)
    write(tmp_path, f"{deep}/a.py")
    write(tmp_path, f"{deep}/{'e' * 60}/b.py")
    found = walk(tmp_path)
    assert [file.name for file in found.files] == [f"{deep}/a.py"]
    assert found.left_out == {"unusable names": 1}


def test_a_file_that_is_another_one_by_now_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "a.py"
    path.write_text("12345")
    file = LocalFile("a.py", path, 5)
    assert read(file, 5) == b"12345"
    with pytest.raises(Unreadable, match="more than 4"):
        read(file, 4)
    path.unlink()
    path.symlink_to(tmp_path / "secret")
    (tmp_path / "secret").write_text("s")
    with pytest.raises(Unreadable):
        read(file, 5)
    path.unlink()
    os.mkfifo(path)
    with pytest.raises(Unreadable):
        read(file, 5)


def test_of_several_paths_each_folder_keeps_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("src/a.py", "tests/a.py", "setup.py"):
        write(tmp_path, name)
    paths = [tmp_path / name for name in ("src", "tests", "setup.py")]
    assert [file.name for file in pick(paths).files] == ["src/a.py", "tests/a.py", "setup.py"]
    assert [file.name for file in pick(paths[:1]).files] == ["a.py"]
    monkeypatch.chdir(tmp_path / "src")
    both = pick([Path(), Path("../setup.py")])
    assert [file.name for file in both.files] == ["src/a.py", "setup.py"]
    with pytest.raises(CliError, match=r"two files named a\.py"):
        pick([tmp_path / "src" / "a.py", tmp_path / "tests" / "a.py"])


def test_a_file_that_is_named_is_taken_whatever_it_is(tmp_path: Path) -> None:
    (tmp_path / ".hidden").write_bytes(b"\0\xff")
    write(tmp_path, ".gitignore", "*\n")
    (tmp_path / "link").symlink_to(".hidden")
    picked = pick([tmp_path / ".hidden", tmp_path / "link"])
    assert [(file.name, read(file, 9)) for file in picked.files] == [
        (".hidden", b"\0\xff"),
        ("link", b"\0\xff"),
    ]


def test_where_nothing_is_left_it_is_said_why(tmp_path: Path) -> None:
    write(tmp_path, ".hidden")
    with pytest.raises(CliError, match="nothing to send: 0 files, 0 bytes; left out: 1 hidden"):
        pick([tmp_path])
    with pytest.raises(CliError, match="nowhere can't be read"):
        pick([tmp_path / "nowhere"])


def packed(files: list[tuple[str, bytes]]) -> bytes:
    stream = io.BytesIO()
    with Archive(stream) as archive:
        for name, data in files:
            archive.add(name, data)
    assert archive.size == len(stream.getvalue())
    return stream.getvalue()


PART = st.text(st.characters(exclude_categories=["Cs", "Cc"], exclude_characters="/"), min_size=1)
FILES = st.lists(
    st.tuples(st.lists(PART, min_size=1, max_size=3).map("/".join), st.binary()),
    max_size=6,
    unique_by=lambda file: file[0],
)


@given(FILES)
def test_an_archive_has_the_files_and_nothing_of_the_machine(
    files: list[tuple[str, bytes]],
) -> None:
    data = packed(files)
    assert data == packed(files)
    with tarfile.open(fileobj=io.BytesIO(data)) as tar:
        found = [(one, tar.extractfile(one)) for one in tar.getmembers()]
        assert [(one.name, file.read()) for one, file in found if file] == files
        for one, _ in found:
            assert (one.mtime, one.uid, one.gid, one.uname, one.gname) == (0, 0, 0, "", "")
    assert int.from_bytes(data[4:8], "little") == 0, "the time of the archive"


def test_an_archive_that_breaks_off_is_none(tmp_path: Path) -> None:
    path = tmp_path / "a.tar.gz"
    with contextlib.suppress(ZeroDivisionError), path.open("wb") as file, Archive(file) as archive:
        archive.add("a", b"x" * 100_000)
        raise ZeroDivisionError
    with pytest.raises(EOFError):
        gzip.decompress(path.read_bytes())
