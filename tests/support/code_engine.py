"""The code engine's environment, built once for all tests of a run, and its processes."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

from services.registry.builtin import pinned
from services.registry.builtin.code import files, matching
from services.registry.builtin.code.workers import Workers
from services.registry.builtin.sources import SourceText
from services.registry.manifests import manifest

PINS = manifest.BUILTIN.parent / "constraints" / "code.txt"


def built(factory: pytest.TempPathFactory) -> Path:
    """The folder of the environment, shared by the processes that run tests."""
    return pinned.environment(factory.getbasetemp().parent / "engines", PINS)


def analyzed(engine: Path, folder: Path, names: Iterable[str]) -> dict[str, dict[str, Any]]:
    """What is told of each of these files."""
    return asyncio.run(_analyzed(engine, folder, names))


async def _analyzed(engine: Path, folder: Path, names: Iterable[str]) -> dict[str, dict[str, Any]]:
    workers = Workers(engine / "bin" / "python")
    told: dict[str, dict[str, Any]] = {}

    async def work(source: SourceText) -> None:
        told[source.path] = await files.analyzed(workers, source)

    await files.each(workers, folder, names, work, matching.silent)
    await workers.close()
    return told


def asked(engine: Path, do: str, **request: Any) -> dict[str, Any]:
    """One answer of the engine."""

    async def ask() -> dict[str, Any]:
        workers = Workers(engine / "bin" / "python", 1)
        try:
            return await workers.ask(do, **request)
        finally:
            await workers.close()

    return asyncio.run(ask())
