"""What the built-in servers of ours have in common."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from services.registry.builtin import serving


def test_folders_of_calls_of_old_are_removed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", None)
    home = tmp_path / "home"
    serving.scratch(home)
    with serving.folder() as mine:
        assert mine.parent == home
    for name, age in (("call-old", 1), ("call-new", None), ("other", 1)):
        (home / name).mkdir()
        if age is not None:
            os.utime(home / name, (age, age))
    serving.scratch(home)
    assert {path.name for path in home.iterdir()} == {"call-new", "other"}
