"""The gateway that commands talk to here."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.unit.cli.gateway import Gateway, gateway


@pytest.fixture
def known(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Gateway]:
    """A gateway that says what it was asked."""
    monkeypatch.chdir(tmp_path)
    with gateway() as running:
        monkeypatch.setenv("METAMCP_URL", running.url)
        monkeypatch.setenv("METAMCP_TOKEN", "secret")
        yield running
