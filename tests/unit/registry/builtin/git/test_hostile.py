"""Repositories of people who want more: nothing of theirs runs.

All of it holds without the sandbox, which these tests do not use.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.unit.registry.builtin.git.world import Repo, Tools, everything

PROGRAMS = """
    core.fsmonitor core.hooksPath core.pager core.editor core.sshCommand core.gitProxy core.askPass
    diff.external diff.evil.command diff.evil.textconv merge.evil.driver filter.evil.clean
    filter.evil.smudge filter.evil.process gpg.program gpg.ssh.program pager.log pager.status
    alias.log alias.status alias.diff credential.helper uploadpack.packObjectsHook
    remote.origin.uploadpack remote.origin.vcs sequence.editor trailer.x.command
    blame.ignoreRevsFile interactive.diffFilter
""".split()
WORDS = {
    "core.attributesFile": "{outside}/attributes",
    "core.excludesFile": "{outside}/excludes",
    "diff.orderFile": "{outside}/order",
    "mailmap.file": "{outside}/mailmap",
    "include.path": "{outside}/config",
    "includeIf.gitdir:/.path": "{outside}/config",
    "log.showSignature": "true",
    "diff.noprefix": "true",
    "diff.renames": "false",
    "log.date": "relative",
    "format.pretty": "oneline",
    "status.short": "true",
    "status.branch": "false",
    "color.ui": "always",
    "core.quotePath": "true",
    "protocol.ext.allow": "always",
    "protocol.allow": "always",
    "extensions.partialClone": "origin",
    "remote.origin.promisor": "true",
    "remote.origin.url": "ext::{program}",
    "submodule.recurse": "true",
    "diff.submodule": "log",
    "trace2.eventTarget": "{outside}/trace",
}


@pytest.fixture
def program(outside: Path) -> Iterator[Path]:
    """Leaves a file beside itself when it runs, and never may."""
    path = outside / "program"
    path.write_text(f"#!/bin/sh\ntouch {outside}/ran\ncat\n")
    path.chmod(0o755)
    yield path
    assert not (outside / "ran").exists()


@pytest.fixture
def victim(repo: Repo) -> Repo:
    """A repository with something to look at for every call."""
    repo.write(".gitattributes", "* diff=evil filter=evil merge=evil\n")
    repo.commit(a="one\n", b="one\n")
    repo.commit("Two", a="two\n")
    repo.git("tag", "--annotate", "--message=Tag", "v1")
    repo.write("a", "three\n")
    repo.write("b", "staged\n")
    repo.git("add", "b")
    return repo


async def test_no_program_that_a_repository_names_runs(
    victim: Repo, tools: Tools, program: Path, outside: Path
) -> None:
    before = await everything(tools, victim)
    for key in PROGRAMS:
        victim.git("config", key, str(program))
    for key, value in WORDS.items():
        victim.git("config", key, value.format(outside=outside, program=program))
    (outside / "config").write_text(f"[core]\n\tfsmonitor = {program}\n")
    (outside / "attributes").write_text("* binary\n")
    (outside / "mailmap").write_text("Eve <eve@example.org> <ann@example.org>\n")
    hooks = victim.path / ".git" / "hooks"
    hooks.mkdir()
    for hook in ("post-index-change", "fsmonitor-watchman", "pre-auto-gc", "reference-transaction"):
        (hooks / hook).symlink_to(program)
    after = await everything(tools, victim)
    for answer in after:
        assert isinstance(answer, dict)
        notes = answer.pop("notes", [])
        assert all("(evil)" in note for note in notes)
    assert after == before
    assert not (outside / "trace").exists()


async def test_the_same_repository_would_have_run_it(victim: Repo, outside: Path) -> None:
    """Else the test above could not fail."""
    program = outside / "real"
    program.write_text(f"#!/bin/sh\ntouch {outside}/really\ncat\n")
    program.chmod(0o755)
    for key in ("core.fsmonitor", "diff.evil.textconv", "filter.evil.clean"):
        victim.git("config", key, str(program))
        victim.git("diff")
        assert (outside / "really").exists(), key
        (outside / "really").unlink()
        victim.git("config", "--unset", key)


async def test_filters_that_are_not_run_are_named(victim: Repo, tools: Tools) -> None:
    victim.git("config", "filter.lfs.process", "git-lfs filter-process")
    await tools("git_status", victim)
    assert "(lfs): they are not run" in tools.text


@pytest.mark.parametrize(
    "line",
    [
        "[core]\n\trepositoryformatversion = 2",
        "[core]\n\trepositoryformatversion = 1\n[extensions]\n\tfuture = true",
        "[core]\n\trepositoryformatversion = 1\n[extensions]\n\trefStorage = reftable",
        "[core",
    ],
)
async def test_a_repository_of_a_kind_that_is_not_known(
    repo: Repo, tools: Tools, line: str
) -> None:
    repo.commit(a="1\n")
    (repo.path / ".git" / "config").write_text(f"{line}\n")
    words = await tools.refused("git_log", repo)
    assert "not known here" in words or "can't be read" in words


async def test_no_option_is_smuggled_in(victim: Repo, tools: Tools, outside: Path) -> None:
    option = f"--output={outside}/written"
    tries: list[tuple[str, dict[str, Any]]] = [
        ("git_log", {"revision": option}),
        ("git_diff", {"target": option}),
        ("git_diff", {"target": f"HEAD..{option}"}),
        ("git_show", {"revision": option}),
        ("git_show", {"revision": f"{option}:a"}),
        ("git_blame", {"path": "a", "revision": option}),
        ("git_blame", {"path": option}),
        ("git_branch", {"contains": option}),
        ("git_branch", {"merged": option}),
        ("git_grep", {"pattern": "x", "revision": "--open-files-in-pager=touch"}),
        ("git_grep", {"pattern": "x", "paths": ["--open-files-in-pager=touch"]}),
    ]
    for tool, more in tries:
        assert await tools.refused(tool, victim, **more)
    for tool in ("git_log", "git_diff", "git_show", "git_diff_staged"):
        await tools(tool, victim, paths=[option, ":(top)*", ":!a"])
    await tools("git_log", victim, author=option, message="-n1")
    await tools("git_grep", victim, pattern=option)
    assert not (outside / "written").exists()
