"""What callers ask for: every text is taken as what it should be, or refused."""

from __future__ import annotations

import contextlib
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.registry.builtin.git import asked, config
from services.registry.builtin.git.asked import Comparison, GitRefused

NOW = datetime(2026, 3, 31, 12, 30, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "start", "end"),
    [
        ("2026-01-31", "2026-01-31T00:00:00+00:00", "2026-01-31T23:59:59+00:00"),
        ("2026-01-31T10:00:00Z", "2026-01-31T10:00:00+00:00", None),
        ("2026-01-31 10:00", "2026-01-31T10:00:00+00:00", None),
        ("2026-01-31T10:00:00.5+02:00", "2026-01-31T10:00:00+02:00", None),
        ("@60", "1970-01-01T00:01:00+00:00", None),
        ("2 weeks ago", "2026-03-17T12:30:00+00:00", None),
        ("1.month.ago", "2026-02-28T12:30:00+00:00", None),
        ("3 years ago", "2023-03-31T12:30:00+00:00", None),
        ("Yesterday", "2026-03-30T00:00:00+00:00", "2026-03-30T23:59:59+00:00"),
        ("today", "2026-03-31T00:00:00+00:00", "2026-03-31T23:59:59+00:00"),
        ("now", "2026-03-31T12:30:00+00:00", None),
        ("1900-01-01", "1970-01-01T00:00:00+00:00", "1970-01-01T00:00:00+00:00"),
    ],
)
def test_times_that_people_write(text: str, start: str, end: str | None) -> None:
    assert asked.moment(text, NOW, end=False) == start
    assert asked.moment(text, NOW, end=True) == (end or start)


@given(st.text(max_size=30) | st.from_regex(r"@?-?\d{1,30}|\d{1,9} (day|month|year)s ago"))
def test_a_time_is_iso_or_refused(text: str) -> None:
    try:
        made = asked.moment(text, NOW, end=True)
    except GitRefused:
        return
    assert datetime.fromisoformat(made).tzinfo is not None


def test_targets() -> None:
    assert asked.target("a") == Comparison("a")
    assert asked.target("a..b") == Comparison("a", "b")
    assert asked.target("a...b") == Comparison("a", "b", merge_base=True)
    assert asked.target("..b") == Comparison("HEAD", "b")
    assert asked.target("a...") == Comparison("a", "HEAD", merge_base=True)
    for wrong in ("", "a..b..c", "a.....b", "-a", "a..-b", "a:b", "a\nb", "a" * 501, "\ud800"):
        with pytest.raises(GitRefused):
            asked.target(wrong)


@given(st.text())
def test_no_revision_or_path_can_be_an_option_or_leave(text: str) -> None:
    with contextlib.suppress(GitRefused):
        assert not asked.revision(text).startswith("-")
    try:
        path = asked.path(text)
    except GitRefused:
        return
    assert not path.startswith("/")
    assert not {"", ".", ".."} & set(path.split("/"))


KEYS = st.sampled_from(
    "core.fsmonitor core.autocrlf branch.a.merge branch.a.b.remote remote.o.fetch remote.o.url"
    " filter.x.clean include.path extensions.objectformat core.eol".split()
)
PLAIN = st.sampled_from(["true", "refs/heads/x", "+refs/heads/*:refs/x/*", "a\n[filter]"])
VALUES = PLAIN | st.text(st.characters(exclude_categories=["Cs"]), max_size=9)


@given(st.lists(st.tuples(KEYS, VALUES), max_size=6))
def test_only_known_names_with_plain_values_are_taken_over(entries: list[tuple[str, str]]) -> None:
    taken = config.settings(entries)
    text = config.written(taken, bare=False).decode()
    for key, value in taken.entries:
        assert key.partition(".")[0] in ("core", "branch", "remote")
        assert "\n" not in key + value
    assert "[include" not in text
    assert "[filter" not in text
    assert text.count("fsmonitor") == 1
    assert text.count("\n") == 13 + 2 * len(taken.entries)
