"""One orchestrator for all tests of a process that do it no harm."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from tests.support.system import System, recorder, system

NARROW, ROUGH = "narrow", "rough"
"""Hosts of one test each: one that is full with one call, and one whose calls end badly."""
ALONE = """
[hosts.{name}]
name = "{name}"
endpoint.kind = "stdio"
{start}
endpoint.cwd = "{root}"
endpoint.env = {{ RECORDING_FILE = "{record}" }}
limits = {{ max_concurrency = {slots}, start_s = 60.0 }}
cache.big = {{ ttl_s = 3600, scope = "all" }}
"""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Tests that share the orchestrator run in the loop in which it was started."""
    for item in items:
        if "shared_system" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.asyncio(loop_scope="session"), append=False)


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def shared_system(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[System]:
    """Use task ids and users of your own; kill nothing of it, and leave `one` and `two` well."""
    folder = tmp_path_factory.mktemp("shared")
    extra = folder / "alone.toml"
    tables = [
        ALONE.format(
            name=name,
            start=recorder(),
            root=Path(__file__).parents[2],
            record=folder / "calls.jsonl",
            slots=slots,
        )
        for name, slots in {NARROW: 1, ROUGH: 8}.items()
    ]
    extra.write_text("\n".join(tables))
    async with system(folder, {"one": 8, "two": 8}, extra=extra, real=False) as running:
        yield running
