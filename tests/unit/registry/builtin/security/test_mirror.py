"""The copies that engines read: UTF-8, the same lines, and a name that tells the language."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.registry.builtin.security import mirror

CODE = "def f(name):\n    return 'grüße ' + name\n"


def copied(folder: Path) -> dict[str, mirror.Copied]:
    names = sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())
    return {file.target.path: file for file in mirror.copies(folder, names, folder / ".root")}


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "latin-1"])
def test_a_copy_is_utf_8_with_the_same_lines(encoding: str, tmp_path: Path) -> None:
    (tmp_path / "a.py").write_bytes(CODE.replace("\n", "\r\n").encode(encoding))
    (file,) = copied(tmp_path).values()
    text = (tmp_path / ".root" / file.target.name).read_bytes().decode("utf-8")
    assert text == CODE.replace("\n", "\r\n")
    assert (file.unfit, file.replaced) == (None, 0)


def test_what_no_engine_can_use_has_a_reason_and_no_copy(tmp_path: Path) -> None:
    (tmp_path / "zero.py").write_bytes(b"a\0b\0\0\0c")
    (tmp_path / "min.js").write_text("var a=1;" * 2000)
    (tmp_path / "line.py").write_text("x = 1\n" * 2000 + "y = '" + "z" * 30_000 + "'\n")
    (tmp_path / "big.py").write_text("x = 1\n" * 900_000)
    reasons = {path: file.unfit[0] for path, file in copied(tmp_path).items() if file.unfit}
    assert reasons == {
        "big.py": "too_big",
        "line.py": "long_line",
        "min.js": "minified",
        "zero.py": "binary",
    }
    assert not (tmp_path / ".root").exists()


def test_odd_names_and_names_that_collide_get_copies_of_their_own(tmp_path: Path) -> None:
    (tmp_path / "tool").write_text(f"#!/usr/bin/env python3\n{CODE}")
    (tmp_path / "tool.py").write_text(CODE)
    (tmp_path / "new\nline.py").write_text(CODE)
    (tmp_path / "TOOL.py").write_text(CODE)
    files = copied(tmp_path)
    names = [file.target.name for file in files.values()]
    assert len({name.lower() for name in names}) == len(names) == 4
    assert all(name.endswith(".py") and name.isprintable() for name in names)
    assert all((tmp_path / ".root" / name).is_file() for name in names)


@given(st.text(min_size=1), st.sampled_from(["python", "typescript", "dockerfile", "lua", None]))
def test_a_name_keeps_its_path(path: str, language: str | None) -> None:
    assert mirror.name_of(path, language).startswith(path)
    named = mirror.name_of(path, language)
    assert mirror.name_of(named, language) == named
