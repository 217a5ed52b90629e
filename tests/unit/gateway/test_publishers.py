"""Publishers that come and go stand in the trail of whoever was kept in or out."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.publisher import LIST_FILE, Publisher
from services.gateway.people import publishers as noting
from services.gateway.people.publishers import changes
from services.gateway.people.trail import Trail
from services.up import publishers

CRM = Publisher("crm", "acme", "1")


@pytest.mark.parametrize(
    ("before", "now", "expected"),
    [
        ([], [CRM], [("publisher.added", "acme")]),
        ([CRM], [], [("publisher.removed", "acme")]),
        ([CRM], [Publisher("crm", "acme", "2")], [("publisher.rotated", "acme")]),
        (
            [CRM],
            [Publisher("crm", "other", "2")],
            [("publisher.removed", "acme"), ("publisher.added", "other")],
        ),
        ([CRM], [CRM], []),
    ],
)
def test_what_has_become_of_it(
    before: list[Publisher], now: list[Publisher], expected: list[tuple[str, str]]
) -> None:
    assert [(kind, one.user) for kind, one in changes(before, now)] == expected


TOKENS = st.sampled_from("abc")
LISTS = st.dictionaries(TOKENS, st.tuples(TOKENS, TOKENS), max_size=3)


@given(LISTS, LISTS)
def test_the_events_lead_from_one_list_to_the_other(
    before: dict[str, tuple[str, str]], now: dict[str, tuple[str, str]]
) -> None:
    earlier, later = ([Publisher(n, *rest) for n, rest in one.items()] for one in (before, now))
    held = {one.name: one for one in earlier}
    for kind, one in changes(earlier, later):
        if kind == "publisher.removed":
            del held[one.name]
        else:
            assert (one.name in held) == (kind == "publisher.rotated")
            held[one.name] = one
    assert held == {one.name: one for one in later}


class Noticed(Trail):
    """Tells when something was noted."""

    def __init__(self) -> None:
        super().__init__("gateway-1")
        self.news = asyncio.Event()

    def note(self, kind: str, **fields: Any) -> None:
        super().note(kind, **fields)
        self.news.set()

    async def next(self) -> tuple[str, str, str]:
        """What is noted from now on."""
        self.news.clear()
        async with asyncio.timeout(20):
            await self.news.wait()
        event = self.waiting[-1]
        return event.kind, event.user, event.subject


async def test_what_is_changed_is_noted_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(noting, "LOOK_S", 0.01)
    trail, path = Noticed(), tmp_path / LIST_FILE
    looked, read = asyncio.Event(), noting.listed

    def looking(data: Path) -> tuple[Publisher, ...] | None:
        looked.set()
        return read(data)

    monkeypatch.setattr(noting, "listed", looking)
    following = asyncio.create_task(noting.follow(tmp_path, trail))
    try:
        await looked.wait()
        publishers.add(tmp_path, "crm", "acme")
        assert await trail.next() == ("publisher.added", "acme", "crm")
        publishers.rotate(tmp_path, "crm")
        assert await trail.next() == ("publisher.rotated", "acme", "crm")
        listed = path.read_bytes()
        path.write_text("{")
        path.write_bytes(listed)
        publishers.remove(tmp_path, "crm")
        assert await trail.next() == ("publisher.removed", "acme", "crm")
    finally:
        following.cancel()
        await asyncio.wait((following,))
    assert len(trail.waiting) == 3
