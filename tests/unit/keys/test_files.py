"""The key files of a data folder: changed by one at a time, as a whole or not at all."""

from __future__ import annotations

import concurrent.futures
import contextlib
import fcntl
import multiprocessing
import os
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from services.keys.files import KeyFolder
from services.keys.permits import BadKey, SigningKey, load

FOREVER = """
import sys
from pathlib import Path
from services.keys.files import KeyFolder

folder = KeyFolder(Path(sys.argv[1]))
while True:
    found = folder.look()
    folder.make_next("EdDSA", found.signing.kid)
    sys.stdout.write("made\\n")
    following = folder.look().next
    if following is not None:
        folder.promote(following.kid)
    sys.stdout.write("promoted\\n")
    sys.stdout.flush()
"""


@pytest.fixture
def folder(tmp_path: Path) -> KeyFolder:
    one = KeyFolder(tmp_path)
    one.create("EdDSA")
    return one


def signing(folder: KeyFolder) -> SigningKey:
    found = folder.look().signing
    assert found is not None
    return found


def following(folder: KeyFolder) -> SigningKey:
    found = folder.look().next
    assert found is not None
    return found


def others(folder: KeyFolder) -> list[str]:
    """Files besides the two keys and the lock."""
    known = {folder.signing.name, folder.next.name, "permit.lock"}
    return sorted({entry.name for entry in folder.signing.parent.iterdir()} - known)


@contextlib.contextmanager
def somebody_else_at_work(folder: KeyFolder) -> Iterator[None]:
    with folder.signing.with_name("permit.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def test_an_empty_folder_has_no_keys(tmp_path: Path) -> None:
    assert KeyFolder(tmp_path).look() == (None, None, "")


def test_a_next_key_is_made_beside_the_first_and_takes_its_place(folder: KeyFolder) -> None:
    old = signing(folder)
    folder.make_next("RS256", old.kid)
    new = following(folder)
    assert (new.algorithm, signing(folder)) == ("RS256", old)
    assert stat.S_IMODE(folder.next.stat().st_mode) == 0o600
    folder.promote(new.kid)
    assert signing(folder).kid == new.kid
    assert folder.look().next is None
    assert stat.S_IMODE(folder.signing.stat().st_mode) == 0o600
    assert others(folder) == []


def test_what_has_been_overtaken_changes_nothing(folder: KeyFolder) -> None:
    old = signing(folder)
    folder.make_next("EdDSA", "somebody")
    assert folder.look() == (old, None, "")
    folder.make_next("EdDSA", old.kid)
    new = following(folder)
    folder.make_next("EdDSA", old.kid)
    folder.promote(old.kid)
    assert folder.look() == (old, new, "")
    folder.promote(new.kid)
    folder.promote(new.kid)
    folder.make_next("EdDSA", old.kid)
    assert signing(folder).kid == new.kid
    assert folder.look().next is None


def test_who_finds_somebody_at_work_leaves_it_to_them(folder: KeyFolder) -> None:
    old = signing(folder)
    with somebody_else_at_work(folder):
        folder.make_next("EdDSA", old.kid)
        assert folder.look() == (old, None, "")
    folder.make_next("EdDSA", old.kid)
    new = following(folder)
    with somebody_else_at_work(folder):
        folder.promote(new.kid)
        assert folder.look() == (old, new, "")


def test_a_file_is_read_again_only_when_it_has_changed(folder: KeyFolder) -> None:
    old = signing(folder)
    assert signing(folder) is old
    folder.make_next("EdDSA", old.kid)
    assert following(folder) is following(folder)
    folder.promote(following(folder).kid)
    assert signing(folder) is not old


def test_drafts_of_the_dead_are_swept(folder: KeyFolder) -> None:
    draft = folder.next.with_name(f".{folder.next.name}.1.abcd")
    draft.write_text("half a key")
    folder.make_next("EdDSA", signing(folder).kid)
    assert not draft.exists()


@pytest.mark.parametrize("how", ["garbage", "readable by others", "a folder"])
def test_a_next_key_that_cannot_be_used_stops_nobody_from_signing(
    folder: KeyFolder, how: str
) -> None:
    old = signing(folder)
    if how == "a folder":
        folder.next.mkdir(mode=0o700)
    else:
        folder.make_next("EdDSA", old.kid)
    if how == "garbage":
        folder.next.write_text("nonsense")
    elif how == "readable by others":
        folder.next.chmod(0o644)
    found = KeyFolder(folder.signing.parents[1]).look()
    assert found.signing is not None
    assert (found.signing.kid, found.next) == (old.kid, None)
    assert found.problem.startswith("The next permit key is not used: ")
    with pytest.raises(BadKey):
        folder.promote(old.kid)
    assert load(folder.signing).kid == old.kid


def _race(data: Path, first: str) -> str:
    """Replace the first key, as one of many."""
    folder = KeyFolder(data)
    give_up = time.monotonic() + 30
    while time.monotonic() < give_up:
        found = folder.look()
        if found.signing is not None and found.signing.kid != first:
            return found.signing.kid
        if found.next is None:
            folder.make_next("EdDSA", first)
        else:
            folder.promote(found.next.kid)
    return "never"


def test_executors_that_rotate_at_once_end_with_one_key(folder: KeyFolder) -> None:
    data, first = folder.signing.parents[1], signing(folder).kid
    spawning = multiprocessing.get_context("spawn")
    with concurrent.futures.ProcessPoolExecutor(3, mp_context=spawning) as pool:
        kids = set(pool.map(_race, [data] * 6, [first] * 6))
    assert kids == {signing(folder).kid} != {first}
    assert folder.look().next is None
    assert others(folder) == []


def test_a_kill_leaves_whole_keys_and_no_lock(folder: KeyFolder) -> None:
    data = folder.signing.parents[1]
    for rounds in range(1, 6):
        program = subprocess.Popen(
            [sys.executable, "-c", FOREVER, str(data)], stdout=subprocess.PIPE, text=True
        )
        assert program.stdout is not None
        for _ in range(rounds):
            assert program.stdout.readline() != ""
        os.kill(program.pid, signal.SIGKILL)
        program.wait()
        program.stdout.close()
        before = folder.look()
        assert before.signing is not None
        assert before.problem == ""
        folder.make_next("EdDSA", before.signing.kid)
        folder.promote(following(folder).kid)
        assert signing(folder).kid != before.signing.kid
        assert others(folder) == []
