"""Fixtures for every test; import helpers from `tests.support`, never from here."""

from __future__ import annotations

import os
from collections.abc import Iterator

import hypothesis
import pytest

pytest_plugins = ["tests.support.nats"]

# A busy machine must not fail a property; the limit on time is pytest's. The examples of a property
# are the same in every run, so that nothing fails by chance: `make search` looks for others.
hypothesis.settings.register_profile("house", deadline=None, derandomize=True)
hypothesis.settings.register_profile(
    "search", deadline=None, derandomize=False, max_examples=1000, print_blob=True
)
hypothesis.settings.load_profile("house")


@pytest.fixture(scope="session", autouse=True)
def _no_settings_from_outside() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        for name in [name for name in os.environ if name.startswith("METAMCP_")]:
            patch.delenv(name)
        yield
