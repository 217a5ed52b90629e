"""Status, log and differences of real repositories in every state they can be in."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import pytest

from tests.unit.registry.builtin.git.world import Repo, Tools

ODD = ["tab\there", "line\nbreak", 'quo"te', "-n", "--output=x", "ü", "sp ace", ":(glob)*", "[a]*"]


async def test_the_status_of_all_that_can_happen_to_files(repo: Repo, tools: Tools) -> None:
    repo.commit(kept="1\n", changed="1\n", staged="1\n", gone="1\n", old="one\ntwo\n", run="x\n")
    repo.write("changed", "2\n")
    repo.write("staged", "2\n")
    repo.write("new", "2\n")
    repo.git("add", "staged", "new")
    repo.git("mv", "old", "renamed")
    (repo.path / "gone").unlink()
    (repo.path / "run").chmod(0o755)
    repo.write("folder/untracked", "3\n")
    repo.write(".gitignore", "*.log\n")
    repo.write("a.log", "")
    status = await tools("git_status", repo, ignored=True)
    entries = {entry["path"]: entry for entry in status["entries"]}
    states = {
        path: (entry["state"], entry.get("index"), entry.get("worktree"))
        for path, entry in entries.items()
    }
    assert states == {
        "changed": ("changed", "unmodified", "modified"),
        "staged": ("changed", "modified", "unmodified"),
        "new": ("changed", "added", "unmodified"),
        "renamed": ("changed", "renamed", "unmodified"),
        "gone": ("changed", "unmodified", "deleted"),
        "run": ("changed", "unmodified", "modified"),
        "folder/": ("untracked", None, None),
        ".gitignore": ("untracked", None, None),
        "a.log": ("ignored", None, None),
    }
    assert (entries["renamed"]["old_path"], entries["renamed"]["similarity"]) == ("old", 100)
    assert entries["run"]["modes"] == {"head": "100644", "index": "100644", "worktree": "100755"}
    assert (status["branch"], status["clean"], status["detached"]) == ("main", False, False)
    assert " M changed" in tools.text
    every = await tools("git_status", repo, untracked="all")
    assert "folder/untracked" in {entry["path"] for entry in every["entries"]}


async def test_a_branch_knows_how_far_it_is_from_its_upstream(
    repo: Repo, root: Path, tools: Tools
) -> None:
    repo.commit(a="1\n")
    repo.git("clone", "--quiet", str(repo.path), str(root / "clone"))
    clone = Repo(root / "clone")
    repo.commit("Theirs", b="1\n")
    clone.commit("Ours", c="1\n")
    clone.git("fetch", "--quiet")
    status = await tools("git_status", clone)
    assert (status["upstream"], status["ahead"], status["behind"]) == ("origin/main", 1, 1)
    assert status["clean"]
    branches = (await tools("git_branch", clone, branch_type="all"))["branches"]
    ours = next(one for one in branches if one["ref"] == "refs/heads/main")
    assert ours["upstream"] == {
        "ref": "refs/remotes/origin/main", "gone": False, "ahead": 1, "behind": 1
    }  # fmt: skip
    head = await tools("git_log", clone, revision="@{upstream}", max_count=1)
    assert head["commits"][0]["subject"] == "Theirs"


async def test_a_repository_without_commits_says_so(repo: Repo, tools: Tools) -> None:
    repo.write("a", "1\n")
    repo.git("add", "a")
    status = await tools("git_status", repo)
    assert (status["branch"], status["head"]) == ("main", None)
    assert (await tools("git_log", repo))["commits"] == []
    assert "no commits yet" in tools.text
    staged = await tools("git_diff_staged", repo)
    assert [(file["path"], file["status"]) for file in staged["files"]] == [("a", "added")]
    assert (await tools("git_diff", repo))["additions"] == 1
    assert (await tools("git_branch", repo))["branches"] == []
    for tool, more in (
        ("git_show", {}),
        ("git_blame", {"path": "a"}),
        ("git_grep", {"pattern": "1"}),
    ):
        assert "no commits yet" in await tools.refused(tool, repo, **more)


async def test_a_detached_head_and_a_merge_that_waits(repo: Repo, tools: Tools) -> None:
    first = repo.commit(a="1\n")
    repo.git("checkout", "--quiet", "-b", "other")
    repo.commit("Other", a="2\n", b="\n")
    repo.git("checkout", "--quiet", "main")
    repo.commit("Main", a="3\n")
    with pytest.raises(AssertionError):
        repo.git("merge", "other")
    status = await tools("git_status", repo)
    assert status["under_way"] == ["merge"]
    conflict = {"path": "a", "state": "conflict", "conflict": "both_modified"}
    assert conflict in status["entries"]
    unstaged = await tools("git_diff_unstaged", repo)
    (file,) = unstaged["files"]
    assert (file["path"], file["status"], file["conflict"]) == ("a", "modified", True)
    assert "+<<<<<<<" in file["patch"]
    staged = await tools("git_diff_staged", repo)
    assert {file["path"]: file["status"] for file in staged["files"]} == {
        "a": "unmerged",
        "b": "added",
    }
    repo.git("merge", "--abort")
    repo.git("checkout", "--quiet", first)
    status = await tools("git_status", repo)
    assert (status["branch"], status["detached"], status["head"]) == (None, True, first)
    assert status["under_way"] == []


async def test_what_a_commit_says(repo: Repo, tools: Tools) -> None:
    message = "Täst\n\nBody\n\nTrailer: x"
    id_ = repo.commit(message, a="1\n")
    repo.git("tag", "v1")
    (commit,) = (await tools("git_log", repo))["commits"]
    assert commit["id"] == id_
    assert id_.startswith(commit["short_id"])
    who = {"name": "Ann Lee", "mail": "ann@example.org", "time": "2026-03-01T12:00:00+02:00"}
    assert (commit["author"], commit["committer"], commit["parents"]) == (who, who, [])
    assert (commit["subject"], commit["body"]) == ("Täst", "Body\n\nTrailer: x")
    assert commit["refs"] == ["HEAD", "refs/heads/main", "refs/tags/v1"]


async def test_messages_in_another_encoding(repo: Repo, tools: Tools) -> None:
    repo.git("config", "i18n.commitEncoding", "ISO-8859-1")
    repo.write("a", "1\n")
    repo.git("add", "a")
    repo.git("commit", "--quiet", "--file=-", stdin=b"caf\xe9")
    tree = repo.git("rev-parse", "HEAD^{tree}")
    lies = f"tree {tree}\nauthor A <a@b> 1 +0000\ncommitter A <a@b> 1 +0000\n\n".encode() + b"\xff!"
    made = repo.git("hash-object", "-t", "commit", "-w", "--stdin", stdin=lies)
    repo.git("update-ref", "refs/heads/lies", made)
    (commit,) = (await tools("git_log", repo))["commits"]
    assert (commit["subject"], commit["encoding"]) == ("café", "ISO-8859-1")
    log = await tools("git_log", repo, revision="lies")
    assert (log["commits"][0]["subject"], log["replaced"]) == ("\ufffd!", 1)
    assert "1 bytes are no UTF-8" in tools.text


async def test_a_log_goes_on_where_it_ended(repo: Repo, tools: Tools) -> None:
    ids = [repo.commit(f"Commit {number}") for number in range(5)][::-1]
    first = await tools("git_log", repo, max_count=2)
    assert [one["id"] for one in first["commits"]] == ids[:2]
    repo.commit("Later")
    second = await tools("git_log", repo, max_count=2, **first["next"])
    assert [one["id"] for one in second["commits"]] == ids[2:4]
    last = await tools("git_log", repo, max_count=2, **second["next"])
    assert ([one["id"] for one in last["commits"]], last["next"]) == (ids[4:], None)
    between = await tools("git_log", repo, revision=f"{ids[3]}..{ids[0]}", max_count=2)
    rest = await tools("git_log", repo, **between["next"])
    assert [one["id"] for one in rest["commits"]] == ids[2:3]


async def test_a_log_of_some_commits_only(repo: Repo, tools: Tools) -> None:
    async def subjects(**asked: object) -> list[str]:
        return [one["subject"] for one in (await tools("git_log", repo, **asked))["commits"]]

    repo.commit("Old.", a="1\n")
    day = "2026-03-05T23:30:00Z"
    repo.write("b", "1\n")
    repo.git("add", "b")
    repo.git("commit", "-qm", "New +", "--author=Bob <b@x>", GIT_COMMITTER_DATE=day)
    assert await subjects(start="2026-03-02") == ["New +"]
    assert await subjects(end="2026-03-04") == ["Old."]
    assert await subjects(end="2026-03-05") == ["New +", "Old."]
    assert await subjects(start="@1772755200") == []
    assert await subjects(paths=["a"]) == ["Old."]
    assert await subjects(paths=["absent", "*"]) == []
    assert "Nothing touches these paths" in tools.text
    assert await subjects(author="bob") == ["New +"]
    assert await subjects(message="old.") == ["Old."]
    assert await subjects(message=".*") == []
    for wrong in ("soon", "2026-13-01", "--all", ""):
        assert "is no time" in await tools.refused("git_log", repo, start=wrong)


async def test_names_and_contents_of_every_kind(repo: Repo, tools: Tools) -> None:
    for name in ODD:
        repo.write(name, "1\n")
    repo.write(b"caf\xe9", "1\n")
    (repo.path / "link").symlink_to("/etc/passwd")
    repo.commit(crlf="a\r\nb\r\n", bin=b"\0\1", becomes="file\n")
    for name in ODD:
        repo.write(name, "2\n")
    repo.write(b"caf\xe9", "2\n")
    repo.write("crlf", "a\r\nc\r\n")
    repo.write("bin", b"\0\2")
    (repo.path / "link").unlink()
    (repo.path / "link").symlink_to("elsewhere")
    (repo.path / "becomes").unlink()
    (repo.path / "becomes").symlink_to("link")
    diff = await tools("git_diff", repo)
    files = {file["path"]: file for file in diff["files"]}
    assert set(files) == {*ODD, "caf\ufffd", "link", "crlf", "bin", "becomes"}
    for name in ODD:
        assert files[name]["patch"].endswith("-1\n+2\n"), name
    assert files["caf\ufffd"]["path_base64"] == "Y2Fm6Q=="
    assert files["crlf"]["patch"].endswith("-b\r\n+c\r\n")
    assert (files["bin"]["binary"], files["bin"]["additions"]) == (True, 0)
    assert files["link"]["new_mode"] == "120000"
    assert "-/etc/passwd\n" in files["link"]["patch"]
    assert "root:" not in files["link"]["patch"]
    assert files["becomes"]["status"] == "type_changed"
    assert files["becomes"]["patch"].count("diff --git") == 2
    for name in ODD:
        only = await tools("git_diff", repo, paths=[name], detail="name_only")
        assert only["files"] == [{"path": name, "status": "modified"}]
    entries = (await tools("git_status", repo))["entries"]
    assert {entry["path"] for entry in entries} == set(files)


async def test_dirty_latin_1_files_beside_each_other_and_healthy_ones(
    repo: Repo, root: Path, tools: Tools
) -> None:
    repo.commit(a="ä\n".encode("latin-1") * 100)
    repo.write("a", "ö\n".encode("latin-1") * 100)
    healthy = Repo(root / "healthy")
    healthy.commit(a="1\n")
    calls = [tools("git_diff", repo) for _ in range(8)]
    *answers, log = await asyncio.gather(*calls, tools("git_log", healthy))
    for answer in answers:
        assert answer["replaced"] == 200
        assert "-\ufffd\n" in answer["files"][0]["patch"]
    assert len(log["commits"]) == 1


async def test_a_diff_of_two_revisions(repo: Repo, tools: Tools) -> None:
    first = repo.commit(a="1\n")
    repo.git("checkout", "--quiet", "-b", "other")
    second = repo.commit("Other", b="1\n")
    repo.git("checkout", "--quiet", "main")
    repo.commit("Main", c="2\n")

    async def changed(target: str, **more: object) -> dict[str, str]:
        files = (await tools("git_diff", repo, target=target, **more))["files"]
        return {file["path"]: file["status"] for file in files}

    assert await changed("main..other") == {"b": "added", "c": "deleted"}
    assert await changed("main...other") == {"b": "added"}
    assert await changed(f"{first}..") == {"c": "added"}
    assert await changed(second[:8], detail="stat") == {"b": "deleted", "c": "added"}
    assert await changed("HEAD", staged=True) == {}
    assert "paths" not in tools.text
    assert await changed("main..other", paths=["absent"]) == {}
    assert "Nothing touches these paths" in tools.text
    assert "range" in await tools.refused("git_diff", repo, target="main..other", staged=True)
    for wrong in ("absent", "a" * 40, "main..absent", "HEAD~9", "v1^{tree}"):
        assert "there is no" in await tools.refused("git_diff", repo, target=wrong)


async def test_submodules_are_named_and_not_entered(repo: Repo, root: Path, tools: Tools) -> None:
    inner = Repo(root / "inner")
    one = inner.commit(a="1\n")
    allow = ["-c", "protocol.file.allow=always"]
    repo.git(*allow, "submodule", "--quiet", "add", str(inner.path), "sub")
    repo.commit()
    shown = {file["path"]: file for file in (await tools("git_show", repo))["files"]}
    assert shown["sub"]["submodule"] == {"old_commit": None, "new_commit": one}
    checkout = Repo(repo.path / "sub")
    two = checkout.commit("Two", a="2\n")
    checkout.write("a", "dirty\n")
    (entry,) = (await tools("git_status", repo))["entries"]
    assert entry["submodule"] == {"commit_changed": True}
    (file,) = (await tools("git_diff", repo))["files"]
    assert file["submodule"] == {"old_commit": one, "new_commit": two}
    assert (await tools("git_show", repo, revision="HEAD:sub"))["kind"] == "submodule"
    assert (await tools("git_log", repo.path / "sub"))["commits"][0]["id"] == two


async def test_a_submodule_in_conflict_that_is_where_it_was(
    repo: Repo, root: Path, tools: Tools
) -> None:
    inner = Repo(repo.path / "sub")
    commit = inner.commit(a="1\n")
    repo.git("update-index", "--add", "--cacheinfo", f"160000,{commit},sub")
    repo.commit(z="1\n")
    blob = repo.git("rev-parse", "HEAD:z")
    repo.git("update-index", "--cacheinfo", f"100644,{blob},sub")
    repo.write("z", "2\n")
    diff = await tools("git_diff", repo)
    files = {file["path"]: file for file in diff["files"]}
    assert files["z"]["patch"].endswith("-1\n+2\n")
    assert files.keys() <= {"sub", "z"}


async def test_working_trees_of_one_repository(repo: Repo, root: Path, tools: Tools) -> None:
    repo.commit(a="1\n")
    repo.git("worktree", "add", "--quiet", str(root / "tree"), "-b", "side")
    tree = Repo(root / "tree")
    tree.write("a", "2\n")
    status = await tools("git_status", tree)
    assert (status["branch"], len(status["entries"])) == ("side", 1)
    assert (await tools("git_status", repo))["clean"]
    tree.git("add", "a")
    assert len((await tools("git_diff_staged", tree))["files"]) == 1
    inside = await tools("git_status", tree.path)
    assert inside["repository"] == str(tree.path)


async def test_bare_shallow_and_partial_ones(repo: Repo, root: Path, tools: Tools) -> None:
    first = repo.commit("First", a="1\n")
    repo.commit("Second", a="2\n")
    address = f"file://{repo.path}"
    repo.git("clone", "--quiet", "--bare", address, str(root / "bare"))
    assert len((await tools("git_log", root / "bare"))["commits"]) == 2
    assert (await tools("git_diff", root / "bare", target="HEAD~1..HEAD"))["additions"] == 1
    assert "no working tree" in await tools.refused("git_status", root / "bare")
    assert "no working tree" in await tools.refused("git_diff", root / "bare")
    repo.git("clone", "--quiet", "--depth=1", address, str(root / "shallow"))
    assert len((await tools("git_log", root / "shallow"))["commits"]) == 1
    assert "shallow" in tools.text
    assert "shallow" in await tools.refused("git_show", root / "shallow", revision=first)
    repo.git("config", "uploadpack.allowFilter", "true")
    repo.git("clone", "--quiet", "--no-checkout", "--filter=blob:none", address, str(root / "part"))
    assert len((await tools("git_log", root / "part"))["commits"]) == 2
    assert "partial clone" in await tools.refused("git_show", root / "part")


async def test_sha256_and_sparse_and_split_ones(root: Path, tools: Tools) -> None:
    repo = Repo(root / "new", "--object-format=sha256")
    id_ = repo.commit(a="1\n")
    assert (len(id_), (await tools("git_log", repo))["tip"]) == (64, id_)
    assert (await tools("git_show", repo))["additions"] == 1
    odd = Repo(root / "odd")
    for name in ("in/a", "out/b"):
        odd.write(name, "1\n")
    odd.commit()
    odd.git("sparse-checkout", "set", "--cone", "--sparse-index", "in")
    odd.write("in/a", "2\n")
    status = await tools("git_status", odd)
    assert [entry["path"] for entry in status["entries"]] == ["in/a"]
    split = Repo(root / "split")
    split.commit(a="1\n", b="1\n")
    split.git("update-index", "--split-index")
    split.write("b", "2\n")
    assert list((split.path / ".git").glob("sharedindex.*"))
    status = await tools("git_status", split)
    assert [entry["path"] for entry in status["entries"]] == ["b"]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
async def test_repositories_of_others_are_read(repo: Repo, tools: Tools) -> None:
    repo.commit(a="1\n")
    for path in (repo.path, *repo.path.rglob("*")):
        os.chown(path, 65534, 65534)
    assert (await tools("git_status", repo))["clean"]


async def test_reading_changes_nothing(repo: Repo, tools: Tools) -> None:
    repo.commit(a="1\n")
    os.utime(repo.path / "a", (1, 1))

    def state() -> dict[str, tuple[int, bytes]]:
        files = [path for path in (repo.path / ".git").rglob("*") if path.is_file()]
        return {str(path): (path.stat().st_mtime_ns, path.read_bytes()) for path in files}

    before = state()
    for tool in ("git_status", "git_diff", "git_diff_unstaged", "git_diff_staged", "git_show"):
        await tools(tool, repo)
    assert state() == before
    (repo.path / ".git" / "index.lock").touch()
    assert (await tools("git_status", repo))["clean"], "somebody else is at work there"
