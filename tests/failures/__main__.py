"""`python -m tests.failures [NAME ...]`: try failures, print their table; all of them: keep it."""

from __future__ import annotations

import argparse
import asyncio
import shutil
import sys
import tempfile
from pathlib import Path

from tests.failures.every import EVERY
from tests.failures.trial import Row
from tests.support import chaos

PAGE = Path(__file__).resolve().parents[2] / "docs" / "reliability.md"
START = "<!-- The table is written by `python -m tests.failures`. -->"
HEAD = (
    "| failure | tasks | refused | lost | called twice | named after | back after |\n"
    "|---|---|---|---|---|---|---|"
)


def line(row: Row) -> str:
    """A line of the table."""
    named = "-" if row.named_s is None else f"{row.named_s:.1f} s"
    cells = (row.failure, row.tasks, row.refused, row.lost, row.doubled, named)
    return f"| {' | '.join(map(str, cells))} | {row.back_s:.1f} s |"


async def main() -> None:
    """Try what is named, or everything."""
    parser = argparse.ArgumentParser(prog="python -m tests.failures", description=__doc__)
    parser.add_argument("names", nargs="*", help=", ".join(story.name for story in EVERY))
    names = parser.parse_args().names
    lines, failed = [HEAD], False
    print(HEAD, flush=True)
    for story in EVERY:
        if names and story.name not in names:
            continue
        if why := story.lacks():
            print(f"{story.name}: {why}", flush=True)
            continue
        folder = Path(tempfile.mkdtemp(prefix="failures-"))
        try:
            for row in await story.run(folder, chaos.seed()):
                lines.append(line(row))
                print(lines[-1], flush=True)
        except AssertionError as error:
            failed = True
            print(f"{story.name} FAILED, see {folder}: {error}", flush=True)
        else:
            shutil.rmtree(folder)
    if failed:
        sys.exit(1)
    if not names:
        before, _, _ = PAGE.read_text().partition(START)
        PAGE.write_text(before + START + "\n\n" + "\n".join(lines) + "\n")


asyncio.run(main())
