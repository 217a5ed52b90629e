"""What ignore files leave out: by git's own rules, as git itself sees them."""

from __future__ import annotations

import subprocess
import tempfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from services.cli.folder import walk
from services.cli.ignored import is_ignored, rules

PARTS = (
    r"a|b|ab|*|a*|?|*.c|[ab]|[!a]|**|a?|a.c|\a|x y|x\ y|[a-c]|[]a]|[^b]|[[:alpha:]]|[b-a]|[a|b\|***"
    r"|[\a-b]|a\  "
).split("|")
PATTERNS = st.builds(
    lambda mark, lead, parts, end: f"{mark}{lead}{'/'.join(parts)}{end}",
    *(st.sampled_from(["", "", "", "!"]), st.sampled_from(["", "", "/"])),
    st.lists(st.sampled_from(PARTS), min_size=1, max_size=3),
    st.sampled_from(["", "", "/", " ", "\r"]),
)
IGNORE = st.lists(PATTERNS | st.sampled_from(["", "# a", "!", "/"]), max_size=5).map("\n".join)
NAME = st.sampled_from(["a", "b", "ab", "a.c", "b.c", "A", "x y"])
NAMES = st.lists(st.lists(NAME, min_size=1, max_size=4).map("/".join), min_size=1, max_size=12)
FOLDERS = st.sampled_from(["a", "b", "ab", "a/b"])


def git(folder: Path, *arguments: str) -> str:
    command = ["git", "-C", str(folder), *arguments]
    return subprocess.run(command, check=True, capture_output=True).stdout.decode()


def write(folder: Path, name: str, text: str = "text\n") -> None:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def not_ignored(folder: Path) -> list[str]:
    listed = git(folder, "ls-files", "-z", "--others", "--exclude-standard").split("\0")
    return sorted(name for name in listed if name and not name.endswith(".gitignore"))


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(names=NAMES, top=IGNORE, deeper=st.dictionaries(FOLDERS, IGNORE, max_size=2), own=IGNORE)
def test_a_walk_takes_the_files_that_git_would_add(
    names: list[str], top: str, deeper: dict[str, str], own: str
) -> None:
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        subprocess.run(["git", "init", "--quiet", made], check=True)
        for name in names:
            taken = any((folder / part).is_file() for part in Path(name).parents)
            if not taken and not (folder / name).exists():
                write(folder, name)
        write(folder, ".gitignore", top)
        write(folder, ".git/info/exclude", own)
        for name, text in deeper.items():
            if (folder / name).is_dir():
                write(folder, f"{name}/.gitignore", text)
        assert [file.name for file in walk(folder).files] == not_ignored(folder)


@pytest.mark.parametrize(
    ("pattern", "left_out", "taken"),
    [
        ("*.log", ["a.log", "x/a.log"], ["a.log.txt"]),
        ("/a", ["a"], ["x/a"]),
        ("x/a", ["x/a"], ["y/x/a", "a"]),
        ("x/**", ["x/a", "x/y/a"], ["x"]),
        ("**/x", ["x", "a/b/x"], ["xx"]),
        ("a/**/b", ["a/b", "a/x/y/b"], ["b"]),
        ("[!a].c", ["b.c"], ["a.c"]),
        ("\\!a", ["!a"], ["a"]),
        ("\\#a", ["#a"], ["a"]),
        ("a\\ ", ["a "], ["a"]),
        ("é*", ["é", "éa"], ["e"]),
    ],
)
def test_a_pattern_means_what_the_manual_of_git_says(
    pattern: str, left_out: list[str], taken: list[str]
) -> None:
    found = rules("", pattern)
    assert found is not None
    assert all(is_ignored(name, [[found]], folder=False) for name in left_out)
    assert not any(is_ignored(name, [[found]], folder=False) for name in taken)


def test_a_line_that_means_nothing_hides_no_other() -> None:
    assert rules("", "\n# a comment\n[a\n\\\n!\n/\n[[:nothing:]]\n") is None
    found = rules("", "\ufeff[a\nb\n")
    assert found is not None
    assert is_ignored("b", [[found]], folder=False)


@settings(max_examples=300)
@given(st.text(max_size=60), st.text(min_size=1, max_size=20))
def test_no_text_is_too_odd_for_an_ignore_file(text: str, name: str) -> None:
    found = rules("", text)
    if found is not None:
        assert is_ignored(name, [[found]], folder=False) in (True, False)


def test_folders_only_and_taken_back() -> None:
    found = rules("", "out/\n*.c\n!keep.c\n")
    assert found is not None
    assert is_ignored("out", [[found]], folder=True)
    assert not is_ignored("out", [[found]], folder=False)
    assert is_ignored("a.c", [[found]], folder=False)
    assert not is_ignored("x/keep.c", [[found]], folder=False)


def test_our_own_ignore_file_has_the_last_word(tmp_path: Path) -> None:
    write(tmp_path, ".gitignore", "made.py\n")
    write(tmp_path, ".metamcpignore", "!made.py\nbig/\n")
    for name in ("made.py", "big/a.py", "sub/made.py"):
        write(tmp_path, name)
    write(tmp_path, "sub/.gitignore", "made.py\n")
    found = walk(tmp_path)
    assert [file.name for file in found.files] == ["made.py", "sub/made.py"]
    assert found.left_out == {"ignored": 1}


def test_a_folder_inside_a_repository_knows_the_rules_above_it(tmp_path: Path) -> None:
    subprocess.run(["git", "init", "--quiet", str(tmp_path)], check=True)
    write(tmp_path, ".gitignore", "/src/gen/\n*.tmp\n")
    write(tmp_path, ".git/info/exclude", "own.py\n")
    for name in ("src/a.py", "src/a.tmp", "src/gen/b.py", "src/own.py", "src/sub/c.tmp"):
        write(tmp_path, name)
    assert [file.name for file in walk(tmp_path / "src").files] == ["a.py"]
    assert [file.name for file in walk(tmp_path / "src" / "gen").files] == ["b.py"]


def test_another_working_tree_has_the_repository_s_own_list(tmp_path: Path) -> None:
    main, other = tmp_path / "main", tmp_path / "other"
    subprocess.run(["git", "init", "--quiet", str(main)], check=True)
    write(main, "a.py")
    git(main, "add", "a.py")
    git(main, "-c", "user.name=a", "-c", "user.email=a@b.c", "commit", "--quiet", "-m", "one")
    git(main, "worktree", "add", "--quiet", str(other))
    write(main, ".git/info/exclude", "own.py\n")
    write(other, "own.py")
    assert [file.name for file in walk(other).files] == ["a.py"]
