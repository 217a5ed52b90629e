"""A repository in a folder of its own, and the tools that may read this folder."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.unit.registry.builtin.git.world import SECRET, Repo, Tools


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """The only folder that may be read; what lies beside it is outside."""
    folder = tmp_path / "root"
    folder.mkdir()
    return folder


@pytest.fixture
def repo(root: Path) -> Repo:
    return Repo(root / "repo")


@pytest.fixture
def tools(root: Path) -> Tools:
    return Tools(root)


@pytest.fixture
def outside(tmp_path: Path) -> Path:
    """A folder beside the root, with a repository in it that holds a secret."""
    folder = tmp_path / "outside"
    Repo(folder / "theirs").commit(SECRET, a=SECRET + "\n")
    return folder
