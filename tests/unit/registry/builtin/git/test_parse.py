"""What git prints, as data: whatever is in names and lines, and wherever the output was cut."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from services.registry.builtin.git.parse import (
    annotate,
    history,
    matches,
    patches,
    references,
    states,
    trees,
)
from services.registry.builtin.git.parse.words import Decoder

ID, OTHER, NONE = "a" * 40, "b" * 40, "0" * 40
NAME = st.binary(min_size=1, max_size=12).filter(lambda name: b"\0" not in name)
LINE = st.binary(max_size=20).filter(lambda line: b"\n" not in line)
WORD = st.text(st.characters(exclude_characters="\0\n", exclude_categories=["Cs"]), max_size=20)


def text(data: bytes) -> str:
    return Decoder()(data)


@given(st.binary(max_size=50))
def test_what_is_replaced_is_counted(data: bytes) -> None:
    decoder = Decoder()
    made = decoder(data)
    assert made == data.decode("utf-8", "surrogateescape").translate(
        {0xDC00 + byte: "\ufffd" for byte in range(0x80, 0x100)}
    )
    assert decoder.replaced == made.count("\ufffd") - data.count(b"\xef\xbf\xbd")
    made.encode()


@given(
    st.lists(st.tuples(st.sampled_from(["1", "2", "u", "?", "!"]), NAME, NAME)), st.integers(0, 9)
)
def test_status(made: list[tuple[str, bytes, bytes]], most: int) -> None:
    heads = {
        "1": f"1 .M N... 100644 100644 100755 {ID} {ID}",
        "2": f"2 R. N... 100644 100644 100644 {ID} {ID} R90",
        "u": f"u UU N... 100644 100644 100644 100644 {ID} {ID} {ID}",
        "?": "?",
        "!": "!",
    }
    out = (
        f"# branch.oid {ID}\0# branch.head x y\0# branch.upstream o/x\0# branch.ab +2 -3\0".encode()
    )
    for kind, name, old in made:
        out += heads[kind].encode() + b" " + name + b"\0" + (old + b"\0" if kind == "2" else b"")
    status = states.parse(out, Decoder(), most)
    assert (status["branch"], status["ahead"], status["behind"]) == ("x y", 2, 3)
    assert [entry["path"] for entry in status["entries"]] == [
        text(name) for _, name, _ in made[:most]
    ]
    assert len(status["entries"]) + status["left_out"] == len(made)
    for (kind, _, old), entry in zip(made, status["entries"], strict=False):
        assert entry.get("old_path") == (text(old) if kind == "2" else None)
    assert states.summary(status).startswith("on x y, 2 ahead, 3 behind")
    assert len(list(states.lines(status))) == len(status["entries"])


FIELD = WORD.map(lambda word: word.encode())


@given(st.lists(st.lists(FIELD, min_size=13, max_size=13), max_size=4), st.data())
def test_log(made: list[list[bytes]], data: st.DataObject) -> None:
    records = [b"\0".join(fields) + b"\0" for fields in made]
    commits = history.parse(b"".join(records), Decoder())
    assert [one["id"] for one in commits] == [text(fields[0]) for fields in made]
    assert [one["subject"] for one in commits] == [text(fields[11]) for fields in made]
    cut = data.draw(st.integers(0, len(b"".join(records))))
    some = history.parse(b"".join(records)[:cut], Decoder())
    assert some == commits[: len(some)]


def test_decorations() -> None:
    shown = "HEAD -> refs/heads/a,b, tag: refs/tags/v1, refs/remotes/o/x"
    assert history.refs(shown) == ["HEAD", "refs/heads/a,b", "refs/tags/v1", "refs/remotes/o/x"]
    assert history.refs("") == []
    assert history.moment("2026-01-01T00:00:00Z") == "2026-01-01T00:00:00+00:00"
    assert history.moment("") is None


HUNK = st.lists(st.tuples(st.sampled_from(list(b" +-\\")), LINE), min_size=1, max_size=4)


class Change:
    """One file of a diff, as git prints it."""

    def __init__(self, status: str, old: bytes, new: bytes, hunk: list[tuple[int, bytes]]) -> None:
        self.status, self.new = status, new
        self.old = old if status[0] in "RC" else new
        self.raw = f":100644 100644 {ID} {OTHER} {status}".encode() + b"\0" + self.old + b"\0"
        self.raw += new + b"\0" if self.old != new or status[0] in "RC" else b""
        names = b"\0" + old + b"\0" + new if status[0] in "RC" else new
        self.count = b"3\t4\t" + names + b"\0"
        body = b"".join(bytes([sign]) + line + b"\n" for sign, line in hunk)
        piece = b"diff --git a/x b/x\n--- a/x\n+++ b/x\n@@ -1 +1 @@\n" + body
        self.patch = piece * (2 if status == "T" else 1)


CHANGE = st.builds(Change, st.sampled_from(["M", "A", "D", "T", "R100", "C050"]), NAME, NAME, HUNK)
CHANGES = st.lists(CHANGE, max_size=4, unique_by=lambda change: change.new)


def printed(changes: list[Change], *, patch: bool) -> bytes:
    if not changes:
        return b""
    head = b"".join(one.raw for one in changes) + b"".join(one.count for one in changes)
    return head + (b"\0" + b"".join(one.patch for one in changes) if patch else b"")


@given(CHANGES, st.booleans())
def test_diff(changes: list[Change], patch: bool) -> None:
    files = patches.parse(printed(changes, patch=patch), Decoder(), patch=patch, cut=False)
    assert [file["path"] for file in files] == [text(one.new) for one in changes]
    for file, one in zip(files, changes, strict=True):
        assert (file["additions"], file["deletions"]) == (3, 4)
        assert file.get("old_path") == (text(one.old) if one.status[0] in "RC" else None)
        assert file.get("patch") == (text(one.patch) if patch else None)


@given(CHANGES, st.data())
def test_a_diff_that_was_cut_anywhere(changes: list[Change], data: st.DataObject) -> None:
    out = printed(changes, patch=True)
    at = data.draw(st.integers(0, len(out)))
    files = patches.parse(out[:at], Decoder(), patch=True, cut=True)
    assert [file["path"] for file in files] == [text(one.new) for one in changes[: len(files)]]
    for file, one in zip(files, changes, strict=False):
        assert text(one.patch).startswith(file["patch"]) or "\ufffd" in file["patch"]
        assert file.get("patch_truncated") or file["patch"] == text(one.patch)


LINES = st.lists(st.tuples(st.sampled_from([ID, OTHER]), LINE), max_size=8)


@given(LINES, st.integers(1, 9))
def test_blame(lines: list[tuple[str, bytes]], most: int) -> None:
    out, seen = b"", set[str]()
    for number, (id_, line) in enumerate(lines, 1):
        out += f"{id_} {number} {number} 1\n".encode()
        if id_ not in seen:
            out += b"author A B\nauthor-mail <a@b>\nauthor-time 60\nauthor-tz -0130\nfilename f\n"
            seen.add(id_)
        out += b"\t" + line + b"\n"
    found = annotate.parse(out, Decoder(), most)
    shown = [(run["commit"], line) for run in found["runs"] for line in run["lines"]]
    assert shown == [(id_, text(line)) for id_, line in lines[:most]]
    for one, other in zip(found["runs"], found["runs"][1:], strict=False):
        assert (one["last_line"] + 1, one["commit"] != other["commit"]) == (
            other["first_line"],
            True,
        )
    for commit in found["commits"].values():
        assert commit["author"]["time"] == "1969-12-31T22:31:00-01:30"


@given(st.lists(st.tuples(NAME, st.integers(1, 99), LINE.filter(lambda line: b"\0" not in line))))
def test_grep(hits: list[tuple[bytes, int, bytes]]) -> None:
    prefix = ID.encode() + b":"
    out = b"".join(
        prefix + name + b"\0" + str(line).encode() + b"\x001\0" + words + b"\n"
        for name, line, words in hits
    )
    found, more = matches.parse(out, prefix, Decoder(), 1000)
    assert [(hit["path"], hit["line"], hit["text"]) for hit in found] == [
        (text(name), line, text(words)) for name, line, words in hits
    ]
    assert not more
    if hits:
        some, more = matches.parse(out, prefix, Decoder(), len(hits) - 1)
        assert (some, more) == (found[:-1], True)


def test_the_lines_around_a_match() -> None:
    out = b"x:a\x001\0before\nx:a\x002\x001\0hit\nx:a\x003\0after\n--\n"
    out += b"x:a\x008\0early\nx:a\x009\x004\0hit\nx:b\x001\0other\nx:b\x002\x001\0hit\n"
    found, _ = matches.parse(out, b"x:", Decoder(), 10)
    around = [
        [[line["text"] for line in hit.get(key, [])] for key in ("before", "after")]
        for hit in found
    ]
    assert around == [[["before"], ["after"]], [["early"], []], [["other"], []]]


def test_branches() -> None:
    fields = ["refs/heads/x", ID, "*", "", "refs/remotes/o/x", "[ahead 2, behind 1]"]
    fields += ["2026-01-01T00:00:00+01:00", "Words"]
    gone = ["\nrefs/remotes/o/y", ID, " ", "refs/remotes/o/x", "refs/x", "[gone]", "", ""]
    out = "".join(f"{field}\0" for field in fields + gone).encode()
    mine, other = references.parse(out + b"\nrefs/cut", Decoder())
    assert (mine["name"], mine["kind"], mine["current"]) == ("x", "local", True)
    assert mine["upstream"] == {"ref": "refs/remotes/o/x", "gone": False, "ahead": 2, "behind": 1}
    assert (other["name"], other["points_to"], other["time"]) == ("o/y", "refs/remotes/o/x", None)
    assert other["upstream"]["gone"]


@given(st.lists(NAME))
def test_trees(names: list[bytes]) -> None:
    out = b"".join(f"100644 blob {ID}      12\t".encode() + name + b"\0" for name in names)
    entries: list[dict[str, Any]] = trees.parse(out + b"100644 blob", Decoder())
    assert [(entry["path"], entry["size"]) for entry in entries] == [
        (text(name), 12) for name in names
    ]
