"""What is written on the command line becomes a task's input, or a usage error that helps."""

from __future__ import annotations

import io
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from contracts.host import Capability
from services.cli.common import CliError, Exit, long_names
from services.cli.input import capability, read_input


def test_json_text_a_file_and_standard_input_mean_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = '{"a": [1, 2]}'
    path = tmp_path / "input.json"
    path.write_text(text)
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BytesIO(text.encode())))
    expected = {"a": [1, 2]}
    assert [read_input(given, ()) for given in (text, str(path), "-")] == [expected] * 3


def test_no_input_is_an_empty_object() -> None:
    assert read_input(None, ()) == {}


def test_files_are_added_and_the_first_is_the_path_unless_the_input_says(tmp_path: Path) -> None:
    one, two = tmp_path / "one.py", tmp_path / "two.bin"
    one.write_text("x = 1\n")
    two.write_bytes(b"\xff\x00")
    files = {"one.py": "x = 1\n", "two.bin": {"base64": "/wA="}}
    assert read_input(None, (one, two)) == {"files": files, "path": "one.py"}
    assert read_input('{"path": "two.bin"}', (one, two)) == {"files": files, "path": "two.bin"}


@pytest.mark.parametrize("text", ["{", "[1]", "nowhere.json", '{"files": 3}', "true"])
def test_what_is_no_object_is_a_usage_error(text: str, tmp_path: Path) -> None:
    path = tmp_path / "a.py"
    path.write_text("")
    with pytest.raises(CliError) as caught:
        read_input(text, (path,))
    assert caught.value.code is Exit.USAGE


def test_two_files_of_one_name_are_refused(tmp_path: Path) -> None:
    (tmp_path / "b").mkdir()
    paths = (tmp_path / "a.py", tmp_path / "b" / "a.py")
    for path in paths:
        path.write_text("")
    with pytest.raises(CliError, match=r"two files named a\.py"):
        read_input(None, paths)


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("scan", Capability("scan")),
        ("scan@2.1", Capability("scan", "2.1")),
        ("scan:fast,deep", Capability("scan", parameters=("fast", "deep"))),
        ("scan@2:fast", Capability("scan", "2", ("fast",))),
    ],
)
def test_a_capability_is_name_version_and_parameters(text: str, meant: Capability) -> None:
    assert capability(text) == meant


@pytest.mark.parametrize("text", ["", "@1", "scan@", ":x"])
def test_half_a_capability_is_a_usage_error(text: str) -> None:
    with pytest.raises(CliError):
        capability(text)


def test_short_names_are_settings_and_the_long_ones_win() -> None:
    assert long_names({"METAMCP_URL": "a", "HOME": "h"}) == {"METAMCP_CLI_URL": "a", "HOME": "h"}
    assert long_names({"METAMCP_TOKEN": "a", "METAMCP_CLI_TOKEN": "b"}) == {
        "METAMCP_CLI_TOKEN": "b"
    }
