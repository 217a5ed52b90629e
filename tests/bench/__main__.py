"""`make bench`: prints what this machine reaches; `--json` for machines."""

from __future__ import annotations

import argparse
import json
import tempfile
from pathlib import Path
from typing import Any

import uvloop

from tests.bench import fanout, pipeline, replay


async def measure(options: argparse.Namespace) -> dict[str, Any]:
    """Run every benchmark, one after the other, each on an orchestrator of its own."""
    found: dict[str, Any] = {}
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        first, second = Path(folder) / "pipeline", Path(folder) / "streams"
        first.mkdir()
        second.mkdir()
        found["pipeline"] = await pipeline.measure(
            first, options.tasks, executors=options.executors, in_process=options.in_process
        )
        async with pipeline.orchestrator(second) as running:
            found["fan_out"] = await fanout.measure(running, options.clients, 2000)
            await replay.fill(running, 50_000)
            found["replay"] = await replay.measure(running, second)
    return found


def report(found: dict[str, Any]) -> None:
    """Print the figures for people."""
    line = found["pipeline"]
    print(f"tasks/s            {line['tasks_per_s']:10.0f}   (runs {line['runs']})")
    print(f"latency p50, p99   {line['p50_ms']:10.2f} ms, {line['p99_ms']:.2f} ms, one at a time")
    for name, used in line["cpu_us_per_task"].items():
        print(f"CPU µs/task        {used:10.0f}   {name}")
    print(f"CPU µs/task        {sum(line['cpu_us_per_task'].values()):10.0f}   in all")
    syncs = line["fsyncs_per_task"]
    counted = "not counted (install strace)" if syncs is None else f"{syncs:10.2f}"
    print(f"fsyncs/task        {counted}")
    fan = found["fan_out"]
    print(f"fan-out facts/s    {fan['facts_per_s']:10.0f}   to {fan['clients']} clients")
    print(f"replay facts/s     {found['replay']['facts_per_s']:10.0f}   into the gateway's view")


def main() -> None:
    """Read the options, measure, print."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    parser.add_argument("--tasks", type=int, default=8000)
    parser.add_argument("--clients", type=int, default=1000)
    parser.add_argument("--executors", type=int, default=1)
    parser.add_argument("--in-process", action="store_true", help="all five in one process")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    found = uvloop.run(measure(options))
    if options.json:
        print(json.dumps(found))
    else:
        report(found)


if __name__ == "__main__":
    main()
