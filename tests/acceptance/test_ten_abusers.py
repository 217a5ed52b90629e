"""Users apart: beside each of ten abusers another user is served, nothing is started again, and
the operator finds the way out. How fast all that goes is measured by `tests.bench.isolation`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.bench.abusers.ten import TEN, Abuser, Scene, quiet
from tests.bench.others import doors, warm
from tests.support.apart import ABUSER, OTHER, Guest, served, still, world
from tests.support.processes import restarted
from tests.support.way_out import by_command, way_out

pytestmark = [pytest.mark.acceptance, pytest.mark.timeout(400)]

SCALES = {"streams": 0.2, "publishes": 0.2, "churning": 0.3, "waiting": 0.1}
"""Smaller doses of some, big enough that they work where nothing stands against them."""
SHORT = ("dead",)
"""The others are long: `make test-long`."""


def marked(abuser: Abuser) -> Any:
    marks = [] if abuser.name in SHORT else [pytest.mark.long]
    return pytest.param(abuser, id=abuser.name, marks=marks)


@pytest.mark.parametrize("abuser", [marked(one) for one in TEN])
async def test_another_user_is_served_and_the_operator_finds_the_way_out(
    abuser: Abuser, tmp_path: Path
) -> None:
    async with world(tmp_path, files=abuser.files, **abuser.variables) as one:
        guest, other = Guest(one, await one.user(ABUSER)), Guest(one, await one.user(OTHER))
        await warm(one, other)
        await served(other)
        before = one.processes()
        first, spare = await quiet(guest)
        scene = Scene(one, guest, SCALES.get(abuser.name, 1.0))
        async with abuser.attack(scene) as abuse:
            await served(other, 10)
            assert await doors(one, other) == []
            acts = await way_out(one, guest.user, [*abuse.hosts, first], abuse.blobs())
            acts.append(await by_command(one, spare))
            assert [act for act in acts if not act.ok] == []
            await still(one)
            await served(other)
        assert restarted(before, one.processes()) == []
