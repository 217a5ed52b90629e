"""Repositories that lead elsewhere: whatever they say, nothing outside the roots is read.

All of it holds without the sandbox, which these tests do not use.
"""

from __future__ import annotations

import hashlib
import os
import shutil
from pathlib import Path

from tests.unit.registry.builtin.git.world import SECRET, Repo, Tools, everything


async def test_a_git_folder_elsewhere_is_not_opened(
    root: Path, outside: Path, tools: Tools
) -> None:
    theirs = outside / "theirs" / ".git"
    for number, name in enumerate((".git", ".git/objects", ".git/refs", ".git/HEAD")):
        mine = Repo(root / f"link{number}")
        mine.commit(a="1\n")
        mine.path.joinpath(name).rename(root / f"moved{number}")
        mine.path.joinpath(name).symlink_to(outside / "theirs" / name)
        answers = await everything(tools, mine)
        assert all(isinstance(answer, str) for answer in answers), name
    pointing = root / "pointing"
    pointing.mkdir()
    (pointing / ".git").write_text(f"gitdir: {theirs}\n")
    common = Repo(root / "common")
    common.commit(a="1\n")
    (common.path / ".git" / "commondir").write_text(str(theirs))
    worktree = Repo(root / "worktree")
    worktree.commit(a="1\n")
    worktree.git("config", "core.worktree", str(outside / "theirs"))
    for folder in (pointing, common.path, worktree.path, outside / "theirs"):
        for answer in await everything(tools, folder):
            assert "outside the folders" in answer, folder


async def test_objects_are_borrowed_within_the_roots_only(
    root: Path, outside: Path, tools: Tools
) -> None:
    theirs = outside / "theirs"
    secret = Repo(theirs).git("rev-parse", "HEAD")
    near = Repo(root / "near")
    id_ = near.commit("Near", n="1\n")
    mine = Repo(root / "mine")
    mine.commit(a="1\n")
    alternates = mine.path / ".git" / "objects" / "info" / "alternates"
    alternates.parent.mkdir(exist_ok=True)
    alternates.write_text("# borrowed\n../../../near/.git/objects\n")
    assert (await tools("git_show", mine, revision=id_))["commit"]["subject"] == "Near"
    alternates.write_text(f"{theirs}/.git/objects\n")
    assert "outside" in await tools.refused("git_show", mine, revision=secret)
    alternates.write_text("../../../near/.git/objects\n")
    chained = near.path / ".git" / "objects" / "info" / "alternates"
    chained.parent.mkdir(exist_ok=True)
    chained.write_text(f"{theirs}/.git/objects\n")
    assert "outside" in await tools.refused("git_show", mine, revision=secret)
    for text in (f'"{theirs}/.git/objects"\n', "x" * 70_000):
        alternates.write_text(text)
        assert "alternates" in await tools.refused("git_show", mine, revision=secret)
    alternates.write_bytes(f"{theirs}/.git/objects\0\n".encode())
    assert "is no file" in await tools.refused("git_show", mine, revision=secret)
    (root / "a" / "b" / "outside" / "theirs" / ".git" / "objects").mkdir(parents=True)
    deep = root / "a" / "b" / "c" / "d" / "e" / "f"
    deep.mkdir(parents=True)
    (alternates.parent.parent / "deep").symlink_to(deep)
    alternates.write_text("deep/../../../../../outside/theirs/.git/objects\n")
    for refused in await everything(tools, mine):
        assert isinstance(refused, str)
    (alternates.parent.parent / "deep").unlink()
    assert "outside" in await tools.refused("git_show", mine, revision=secret)
    alternates.unlink()
    alternates.symlink_to(theirs / ".git" / "HEAD")
    assert "is no file" in await tools.refused("git_log", mine)


async def test_no_link_in_the_git_folder_leads_out(root: Path, outside: Path, tools: Tools) -> None:
    theirs = outside / "theirs" / ".git"
    secret = Repo(outside / "theirs").git("rev-parse", "HEAD")
    mine = Repo(root / "mine")
    mine.commit(a="1\n")
    stolen = f"objects/{secret[:2]}/{secret[2:]}"
    names = (stolen, "refs/heads/stolen", "packed-refs", "info/exclude", "logs/refs/x", "shallow")
    for name in (*names, "info/attributes", "objects/pack/x.pack", "objects/ff"):
        link = mine.path / ".git" / name
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(theirs / stolen)
        assert "outside" in await tools.refused("git_log", mine, revision=secret), name
        link.unlink()
    link = mine.path / ".git" / "index"
    link.unlink()
    link.symlink_to(theirs / "index")
    assert "can't be read" in await tools.refused("git_status", mine)
    (mine.path / ".git" / "config").unlink()
    os.mkfifo(mine.path / ".git" / "config")
    assert "is no file" in await tools.refused("git_log", mine)


async def test_packs_elsewhere_are_not_named_by_an_index_of_packs(
    root: Path, outside: Path, tools: Tools
) -> None:
    theirs = Repo(outside / "theirs")
    theirs.git("repack", "--quiet", "-a", "-d")
    theirs.git("multi-pack-index", "write")
    secret = theirs.git("rev-parse", "HEAD")
    packs = theirs.path / ".git" / "objects" / "pack"
    (pack,) = packs.glob("*.pack")
    for kind in ("pack", "idx"):
        (outside / f"p.{kind}").write_bytes(pack.with_suffix(f".{kind}").read_bytes())
    mine = Repo(root / "mine")
    mine.commit(a="mine\n")
    name = f"{pack.stem}.idx".encode()
    other = b"../../../../.." + b"outside/p.idx".rjust(len(name) - 14, b"/")
    index = mine.path / ".git" / "objects" / "pack" / "multi-pack-index"
    index.write_bytes((packs / "multi-pack-index").read_bytes().replace(name, other))
    assert SECRET in mine.git("show", secret), "git itself follows it"
    assert "there is no" in await tools.refused("git_show", mine, revision=secret)


async def test_an_index_with_names_outside_the_working_tree(
    repo: Repo, tmp_path: Path, outside: Path, tools: Tools
) -> None:
    (outside / "secret").write_text(SECRET + "\n")
    stand_ins = {"../../outside/secret": "aa/aa/outside/secret", "/etc/os": "aetc/os"}
    for name, stand_in in stand_ins.items():
        shutil.rmtree(repo.path / ".git")
        Repo(repo.path)
        repo.write(stand_in, "mine\n")
        repo.commit()
        index = repo.path / ".git" / "index"
        entries = index.read_bytes()[:-20].partition(b"TREE")[0]
        forged = entries.replace(stand_in.encode(), name.encode())
        index.write_bytes(forged + hashlib.sha1(forged).digest())
        if name.startswith(".."):
            assert SECRET in repo.git("diff"), "git itself follows it"
        for tool in ("git_status", "git_diff", "git_diff_unstaged"):
            assert "outside the working tree" in await tools.refused(tool, repo)
        assert (await tools("git_diff_staged", repo))["files"]


async def test_a_commit_with_names_outside_the_working_tree(
    repo: Repo, tools: Tools, outside: Path
) -> None:
    repo.write("a", "1\n")
    repo.git("add", "a")
    blob = bytes.fromhex(repo.git("rev-parse", ":a"))
    tree = b"100644 secret\0" + blob
    for name in (b"theirs", b"outside", b"..", b".."):
        made = repo.git("hash-object", "-t", "tree", "-w", "--stdin", "--literally", stdin=tree)
        tree = b"40000 " + name + b"\0" + bytes.fromhex(made)
    top = repo.git("hash-object", "-t", "tree", "-w", "--stdin", "--literally", stdin=tree)
    repo.git("update-ref", "HEAD", repo.git("commit-tree", "-m", "Out", top))
    (outside / "theirs" / ".gitattributes").write_text("* binary\n")
    for tool in ("git_status", "git_diff"):
        assert "outside the working tree" in await tools.refused(tool, repo)
    (file,) = (await tools("git_show", repo))["files"]
    assert (file["path"], file["binary"]) == ("../../outside/theirs/secret", False)


async def test_links_in_the_working_tree_are_not_followed(
    repo: Repo, outside: Path, tools: Tools
) -> None:
    repo.write("d/a", "mine\n")
    repo.commit(a="1\n")
    (repo.path / "d" / "a").unlink()
    (repo.path / "d").rmdir()
    (repo.path / "d").symlink_to(outside / "theirs")
    (repo.path / ".gitattributes").symlink_to(outside / "theirs" / "a")
    (repo.path / ".gitignore").symlink_to(outside / "theirs" / "a")
    await everything(tools, repo)
    diff = await tools("git_diff", repo, paths=["d/a"])
    assert [(file["path"], file["status"]) for file in diff["files"]] == [("d/a", "deleted")]
    assert (await tools("git_grep", repo, pattern="mine"))["matches"][0]["path"] == "d/a"
    (repo.path / ".gitmodules").symlink_to(outside / "theirs" / "a")
    assert "outside" in await tools.refused("git_status", repo)


async def test_a_submodule_that_leads_out_is_left_out(
    repo: Repo, outside: Path, tools: Tools
) -> None:
    commit = repo.commit(a="1\n")
    repo.git("update-index", "--add", "--cacheinfo", f"160000,{commit},sub")
    repo.git("commit", "--quiet", "--message=Sub")
    (repo.path / "sub").mkdir()
    assert (await tools("git_status", repo))["clean"]
    (repo.path / "sub" / ".git").write_text(f"gitdir: {outside}/theirs/.git\n")
    secret = Repo(outside / "theirs").git("rev-parse", "HEAD")
    for tool in ("git_status", "git_diff", "git_diff_unstaged"):
        answer = await tools(tool, repo)
        assert "submodules were left out" in tools.text
        assert secret not in repr(answer)


async def test_folders_that_are_closed_inside_the_roots(root: Path, tools: Tools) -> None:
    closed = Repo(root / "data" / "mine")
    closed.commit(a="1\n")
    pointing = root / "pointing"
    pointing.mkdir()
    (pointing / ".git").write_text(f"gitdir: {closed.path}/.git\n")
    strict = Tools(root, closed=(root / "data",))
    assert "outside" in await strict.refused("git_log", closed)
    assert "outside" in await strict.refused("git_log", pointing)
    assert (await tools("git_log", pointing))["commits"]
    around = Repo(root)
    around.write("data/[x] y/secret", SECRET)
    around.git("add", "--force", "data/[x] y")
    guarded = Tools(root, closed=(root / "data" / "[x] y",))
    around.git("commit", "--quiet", "--message=Oops")
    around.write("data/[x] y/secret", "changed " + SECRET)
    for tool in ("git_status", "git_diff", "git_diff_unstaged"):
        assert "names files outside" in await guarded.refused(tool, around)
    around.git("rm", "--quiet", "--cached", "-r", "data/[x] y")
    status = await guarded("git_status", around, untracked="all")
    new = {entry["path"] for entry in status["entries"] if entry["state"] == "untracked"}
    assert "data/mine/" in new
    assert not any("[x] y" in path for path in new)
    inner = Tools(closed.path, closed=(root / "data",))
    assert (await inner("git_log", closed))["commits"], "named by the operator itself"


async def test_what_is_no_repository_that_may_be_read(
    repo: Repo, root: Path, tmp_path: Path, tools: Tools
) -> None:
    repo.commit(a="1\n")
    (root / "empty").mkdir()
    (root / "broken" / ".git").mkdir(parents=True)
    (root / "file").touch()
    expected = {
        str(root / "empty"): "is no git repository",
        str(root / "broken"): "has no HEAD",
        str(root / "file"): "is no folder",
        str(root / "absent"): "is missing",
        "repo": "must be the absolute path",
        "a\0b": "must be the absolute path",
        "/etc": "outside the folders",
        f"{root}/../outside": "is missing",
        f"{root}/..": "outside the folders",
    }
    for path, words in expected.items():
        assert words in await tools.refused("git_log", path)
    inner = Tools(repo.path / "sub")
    repo.write("sub/x", "")
    assert "is no git repository" in await inner.refused("git_log", repo.path / "sub")
    assert "METAMCP_REGISTRY_ROOTS" in await Tools().refused("git_log", repo)
    linked = tmp_path / "linked"
    linked.symlink_to(root)
    assert (await Tools(linked)("git_log", linked / "repo"))["commits"]
