"""Files of a task and paths it may name: nothing leaves the workspace and the roots."""

from __future__ import annotations

import base64
import hashlib
import itertools
import os
import stat
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from contracts.result import Pointer
from contracts.subjects import BLOBS_BUCKET
from services.executor.attempt import workspace
from services.executor.attempt.tree import WorkspaceLimits
from services.executor.attempt.workspace import Bounds, Workspace, confine
from services.packed.names import BadFiles, ForbiddenPath
from tests.support.archives import FILES, tar

ROOM = WorkspaceLimits(10, 1000)


class OneBlob:
    """An object store that holds one blob."""

    def __init__(self, data: bytes) -> None:
        self.data = data

    async def get(self, what: Pointer | str) -> AsyncIterator[bytes]:
        for start in range(0, len(self.data), 4):
            yield self.data[start : start + 4]


def pointer(data: bytes, user: str = "alice") -> dict[str, object]:
    digest = hashlib.sha256(data).hexdigest()
    found = Pointer(f"nats://{BLOBS_BUCKET}/{user}/{digest}", digest, len(data))
    return {"pointer": msgspec.to_builtins(found)}


@pytest.fixture
def space(tmp_path: Path) -> Workspace:
    return Workspace(tmp_path / "workspaces", "alice", "t1", 1)


async def test_files_are_written_privately_and_removed(space: Workspace) -> None:
    files = {
        "a.py": "print('ä')",
        "deep/er/b.bin": {"base64": base64.b64encode(b"\0\1").decode()},
        "c.txt": pointer(b"from the store"),
    }
    await space.fill("alice", files, OneBlob(b"from the store"), ROOM)
    assert (space.path / "a.py").read_text(encoding="utf-8") == "print('ä')"
    assert (space.path / "deep/er/b.bin").read_bytes() == b"\0\1"
    assert (space.path / "c.txt").read_bytes() == b"from the store"
    assert stat.S_IMODE(space.path.stat().st_mode) == 0o700
    assert stat.S_IMODE((space.path / "a.py").stat().st_mode) == 0o600
    await space.remove()
    assert not space.path.exists()


async def test_nothing_is_made_when_nothing_is_needed(space: Workspace) -> None:
    await space.fill("alice", {}, None, ROOM)
    await space.fill("alice", ["a list is the task's own business"], None, ROOM)
    await space.remove()
    assert not space.path.parent.exists()


@pytest.mark.parametrize(
    "name", ["/etc/passwd", "../x", "a/../../x", "", ".", "a\0b", "a\\..\\b", "./../x"]
)
async def test_a_file_name_that_leads_out_is_refused(space: Workspace, name: str) -> None:
    with pytest.raises(ForbiddenPath):
        await space.fill("alice", {name: "x"}, None, ROOM)


GIT = [".git", ".GIT", ".git.", ".git ", " .git", ".git. .", ".git::$INDEX_ALLOCATION", "git~1"]
GIT += ["GIT~2", ".git:x", ".g\u200cit", "\uff0egit", ".gi\uff34"]


@pytest.mark.parametrize("name", GIT)
@pytest.mark.parametrize("form", ["{}", "{}/config", "deep/er/{}/hooks/pre-commit"])
async def test_no_file_makes_a_repository(space: Workspace, name: str, form: str) -> None:
    for content in ("gitdir: elsewhere", {"base64": ""}, pointer(b"x")):
        with pytest.raises(ForbiddenPath, match=r"nothing may be named \.git"):
            await space.fill("alice", {form.format(name): content}, OneBlob(b"x"), ROOM)
    assert not list(space.path.rglob("*"))


async def test_names_that_only_begin_like_a_repository_are_fine(space: Workspace) -> None:
    names = [".gitignore", ".gitattributes", ".github/workflows/x.yml", "git", "a.git", "git~x"]
    await space.fill("alice", dict.fromkeys(names, "x"), None, ROOM)
    assert (space.path / ".github/workflows/x.yml").is_file()


@pytest.mark.parametrize(
    ("files", "words"),
    [
        ({f"f{n}": "" for n in range(11)}, "at most 10"),
        ({"a": "x" * 600, "b": "x" * 600}, "too big"),
        ({"a": 7}, "give the text"),
        ({"a": {"base64": "§"}}, "a:"),
        ({"a": {"pointer": {"uri": "x"}}}, "sha256"),
        ({"a": "", "a/b": ""}, "also a folder"),
        ({"a": "", "./a": ""}, "there twice"),
        ({"a" * 300: ""}, "can't be written"),
        ({"/".join("abcdefghijkl") + "/x": ""}, "more than 10 folders"),
    ],
)
async def test_files_that_do_not_fit_are_refused(
    space: Workspace, files: dict[str, object], words: str
) -> None:
    with pytest.raises(BadFiles, match=words):
        await space.fill("alice", files, OneBlob(b""), ROOM)


async def test_nobody_reads_another_users_blob(space: Workspace) -> None:
    with pytest.raises(ForbiddenPath, match="no blob of user alice"):
        await space.fill("alice", {"a": pointer(b"x", "bob")}, OneBlob(b"x"), ROOM)


async def test_a_blob_that_is_bigger_than_it_says_is_stopped(space: Workspace) -> None:
    with pytest.raises(BadFiles, match="too big"):
        await space.fill("alice", {"a": pointer(b"x")}, OneBlob(b"x" * 5000), ROOM)


def inline(data: bytes) -> dict[str, str]:
    return {"base64": base64.b64encode(data).decode()}


async def test_a_workspace_takes_archive_and_files(space: Workspace) -> None:
    for entry in (inline(tar()), pointer(tar())):
        found = await space.fill("alice", {"more.txt": "x"}, OneBlob(tar()), ROOM, entry)
        assert found is not None
        assert found.files == 3
        files = {str(one.relative_to(space.path)) for one in space.path.rglob("*") if one.is_file()}
        assert files == {*FILES, "more.txt"}
        assert [one.name for one in space.path.parent.iterdir()] == ["alice.t1.1"]
        await space.remove()


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (inline(b"no"), "no archive"),
        ({"base64": "§"}, "input.archive"),
        ({"base64": 7}, "input.archive: give the text"),
        ({"pointer": 7}, "input.archive"),
        ({"pointer": pointer(b"x")["pointer"] | {"size": 2**40}}, "at most"),  # type: ignore[operator]
    ],
)
async def test_an_archive_that_does_not_fit_is_refused(
    space: Workspace, given: dict[str, Any], words: str
) -> None:
    with pytest.raises(BadFiles, match=words):
        await space.fill("alice", None, OneBlob(b""), ROOM, given)
    assert [one.name for one in space.path.parent.iterdir()] == ["alice.t1.1"]


async def test_an_archive_is_ones_own(space: Workspace) -> None:
    with pytest.raises(ForbiddenPath, match="no blob of user alice"):
        await space.fill("alice", None, OneBlob(tar()), ROOM, pointer(tar(), "bob"))


async def test_files_of_an_archive_are_not_overwritten(space: Workspace) -> None:
    with pytest.raises(BadFiles, match="top is there twice"):
        await space.fill("alice", {"top": "x"}, None, ROOM, inline(tar()))


async def test_what_a_task_type_calls_an_archive_may_be_its_own_business(space: Workspace) -> None:
    for entry in ("a name", ["x"], {"url": "…"}, None):
        assert await space.fill("alice", None, None, ROOM, entry) is None
    assert not space.path.exists()


def test_declared_paths_become_absolute_and_stay_inside(space: Workspace, tmp_path: Path) -> None:
    root = tmp_path / "root"
    root.mkdir()
    arguments = {
        "path": "src/a.py",
        "files": [{"path": str(root / "b")}, {"path": "c"}, {"other": 1}],
        "content": "../not a path",
        "none": None,
    }
    found = confine(arguments, ["path", "files.path", "none", "absent"], Bounds(space, [root]))
    home = os.path.realpath(space.path)
    assert found == {
        "path": f"{home}/src/a.py",
        "files": [{"path": str(root / "b")}, {"path": f"{home}/c"}, {"other": 1}],
        "content": "../not a path",
        "none": None,
    }
    assert space.path.is_dir()


def test_symbolic_links_do_not_lead_out(space: Workspace, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("x")
    (Path(space.ensure()) / "link").symlink_to(secret)
    with pytest.raises(ForbiddenPath, match="outside"):
        confine({"path": "link"}, ["path"], Bounds(space))
    (tmp_path / "root").symlink_to(tmp_path)
    bounds = Bounds(space, [tmp_path / "root"])
    assert confine({"path": str(secret)}, ["path"], bounds) == {"path": str(secret)}


def test_a_host_may_be_closed_to_what_users_bring_along(space: Workspace, tmp_path: Path) -> None:
    bounds = Bounds(space, [tmp_path], own=False)
    assert confine({"path": str(tmp_path / "x")}, ["path"], bounds) == {"path": str(tmp_path / "x")}
    for path in ("a.py", ".", str(space.path)):
        with pytest.raises(ForbiddenPath, match="outside the allowed folders"):
            confine({"path": path}, ["path"], bounds)


def test_a_root_around_the_data_folder_does_not_open_it(space: Workspace, tmp_path: Path) -> None:
    data = space.path.parent.parent
    other = Workspace(space.path.parent, "bob", "t1", 1)
    other.ensure()
    (tmp_path / "way-in").symlink_to(other.path)
    bounds = Bounds(space, [tmp_path, tmp_path.parent], private=data / "workspaces")
    for path in (other.path / "a.py", data / "workspaces", tmp_path / "way-in" / "a.py"):
        with pytest.raises(ForbiddenPath, match="outside"):
            confine({"path": str(path)}, ["path"], bounds)
    for fine in (str(space.path / "a.py"), str(tmp_path / "b.py")):
        assert confine({"path": fine}, ["path"], bounds) == {"path": fine}
    opened = bounds._replace(roots=[other.path])
    assert confine({"path": str(other.path)}, ["path"], opened) == {"path": str(other.path)}


ATTEMPTS = itertools.count(1)
PIECES = st.lists(
    st.sampled_from(["..", ".", "", "a", "etc", "/", "~", "root", "rootkit", "\0", "file:"]),
    max_size=6,
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(PIECES, st.booleans())
def test_no_path_argument_leaves_its_roots(
    tmp_path: Path, pieces: list[str], absolute: bool
) -> None:
    space = Workspace(tmp_path / "workspaces", "alice", "t1", next(ATTEMPTS))
    root = tmp_path / "root"
    text = ("/" if absolute else "") + "/".join(pieces)
    try:
        found = confine({"path": text}, ["path"], Bounds(space, [root]))["path"]
    except ForbiddenPath:
        return
    allowed = [os.path.realpath(space.path), os.path.realpath(root)]
    assert any(found == place or found.startswith(place + os.sep) for place in allowed)


def test_leftovers_of_an_earlier_run_are_swept(space: Workspace) -> None:
    space.ensure()
    assert workspace.sweep(space.path.parent) == 1
    assert list(space.path.parent.iterdir()) == []
    assert workspace.sweep(space.path / "nowhere") == 0


TOKEN = st.text("Aab-_0", min_size=1, max_size=64)


@given(st.lists(st.tuples(TOKEN, TOKEN, st.integers(1, 9)), unique=True, min_size=2))
def test_no_two_attempts_share_a_folder_whatever_the_disk_takes_for_one_letter(
    attempts: list[tuple[str, str, int]],
) -> None:
    names = [Workspace(Path("x"), *one).path.name for one in attempts]
    assert len({name.casefold() for name in names}) == len(names)
    assert max(map(len, names)) + len(".archive") <= 255
