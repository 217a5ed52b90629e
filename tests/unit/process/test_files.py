"""Files that are whole or not there, that only their owner reads; locks; ports."""

from __future__ import annotations

import os
import socket
import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from services.process import files
from services.process.files import (
    FolderInUse,
    create_private,
    drafts,
    free_port,
    is_private,
    lock,
    lock_folder,
    port_is_free,
    private,
    write_private,
    write_shared,
)


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_a_private_file_is_replaced_and_stays_private(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_text("for everybody")
    path.chmod(0o644)
    write_private(path, b"mine")
    assert (path.read_bytes(), mode(path), is_private(path)) == (b"mine", 0o600, True)
    assert list(tmp_path.iterdir()) == [path]


def test_a_shared_file_is_as_the_umask_says(tmp_path: Path) -> None:
    path = tmp_path / "a"
    before = os.umask(0o022)
    try:
        write_shared(path, b"ours")
    finally:
        os.umask(before)
    assert (path.read_bytes(), mode(path), is_private(path)) == (b"ours", 0o644, False)


@pytest.mark.parametrize("write", [write_private, write_shared, create_private])
def test_what_cannot_be_written_leaves_nothing_and_changes_nothing(
    tmp_path: Path, write: object
) -> None:
    path = tmp_path / "a"
    path.mkdir()
    (path / "inside").touch()
    assert callable(write)
    if write is create_private:
        write(path, b"new")
    else:
        with pytest.raises(OSError, match="directory"):
            write(path, b"new")
    assert list(tmp_path.iterdir()) == [path]
    assert (path / "inside").exists()


def test_of_many_who_make_a_file_at_once_all_find_the_first(tmp_path: Path) -> None:
    path = tmp_path / "keys" / "a"
    with ThreadPoolExecutor(8) as threads:
        found = threads.map(
            lambda n: (create_private(path, b"%d" % n), path.read_bytes())[1], range(64)
        )
        assert len(set(found)) == 1
    assert (mode(path), mode(path.parent)) == (0o600, 0o700)
    assert list(path.parent.iterdir()) == [path]


def test_what_the_dead_have_left_is_found(tmp_path: Path) -> None:
    left = tmp_path / ".a.1.abcd"
    for path in (left, tmp_path / "a", tmp_path / ".ab.1.abcd"):
        path.touch()
    assert list(drafts(tmp_path / "a")) == [left]


def test_a_file_opened_for_more_is_private_from_the_start(tmp_path: Path) -> None:
    for text in ("one", "two"):
        with open(tmp_path / "a", "a", opener=private) as file:
            file.write(text)
    assert ((tmp_path / "a").read_text(), mode(tmp_path / "a")) == ("onetwo", 0o600)


def test_a_lock_is_had_by_one_at_a_time(tmp_path: Path) -> None:
    first = lock(tmp_path / "a")
    assert first is not None
    assert lock(tmp_path / "a") is None
    os.close(first)
    second = lock(tmp_path / "a")
    assert second is not None
    os.close(second)


def test_a_locked_folder_says_whose_it_is(tmp_path: Path) -> None:
    data = tmp_path / "deep" / "data"
    held = lock_folder(data)
    with pytest.raises(FolderInUse, match=f"process {os.getpid()}$") as refused:
        lock_folder(data)
    assert refused.value.owner == str(os.getpid())
    os.close(held)
    (data / "lock").write_text("the words of somebody who was here before")
    os.close(lock_folder(data))
    assert (data / "lock").read_text() == f"{os.getpid()}\n"


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_a_port_is_free_until_somebody_listens(host: str) -> None:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as server:
        server.bind((host, 0))
        server.listen()
        port = server.getsockname()[1]
        assert not port_is_free(host, port)
    assert port_is_free(host, port)


def test_a_free_port_is_free() -> None:
    assert port_is_free("127.0.0.1", free_port("127.0.0.1"))


def test_a_private_folder_is_closed_to_others_also_where_it_was_open(tmp_path: Path) -> None:
    folder = tmp_path / "a" / "b" / "c"
    files.private_folder(folder)
    assert all(files.is_private(one) for one in (folder, folder.parent, tmp_path / "a"))
    folder.chmod(0o755)
    (folder / "kept").write_text("x")
    files.private_folder(folder)
    assert files.is_private(folder)
    assert (folder / "kept").read_text() == "x"


def test_a_data_folder_is_closed_to_others_once_it_is_used(tmp_path: Path) -> None:
    data = tmp_path / "data"
    data.mkdir(mode=0o755)
    os.close(files.lock_folder(data))
    assert files.is_private(data)
