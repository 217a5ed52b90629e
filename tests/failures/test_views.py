"""Views that are damaged or locked."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.failures.every import VIEWS, Story, come_through, marked

pytestmark = [pytest.mark.acceptance, pytest.mark.timeout(400)]


@marked(VIEWS)
async def test_the_system_comes_through(story: Story, tmp_path: Path) -> None:
    await come_through(story, tmp_path)
