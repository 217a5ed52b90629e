"""A named file is in the folder, or it is not read."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.registry.builtin.code.inside import Outside, name_in


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "in" / "deep").mkdir(parents=True)
    (tmp_path / "in" / "deep" / "a.py").write_text("x = 1\n")
    (tmp_path / "secret").write_text("no")
    (tmp_path / "in" / "link").symlink_to(tmp_path / "secret")
    (tmp_path / "in" / "up").symlink_to(tmp_path)
    return tmp_path / "in"


@pytest.mark.parametrize("path", ["deep/a.py", "./deep/a.py", "deep//a.py", "deep/./a.py"])
def test_a_file_has_one_name(folder: Path, path: str) -> None:
    assert name_in(folder, path) == "deep/a.py"


@pytest.mark.parametrize(
    ("path", "says"),
    [
        ("../secret", "without `..`"),
        ("deep/../../secret", "without `..`"),
        ("/etc/passwd", "without `..`"),
        ("", "without `..`"),
        (".", "without `..`"),
        ("a\0b", "without `..`"),
        ("link", "reached by a link"),
        ("up/secret", "reached by a link"),
        ("deep", "there is no file"),
        ("absent.py", "there is no file"),
        ("x" * 300, "there is no file"),
    ],
)
def test_anything_else_is_refused_with_its_reason(folder: Path, path: str, says: str) -> None:
    with pytest.raises(Outside) as refused:
        name_in(folder, path)
    assert says in str(refused.value)


@given(st.text("./ab\0~", max_size=12))
def test_no_name_leads_out(tmp_path_factory: pytest.TempPathFactory, path: str) -> None:
    folder = tmp_path_factory.getbasetemp()
    try:
        name = name_in(folder, path)
    except Outside:
        return
    assert (folder / name).resolve().is_relative_to(folder.resolve())
