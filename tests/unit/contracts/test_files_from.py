"""What a task asks for of a repository, and what the gateway puts in its place: one is known by
the other, and nobody else can say it."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts import files_from
from contracts.errors import Reason, Rejected
from contracts.files_from import FilesTaken
from contracts.result import Pointer
from contracts.task import canonical

POINTER = Pointer("nats://blobs/ann/" + "0" * 64, "0" * 64, 7, "application/gzip")
NAMES = st.from_regex(r"[A-Za-z0-9]{1,9}/[A-Za-z0-9]{1,9}", fullmatch=True)
REST = st.dictionaries(
    st.text(max_size=8).filter(lambda name: name not in ("archive", "files_from")),
    st.integers() | st.text(max_size=8) | st.lists(st.booleans(), max_size=3),
    max_size=4,
)


def taken(commit: str, asked: files_from.AskedFiles) -> FilesTaken:
    wanted = asked.wanted
    fields: dict[str, Any] = {"repo": wanted.repo, "revision": wanted.revision}
    return FilesTaken(**fields, paths=wanted.paths, commit=commit, files=1, size=2)


@given(REST, NAMES, st.text(max_size=9), st.lists(st.text(min_size=1, max_size=9), max_size=3))
def test_what_was_taken_is_known_as_what_was_asked_for(
    rest: dict[str, Any], repo: str, revision: str, paths: list[str]
) -> None:
    wanted = {"repo": repo, "revision": revision, "paths": paths}
    bare = {name: value for name, value in wanted.items() if value}
    given_ = [canonical(rest | {"files_from": one}) for one in (wanted, bare)]
    asked = [files_from.read(one) for one in given_]
    assert asked[0] == asked[1]
    assert asked[0] is not None
    first, later = (asked[0].taken(POINTER, taken(c * 40, asked[0])) for c in "ab")
    assert first != later
    assert len({files_from.as_asked(one) for one in (first, later, *given_)}) == 1
    other = canonical(rest | {"files_from": wanted | {"revision": revision + "x"}})
    assert files_from.as_asked(other) != files_from.as_asked(first)


@given(REST)
def test_an_input_that_asks_for_nothing_is_left_alone(rest: dict[str, Any]) -> None:
    for value in (rest, rest | {"archive": {"pointer": 1}}, rest | {"text": "files_from"}):
        assert files_from.read(canonical(value)) is None
        assert files_from.as_asked(canonical(value)) == canonical(value)
        files_from.check_none(canonical(value))


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ({"files_from": "ann/app"}, "input.files_from"),
        ({"files_from": {}}, "repo"),
        ({"files_from": {"repo": "app"}}, "input.files_from"),
        ({"files_from": {"repo": "a/b/c"}}, "input.files_from"),
        ({"files_from": {"repo": "a/b\n"}}, "input.files_from"),
        ({"files_from": {"repo": "a/b", "commit": "0" * 40}}, "commit"),
        ({"files_from": {"repo": "a/b", "paths": [""]}}, "paths"),
        ({"files_from": {"repo": "a/b", "paths": ["x"] * 101}}, "paths"),
        ({"files_from": {"repo": "a/b"}, "archive": {"base64": ""}}, "not both"),
        ({"archive": {"pointer": {}, "files_from": {}}}, "written by the gateway"),
        ({"archive": {"files_from": 1}, "files_from": {"repo": "a/b"}}, "written by the gateway"),
    ],
)
def test_what_can_not_be_meant_is_refused(value: dict[str, Any], words: str) -> None:
    with pytest.raises(Rejected, match=words) as refused:
        files_from.read(canonical(value))
    assert refused.value.reason is Reason.BAD_REQUEST


def test_it_is_refused_where_nothing_is_fetched_also_when_it_hides() -> None:
    hidden = b'{"files\\u005ffrom": {"repo": "a/b"}}'
    assert not files_from.mentioned(hidden)
    for raw in (hidden, b'{"files_from": {"repo": "a/b"}}'):
        with pytest.raises(Rejected, match="only over HTTP"):
            files_from.check_none(canonical(json.loads(raw)))
