"""All the failures, each with the stage it is tried on."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.failures import named
from tests.failures.hosts import answers, faulty_stage
from tests.failures.past import log_restored
from tests.failures.stage import stage
from tests.failures.trial import BACK_S, NAMED_S, Failure, Row, tried
from tests.support import chaos, small_disk
from tests.support.shifted_clock import Clocks
from tests.support.spoiled import SPOILS

MB = 1024 * 1024
Run = Callable[[Path, int], Awaitable[list[Row]]]


class Story(NamedTuple):
    """Failures that are tried one after the other on one stage."""

    name: str
    run: Run
    short: bool = False
    """In `make test`, not only in `make test-long`."""
    mounts: bool = False

    def lacks(self) -> str:
        """Why it can't be tried on this machine; empty: it can."""
        return small_disk.forbidden() if self.mounts else ""


def _on(*failures: Failure, small: tuple[str, int] | None = None) -> Run:
    async def run(folder: Path, seed: int) -> list[Row]:
        async with stage(folder, small=small) as one:
            return [await tried(one, failure, seed) for failure in failures]

    return run


async def _clocks(folder: Path, seed: int) -> list[Row]:
    clocks = Clocks(folder, named.INSTANCES)
    async with stage(folder, clocks=clocks) as one:
        turns = range(len(named.SHIFTS_S))
        return [await tried(one, named.clocks_off(turn), seed) for turn in turns]


async def _answers(folder: Path, seed: int) -> list[Row]:
    async with faulty_stage(folder) as (one, host):
        faults = ("swapped", "second", "wedged")
        return [await tried(one, answers(host, fault), seed) for fault in faults]


HOSTS = (Story("answers", _answers),)
DISKS = (
    Story(
        "views_on_a_bad_disk",
        _on(named.VIEWS_FULL, named.VIEWS_READ_ONLY, small=("views", 12 * MB)),
        mounts=True,
    ),
    Story(
        "nats_disk_full",
        _on(named.NATS_FULL, named.NATS_OVERFULL, small=("nats", 600 * MB)),
        mounts=True,
    ),
)
FIRST, *OTHERS = (named.damaged(spoil) for spoil in SPOILS)
VIEWS = (
    Story("views_damaged", _on(FIRST), short=True),
    Story("views_damaged_otherwise", _on(*OTHERS, named.DAMAGED_RUNNING)),
    Story("views_locked", _on(named.views_locked(60))),
)
TIME = (Story("clocks_off", _clocks), Story("log_restored", log_restored))
EVERY = (*HOSTS, *DISKS, *VIEWS, *TIME)


def marked(stories: tuple[Story, ...]) -> pytest.MarkDecorator:
    """Try each of them; those that are not short in `make test-long` alone."""
    return pytest.mark.parametrize(
        "story",
        [
            pytest.param(story, id=story.name, marks=() if story.short else pytest.mark.long)
            for story in stories
        ],
    )


async def come_through(story: Story, folder: Path) -> None:
    """Try it; fails unless the system names it and is back in time."""
    if why := story.lacks():
        pytest.skip(why)
    for row in await story.run(folder, chaos.seed()):
        print(row)
        assert (row.lost, row.doubled) == (0, 0)
        assert row.named_s is None or row.named_s <= NAMED_S, row
        assert row.back_s <= BACK_S, row
