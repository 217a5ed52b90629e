"""Single commits, files of old, who wrote a line, branches, and searches, in real repositories."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.unit.registry.builtin.git.world import Repo, Tools


async def test_a_commit_and_what_it_changed(repo: Repo, tools: Tools) -> None:
    first = repo.commit("First", a="1\n2\n3\n", b="x\n")
    repo.git("mv", "b", "c")
    (repo.path / "a").chmod(0o755)
    second = repo.commit("Second\n\nWhy", a="1\nzwei\n3\n")
    shown = await tools("git_show", repo, context_lines=0)
    ids = (shown["commit"]["id"], shown["compared_with"])
    assert (shown["kind"], *ids) == ("commit", second, first)
    a, c = shown["files"]
    assert a["patch"].endswith("@@ -2 +2 @@\n-2\n+zwei\n")
    assert (a["additions"], a["deletions"]) == (1, 1)
    assert (a["old_mode"], a["new_mode"]) == ("100644", "100755")
    assert (c["path"], c["old_path"], c["status"], c["similarity"]) == ("c", "b", "renamed", 100)
    assert "Why" in tools.text
    names = await tools("git_show", repo, detail="name_only", paths=["c"])
    assert names["files"] == [{"path": "c", "status": "added"}]
    root = await tools("git_show", repo, revision=first, detail="stat")
    assert {file["status"] for file in root["files"]} == {"added"}
    assert root["compared_with"] is None
    assert "patch" not in root["files"][0]


async def test_tags_and_merges(repo: Repo, tools: Tools) -> None:
    first = repo.commit("First", a="1\n")
    repo.git("tag", "--annotate", "--message=Words\n\nMore", "v1")
    repo.git("tag", "--annotate", "--message=Of a tag", "v2", "v1")
    repo.git("tag", "file", "HEAD:a")
    repo.git("checkout", "--quiet", "-b", "side")
    repo.commit("Side", b="1\n")
    repo.git("checkout", "--quiet", "main")
    main = repo.commit("Main", c="1\n")
    repo.git("merge", "--quiet", "--no-edit", "side")
    tag = await tools("git_show", repo, revision="v1")
    assert (tag["kind"], tag["tag"]["name"], tag["tag"]["message"]) == (
        "tag",
        "v1",
        "Words\n\nMore",
    )
    assert tag["tag"]["tagger"].startswith("Ann Lee <ann@example.org> ")
    assert (tag["tag"]["object"], tag["commit"]["id"]) == (first, first)
    assert (await tools("git_show", repo, revision="v2"))["commit"]["id"] == first
    merge = await tools("git_show", repo)
    assert (len(merge["commit"]["parents"]), merge["compared_with"]) == (2, main)
    assert [file["path"] for file in merge["files"]] == ["b"]
    assert "first parent" in tools.text
    assert "is a blob" in await tools.refused("git_show", repo, revision="file")
    tree = repo.git("rev-parse", "HEAD^{tree}")
    assert "is a tree" in await tools.refused("git_show", repo, revision=tree)


async def test_files_and_folders_as_they_were(repo: Repo, tools: Tools) -> None:
    repo.write("d/e/f.txt", "old\n")
    repo.write("d/latin", b"caf\xe9\n")
    repo.write("bin", b"\0" * 10)
    repo.write("empty", "")
    (repo.path / "link").symlink_to("d/e")
    repo.commit()
    repo.write("d/e/f.txt", "new\n")
    for name in ("d/e/f.txt", "./d//e/f.txt"):
        file = await tools("git_show", repo, revision=f"HEAD:{name}")
        assert (file["kind"], file["text"], file["size"]) == ("file", "old\n", 4)
    latin = await tools("git_show", repo, revision="HEAD:d/latin")
    assert (latin["text"], latin["replaced"]) == ("caf\ufffd\n", 1)
    binary = await tools("git_show", repo, revision="HEAD:bin")
    assert (binary["binary"], "text" in binary, binary["size"]) == (True, False, 10)
    assert (await tools("git_show", repo, revision="HEAD:empty"))["text"] == ""
    link = await tools("git_show", repo, revision="HEAD:link")
    assert (link["kind"], link["text"]) == ("symlink", "d/e")
    top = await tools("git_show", repo, revision="HEAD:")
    kinds = {entry["path"]: entry["kind"] for entry in top["entries"]}
    assert kinds == {"d": "folder", "bin": "file", "empty": "file", "link": "symlink"}
    folder = await tools("git_show", repo, revision="main:d/")
    assert [entry["path"] for entry in folder["entries"]] == ["e", "latin"]
    for wrong in ("HEAD:absent", "HEAD:d/e/f.txt/g", "HEAD:link/f.txt", "HEAD:*"):
        assert "there is no" in await tools.refused("git_show", repo, revision=wrong)
    for wrong in ("HEAD:/etc/passwd", "HEAD:../x", ":a", ":/One", "HEAD^{/One}", "a..b", "^HEAD"):
        assert await tools.refused("git_show", repo, revision=wrong)


async def test_who_wrote_which_line(repo: Repo, tools: Tools) -> None:
    first = repo.commit("First", a="one\ntwo\nthree\n")
    second = repo.commit("Second", a="one\nZWEI\nthree\nfour\n")
    repo.git("mv", "a", "b")
    repo.commit("Moved")
    blame = await tools("git_blame", repo, path="b")
    runs = [(run["commit"], run["first_line"], run["lines"]) for run in blame["runs"]]
    assert runs == [
        (first, 1, ["one"]), (second, 2, ["ZWEI"]), (first, 3, ["three"]), (second, 4, ["four"])
    ]  # fmt: skip
    assert {run["original_path"] for run in blame["runs"]} == {"a"}
    commit = blame["commits"][first]
    assert (commit["subject"], commit["boundary"]) == ("First", True)
    assert commit["author"]["time"] == "2026-03-01T12:00:00+02:00"
    assert commit["author"]["mail"] == "ann@example.org"
    assert (blame["lines_in_file"], blame["next"]) == (4, None)
    part = await tools("git_blame", repo, path="b", first_line=2, last_line=3)
    assert [run["first_line"] for run in part["runs"]] == [2, 3]
    assert (await tools("git_blame", repo, path="a", revision=first))["lines_in_file"] == 3
    assert "has 4 lines" in await tools.refused("git_blame", repo, path="b", first_line=5)
    assert "before" in await tools.refused("git_blame", repo, path="b", first_line=2, last_line=1)
    assert "there is no 'a'" in await tools.refused("git_blame", repo, path="a")


async def test_blame_of_odd_files(repo: Repo, tools: Tools) -> None:
    repo.commit(
        empty="", open="no end", bin=b"\0", long="x\n" * 5000, latin=b"\xe9\n", crlf="a\r\n"
    )
    assert (await tools("git_blame", repo, path="empty"))["runs"] == []
    assert (await tools("git_blame", repo, path="open"))["runs"][0]["lines"] == ["no end"]
    assert "no text" in await tools.refused("git_blame", repo, path="bin")
    latin = await tools("git_blame", repo, path="latin")
    assert (latin["runs"][0]["lines"], latin["replaced"]) == (["\ufffd"], 1)
    assert (await tools("git_blame", repo, path="crlf"))["runs"][0]["lines"] == ["a\r"]
    begin = await tools("git_blame", repo, path="long")
    assert (len(begin["runs"][0]["lines"]), begin["next"]) == (2000, 2001)
    rest = await tools("git_blame", repo, path="long", first_line=4001)
    assert (rest["runs"][0]["last_line"], rest["next"]) == (5000, None)
    repo.write("dir/x", "")
    repo.commit()
    assert "is a folder" in await tools.refused("git_blame", repo, path="dir")


async def test_branches(repo: Repo, tools: Tools) -> None:
    first = repo.commit("First", a="1\n")
    repo.git("branch", "done")
    repo.git("checkout", "--quiet", "-b", "feature/x,y")
    second = repo.commit("On a branch")
    repo.git("update-ref", "refs/remotes/origin/main", first)
    repo.git("symbolic-ref", "refs/remotes/origin/HEAD", "refs/remotes/origin/main")

    async def names(**asked: object) -> list[str]:
        return [one["name"] for one in (await tools("git_branch", repo, **asked))["branches"]]

    assert await names() == ["done", "feature/x,y", "main"]
    assert await names(branch_type="remote") == ["origin/HEAD", "origin/main"]
    assert len(await names(branch_type="all")) == 5
    assert await names(contains=second) == ["feature/x,y"]
    assert await names(merged="main") == ["done", "main"]
    assert await names(not_merged="main") == ["feature/x,y"]
    every = {one["name"]: one for one in (await tools("git_branch", repo))["branches"]}
    assert every["feature/x,y"]["current"]
    assert (every["main"]["commit"], every["main"]["subject"]) == (first, "First")
    assert await names(max_count=1) == ["done"]
    assert "cut" in tools.text
    (log,) = (await tools("git_log", repo, max_count=1))["commits"]
    assert log["refs"] == ["HEAD", "refs/heads/feature/x,y"]


async def test_a_search_in_a_commit(repo: Repo, tools: Tools) -> None:
    text = "".join(f"line {number}\n" for number in range(10))
    repo.write("d/new\nline", "Line 5.\n")
    repo.commit(a=text, b=f"{'x' * 900}line 7\n", bin=b"\0line 5\n")
    repo.write("a", "changed: line 5\n")

    async def places(pattern: str, **asked: object) -> list[tuple[str, int, int]]:
        found = await tools("git_grep", repo, pattern=pattern, **asked)
        return [(hit["path"], hit["line"], hit["column"]) for hit in found["matches"]]

    assert await places("line 5") == [("a", 6, 1)]
    assert await places("line 5", ignore_case=True) == [("a", 6, 1), ("d/new\nline", 1, 1)]
    assert await places("line [57]$") == []
    assert await places("line [57]$", regex=True) == [("a", 6, 1), ("a", 8, 1), ("b", 1, 901)]
    assert await places("line", paths=["d"], ignore_case=True) == [("d/new\nline", 1, 1)]
    assert await places("absent") == []
    found = await tools("git_grep", repo, pattern="line 5", context_lines=1)
    (hit,) = found["matches"]
    assert (hit["before"], hit["after"]) == (
        [{"line": 5, "text": "line 4"}], [{"line": 7, "text": "line 6"}]
    )  # fmt: skip
    found = await tools("git_grep", repo, pattern="line", max_count=3)
    assert (len(found["matches"]), found["truncated"]) == (3, True)
    (hit,) = (await tools("git_grep", repo, pattern="x", paths=["b"]))["matches"]
    assert (len(hit["text"]), hit["text_truncated"]) == (500, True)
    assert "there is no" in await tools.refused("git_grep", repo, pattern="x", paths=["absent"])
    assert "could not search" in await tools.refused("git_grep", repo, pattern="(", regex=True)
    for wrong in ("", "a\nb", "x" * 1001, "a\0"):
        assert "pattern" in await tools.refused("git_grep", repo, pattern=wrong)


async def test_what_is_too_big_is_cut_and_said(repo: Repo, tools: Tools) -> None:
    repo.commit("Big", big="a line\n" * (50_000_000 // 7), small="1\n", z="ten chars\n" * 1_000_000)
    shown = await tools("git_show", repo)
    files = {file["path"]: file for file in shown["files"]}
    assert files["big"]["binary"], "over 16 MiB nothing is compared"
    assert (files["z"]["additions"], files["z"]["patch_truncated"]) == (1_000_000, True)
    assert files["z"]["patch"].endswith("\n+ten chars\n")
    assert (shown["truncated"], len(tools.text) < 40_000) == (True, True)
    assert "cut" in tools.text
    file = await tools("git_show", repo, revision="HEAD:big")
    assert (file["size"], file["truncated"]) == (49_999_999 // 7 * 7, True)
    assert 8_000_000 < len(file["text"]) <= 8 << 20
    assert file["text"].endswith("a line\n")
    found = await tools("git_grep", repo, pattern="line")
    assert (len(found["matches"]), found["truncated"]) == (200, True)
    assert "too big" in await tools.refused("git_blame", repo, path="big")
    assert len((await tools("git_show", repo, detail="stat"))["files"]) == 3


@pytest.mark.parametrize("path", ["/etc/passwd", "../x", "a/../../x", "a\0b", "x" * 5000, ".", ""])
async def test_paths_that_are_none(repo: Repo, tools: Tools, path: str, tmp_path: Path) -> None:
    repo.commit(a="1\n")
    assert await tools.refused("git_blame", repo, path=path)
    many = {"paths": ["a"] * 101}
    assert "100 are allowed" in await tools.refused("git_log", repo, **many)
