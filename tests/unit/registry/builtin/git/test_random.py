"""Repositories that were worked on at random: every call has an answer in every state."""

from __future__ import annotations

import contextlib
import random
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.unit.registry.builtin.git.world import Repo, Tools

NAMES = ("a", "b", "d/x", "d/y", "l")
TEXTS = ("x\n" * 5, "y\n" * 5, "", "\0", "x\ny\nz\n" * 4, "x\n" * 6)
CALLS = (
    *[("git_status", {}), ("git_status", {"untracked": "all", "ignored": True})],
    *[("git_diff", {}), ("git_diff", {"target": "other"}), ("git_diff", {"target": "main..other"})],
    *[("git_diff_unstaged", {}), ("git_diff_staged", {}), ("git_show", {"revision": "other"})],
    *[("git_show", {}), ("git_log", {"revision": "HEAD@{0}"}), ("git_branch", {})],
)


def gone(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


class Worker:
    """Does what people do to files, and what they regret."""

    def __init__(self, repo: Repo, inner: Repo, seed: int) -> None:
        self.repo, self.inner = repo, inner
        self.chance = random.Random(seed)

    def act(self, times: int) -> None:
        for _ in range(times):
            self.name = self.chance.choice(NAMES)
            doing: list[Callable[[], object]] = [self.write, self.write, self.link, self.nest]
            doing += [self.drop, self.move, self.mode, self.intend]
            # git and the disk refuse much of it.
            with contextlib.suppress(AssertionError, OSError):
                self.chance.choice(doing)()

    def write(self) -> None:
        self.drop()
        self.repo.write(self.name, self.chance.choice(TEXTS))

    def drop(self) -> None:
        gone(self.repo.path / self.name)

    def link(self) -> None:
        self.drop()
        (self.repo.path / self.name).symlink_to(self.chance.choice(("a", "/etc")))

    def nest(self) -> None:
        self.drop()
        shutil.copytree(self.inner.path, self.repo.path / self.name)

    def move(self) -> None:
        self.repo.git("mv", self.name, self.chance.choice(NAMES))

    def mode(self) -> None:
        (self.repo.path / self.name).chmod(self.chance.choice((0o644, 0o755)))

    def intend(self) -> None:
        self.repo.git("add", *self.chance.choice(((), ("--intent-to-add",))), self.name)

    def tried(self, *arguments: str) -> None:
        with contextlib.suppress(AssertionError):
            self.repo.git(*arguments)


@pytest.mark.long
@pytest.mark.parametrize("seed", range(40))
async def test_every_state_has_an_answer(seed: int, root: Path, repo: Repo, tools: Tools) -> None:
    inner = Repo(root / "inner")
    inner.commit(a="1\n")
    worker = Worker(repo, inner, seed)
    worker.act(4)
    repo.git("commit", "--quiet", "--allow-empty", "--message=Begin")
    repo.git("branch", "other")
    for branch in ("other", "main"):
        worker.tried("checkout", "--quiet", "--force", branch)
        worker.act(5)
        worker.tried("add", "--all")
        worker.tried("commit", "--quiet", "--allow-empty", "--message=Work")
    worker.tried("merge", "--quiet", "other")
    worker.act(4)
    for tool, asked in CALLS:
        assert await tools(tool, repo, **asked)
