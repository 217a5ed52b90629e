"""Files and folders become a task's input: in it, as blobs, or as one archive."""

from __future__ import annotations

import io
import json
import os
import tarfile
import tempfile
import threading
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.cli.app import execute
from services.cli.attach import (
    FEW,
    Accepts,
    Picked,
    UploadLimits,
    accepted,
    accepts,
    largest,
    name_path,
    room_inline,
    split,
)
from services.cli.common import CliError, Exit
from services.cli.folder import LocalFile
from tests.unit.cli.gateway import Gateway
from tests.unit.cli.test_ignored import write

VIEW = {"id": "t1", "user": "local", "type": "work", "status": "pending", "created_at": 1.0}
POINTER = {"kind": "pointer", "uri": "nats://blobs/u/x", "size": 1}
LIMITS = {
    "max_files": 10,
    "max_files_bytes": 1_000_000,
    "max_input_bytes": 500_000,
    "max_blob_bytes": 900_000,
    "inline_limit": 65536,
}
TEXTS: dict[str, Any] = {"type": "object", "additionalProperties": {"type": "string"}}
ANY = {"type": "object", "additionalProperties": {"type": ["string", "object"]}}
CLOSED = {"type": "object", "additionalProperties": False}
SCAN = CLOSED | {"properties": {"files": ANY, "archive": {}}}
ANALYSIS = CLOSED | {"properties": {"files": ANY, "archive": {}, "path": {}}}
OLD = CLOSED | {"properties": {"files": TEXTS, "path": {}}, "required": ["files", "path"]}


def serving(known: Gateway, **schemas: Any) -> None:
    """Let the gateway know task types by the schema of their input, and its limits."""
    types = {name: {"input_schema": schema} for name, schema in schemas.items()}
    known.ok("GET /api/mcps", [{"id": "one", "task_types": types}])
    known.ok("GET /api/limits", LIMITS)
    known.ok("POST /api/tasks", VIEW, 201)
    known.ok("PUT /api/blobs", POINTER, 201)


def sent(known: Gateway, what: str = "POST /api/tasks") -> list[Any]:
    return [body for asked, _, body in known.asked if asked == what]


def members(data: bytes) -> dict[str, str]:
    with tarfile.open(fileobj=io.BytesIO(data)) as tar:
        files = [(one.name, tar.extractfile(one)) for one in tar.getmembers()]
        return {name: file.read().decode() for name, file in files if file}


def test_path_is_added_only_where_the_task_type_has_it(known: Gateway, tmp_path: Path) -> None:
    serving(known, security_scan=SCAN, code_analysis=ANALYSIS, ast_parsing=OLD)
    write(tmp_path, "app.py")
    write(tmp_path, "b.py")
    for type_, files, path in (
        ("security_scan", ["app.py"], None),
        ("code_analysis", ["app.py"], "app.py"),
        ("code_analysis", ["app.py", "b.py"], None),
        ("ast_parsing", ["app.py", "b.py"], "app.py"),
        ("unknown", ["app.py"], None),
    ):
        options = [word for name in files for word in ("--file", name)]
        assert execute(["submit", type_, *options]) == Exit.OK
        body = sent(known)[-1]["input"]
        assert body["files"] == dict.fromkeys(files, "text\n")
        assert body.get("path") == path, type_
    assert execute(["submit", "code_analysis", '{"max_depth": 1}', "--file", "app.py"]) == Exit.OK
    assert sent(known)[-1]["input"] == {"max_depth": 1, "files": {"app.py": "text\n"}}


def test_what_is_small_needs_one_question_and_no_upload(known: Gateway, tmp_path: Path) -> None:
    serving(known, security_scan=SCAN)
    write(tmp_path, "app.py")
    assert execute(["submit", "security_scan", "--file", "app.py"]) == Exit.OK
    assert [asked for asked, _, _ in known.asked] == ["GET /api/mcps", "POST /api/tasks"]
    assert known.asked[0][1] == "task_type=security_scan"
    (tmp_path / "b.bin").write_bytes(b"\xff\0")
    assert execute(["submit", "security_scan", '{"rule": "x"}', "--file", "b.bin"]) == Exit.OK
    assert sent(known)[-1]["input"] == {"rule": "x", "files": {"b.bin": {"base64": "/wA="}}}


def test_a_small_folder_goes_along_in_the_input(
    known: Gateway, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    serving(known, security_scan=SCAN)
    write(tmp_path, "src/a/b.py", "b")
    write(tmp_path, "src/c.py", "c")
    write(tmp_path, "src/.hidden", "h")
    assert execute(["submit", "security_scan", "--file", "src"]) == Exit.OK
    printed = capsys.readouterr()
    assert printed.out == "t1\n"
    assert printed.err == "2 files, 2 bytes; left out: 1 hidden\n"
    assert sent(known)[-1]["input"] == {"files": {"a/b.py": "b", "c.py": "c"}}
    assert execute(["submit", "security_scan", "--file", "src", "--hidden", "--json"]) == Exit.OK
    printed = capsys.readouterr()
    assert (json.loads(printed.out), printed.err) == ({"task": "t1"}, "")
    assert set(sent(known)[-1]["input"]["files"]) == {".hidden", "a/b.py", "c.py"}


def test_many_files_go_as_one_archive_that_is_the_same_every_time(
    known: Gateway, tmp_path: Path
) -> None:
    serving(known, security_scan=SCAN)
    files = {f"src/{number}/é{number}.py": "x = 1\n" * 2000 for number in range(9)}
    for name, text in files.items():
        write(tmp_path, name, text)
    assert execute(["submit", "security_scan", "--file", "src"]) == Exit.OK
    (tmp_path / "src/1").rename(tmp_path / "src/old")
    write(tmp_path, "src/1/é1.py", "x = 1\n" * 2000)
    (tmp_path / "src/old/é1.py").unlink()
    (tmp_path / "src/0/é0.py").chmod(0o600)
    assert execute(["submit", "security_scan", '{"rule": "r"}', "--file", "src"]) == Exit.OK
    first, second = sent(known, "PUT /api/blobs")
    assert first == second
    assert members(first) == {name.removeprefix("src/"): text for name, text in files.items()}
    assert sent(known)[0]["input"] == {"archive": {"pointer": POINTER}}
    assert sent(known)[1]["input"] == {"archive": {"pointer": POINTER}, "rule": "r"}


def test_a_big_file_goes_as_a_blob_of_its_own(known: Gateway, tmp_path: Path) -> None:
    serving(known, code_analysis=ANALYSIS, ast_parsing=OLD)
    write(tmp_path, "big.py", "x" * 100_000)
    write(tmp_path, "small.py")
    files = ["--file", "big.py", "--file", "small.py"]
    assert execute(["submit", "code_analysis", *files]) == Exit.OK
    assert sent(known, "PUT /api/blobs") == [b"x" * 100_000]
    pointer = {"pointer": POINTER}
    assert sent(known)[-1]["input"] == {"files": {"small.py": "text\n", "big.py": pointer}}
    assert execute(["submit", "ast_parsing", *files]) == Exit.OK
    assert sent(known, "PUT /api/blobs")[-1]["files"]["big.py"] == "x" * 100_000
    assert sent(known)[-1]["input_pointer"] == POINTER, "a type that takes text only"


def test_too_much_is_refused_before_anything_is_sent(
    known: Gateway, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    serving(known, security_scan=SCAN)
    for number in range(12):
        write(tmp_path, f"src/{'gen' if number else 'own'}/{number}.py")
    assert execute(["submit", "security_scan", "--file", "src"]) == Exit.USAGE
    said = capsys.readouterr().err
    assert "12 files; the gateway takes 10 with one task (max_files). Nothing was sent." in said
    assert "Most are in gen/ (11), own/ (1)." in said
    assert ".metamcpignore" in said
    write(tmp_path, "heavy/a/b/c.py", "x" * 1_100_000)
    assert execute(["scan", "heavy"]) == Exit.USAGE
    said = capsys.readouterr().err
    assert "1.1 MB; the gateway takes 1.0 MB with one task (max_files_bytes)" in said
    assert "Most are in a/b/ (1.1 MB)." in said
    assert {asked for asked, _, _ in known.asked} == {"GET /api/limits"}


def test_limits_of_a_gateway_that_tells_none_are_those_it_had(
    known: Gateway, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    serving(known, security_scan=SCAN)
    del known.answers["GET /api/limits"]
    for number in range(1001):
        write(tmp_path, f"src/{number}.py", "")
    assert execute(["submit", "security_scan", "--file", "src"]) == Exit.USAGE
    assert "1,001 files; the gateway takes 1,000" in capsys.readouterr().err


def test_one_upload_has_its_limit_too(
    known: Gateway, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    serving(known, security_scan=SCAN)
    write(tmp_path, "a.py", "x" * 950_000)
    assert execute(["submit", "security_scan", "--file", "a.py"]) == Exit.USAGE
    assert "one upload may have 900.0 kB (max_blob_bytes)" in capsys.readouterr().err
    assert sent(known) == []


def test_bytes_that_arrive_otherwise_are_noticed(
    known: Gateway, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    serving(known, security_scan=SCAN)
    known.ok("PUT /api/blobs", POINTER | {"sha256": "0" * 64}, 201)
    write(tmp_path, "a.py", "x" * 90_000)
    assert execute(["submit", "security_scan", "--file", "a.py"]) == Exit.FAILED
    assert "not what was sent" in capsys.readouterr().err
    assert sent(known) == []


def test_a_type_of_one_file_wants_to_know_which_of_a_folder(
    known: Gateway, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    serving(known, ast_parsing=OLD)
    write(tmp_path, "src/a.py")
    assert execute(["submit", "ast_parsing", "--file", "src"]) == Exit.USAGE
    assert "works on one file" in capsys.readouterr().err
    assert execute(["submit", "ast_parsing", '{"path": "a.py"}', "--file", "src"]) == Exit.OK
    assert sent(known)[-1]["input"] == {"path": "a.py", "files": {"a.py": "text\n"}}


def test_a_name_that_the_input_has_already_is_refused(known: Gateway, tmp_path: Path) -> None:
    write(tmp_path, "a.py")
    for given_ in ('{"files": {"a.py": ""}}', '{"files": 3}'):
        assert execute(["submit", "work", given_, "--file", "a.py"]) == Exit.USAGE
    assert known.asked == []


def test_what_a_type_takes_is_read_from_the_host_that_is_named() -> None:
    hosts = [
        {"id": "one", "task_types": {"work": {"input_schema": OLD}}},
        {"id": "two", "task_types": {"work": {"input_schema": SCAN}}},
        {"id": "three", "task_types": {"work": {}}},
    ]
    assert accepts(hosts, "work", None) == Accepts(True, True, archive=False, pointers=False)
    assert accepts(hosts, "work", "two") == Accepts(False, False, archive=True, pointers=True)
    assert accepts(hosts, "work", "three") == accepts(hosts, "other", None) == Accepts()


@given(st.dictionaries(st.sampled_from(["properties", "required", "files"]), st.none() | st.text()))
def test_no_schema_is_too_odd(schema: dict[str, Any]) -> None:
    assert accepted(schema).archive


FILES = st.lists(st.integers(0, 200_000), min_size=1, max_size=20).map(
    lambda sizes: [LocalFile(f"{n}.py", Path(f"{n}.py"), size) for n, size in enumerate(sizes)]
)


@given(FILES, st.booleans(), st.booleans())
def test_each_file_goes_one_way(files: list[LocalFile], archive: bool, pointers: bool) -> None:
    takes, limits = Accepts(archive=archive, pointers=pointers), UploadLimits()
    inline, alone, together = split(files, takes, limits)
    assert sorted([*inline, *alone, *together]) == sorted(files)
    assert len(alone) <= FEW
    assert not (together and (inline or alone))
    assert archive or not together
    assert pointers or not alone
    if archive and pointers:
        assert sum(file.size for file in inline) <= room_inline(limits)


def test_the_biggest_folders_are_named() -> None:
    sizes = {"a/b/c/1": 5, "a/b/2": 6, "a/3": 1, "4": 2, "d/5": 3, "e/6": 1, "e/7": 1, "e/8": 1}
    files = [LocalFile(name, Path(name), size * 1000) for name, size in sizes.items()]
    assert largest(files, by_size=True) == "a/b/ (11.0 kB), d/ (3.0 kB), e/ (3.0 kB)"
    assert largest(files, by_size=False) == "e/ (3), a/b/ (2), a/ (1)"


def test_a_path_is_never_put_in_place_of_a_given_one() -> None:
    picked = Picked((LocalFile("a.py", Path("a.py"), 1),), {}, folders=False)
    assert name_path({"path": "b"}, picked, Accepts(path=True)) == {"path": "b"}
    assert name_path({}, picked, Accepts()) == {}
    with pytest.raises(CliError):
        name_path({}, picked._replace(folders=True), Accepts(path=True, path_required=True))


def test_what_can_be_read_once_only_is_sent_too(known: Gateway, tmp_path: Path) -> None:
    serving(known, code_analysis=ANALYSIS)
    for size in (5, 100_000):
        pipe = tmp_path / f"pipe{size}"
        os.mkfifo(pipe)
        writer = threading.Thread(target=pipe.write_bytes, args=(b"x" * size,))
        writer.start()
        assert execute(["submit", "code_analysis", "--file", pipe.name]) == Exit.OK
        writer.join()
    assert sent(known)[0]["input"]["files"] == {"pipe5": "xxxxx"}
    assert sent(known, "PUT /api/blobs") == [b"x" * 100_000]


def test_names_that_no_task_can_carry_are_said(
    known: Gateway, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("a\\b.py", os.fsdecode(b"\xff.py"), ".git"):
        (tmp_path / name).write_text("")
        assert execute(["submit", "work", "--file", name]) == Exit.USAGE
        assert "under the name" in capsys.readouterr().err
    (tmp_path / "\x1b[2J.py").write_text("")
    twice = ["--file", "\x1b[2J.py", "--file", "\x1b[2J.py"]
    assert execute(["submit", "work", *twice]) == Exit.USAGE
    assert "\x1b" not in capsys.readouterr().err
    assert known.asked == []


def test_a_type_that_takes_text_only_has_its_limit(
    known: Gateway, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    serving(known, ast_parsing=OLD)
    write(tmp_path, "a.py", "x" * 600_000)
    assert execute(["submit", "ast_parsing", "--file", "a.py"]) == Exit.USAGE
    assert "at most 500.0 kB may come (max_input_bytes)" in capsys.readouterr().err
    assert sent(known) == sent(known, "PUT /api/blobs") == []


def test_no_room_for_the_archive_is_said(
    known: Gateway,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    serving(known, security_scan=SCAN)
    for number in range(9):
        write(tmp_path, f"src/{number}.py", "x" * 9_000)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "nowhere"))
    assert execute(["submit", "security_scan", "--file", "src"]) == Exit.FAILED
    said = capsys.readouterr().err
    assert "can't be put into a temporary file: No such file or directory." in said
    assert "TMPDIR" in said
