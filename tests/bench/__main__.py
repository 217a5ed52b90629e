"""`make bench`: prints what this machine reaches; `--json` for machines."""

from __future__ import annotations

import argparse
import asyncio
import json
import tempfile
from pathlib import Path
from typing import Any

import uvloop

from tests.bench import (
    asks,
    command_line,
    console,
    fanout,
    hosts,
    http_clients,
    isolation,
    people,
    pipeline,
    replay,
    scan,
    streams,
)

PARTS = (
    *("cli", "pipeline", "hosts", "fan_out", "replay", "streams", "http_clients", "scan"),
    "isolation",
    "people",
    "asks",
    "console",
)


async def measure(options: argparse.Namespace) -> dict[str, Any]:
    """Run the benchmarks, one after the other, each on an orchestrator of its own."""
    found: dict[str, Any] = {}
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        places = {name: Path(folder) / name for name in PARTS}
        for place in places.values():
            place.mkdir()
        if "cli" in options.only:
            async with pipeline.orchestrator(places["cli"]) as running:
                found["cli"] = await asyncio.to_thread(
                    command_line.measure, running.url, running.token, places["cli"]
                )
        if "pipeline" in options.only:
            found["pipeline"] = await pipeline.measure(
                places["pipeline"],
                options.tasks,
                executors=options.executors,
                in_process=options.in_process,
            )
        if "hosts" in options.only:
            found["hosts"] = await hosts.measure(places["hosts"], options.calls)
        if "http_clients" in options.only:
            found["http_clients"] = await http_clients.measure(options.calls * 4)
        if "scan" in options.only:
            found["scan"] = await scan.measure(places["scan"], options.files, options.runs)
        if "fan_out" in options.only:
            async with pipeline.orchestrator(places["fan_out"]) as running:
                found["fan_out"] = await fanout.measure(running, options.clients, 2000)
        if "replay" in options.only:
            found["replay"] = await replay.measure(places["replay"], options.past)
        if "streams" in options.only:
            load = streams.Load(
                options.clients, options.facts, options.seconds, options.idle, options.idle_s
            )
            found["streams"] = await streams.measure(places["streams"], load)
        if "isolation" in options.only:
            beside = isolation.Load(options.beside_s, scale=options.abuse)
            found["isolation"] = await isolation.measure(
                places["isolation"],
                options.abusers,
                beside,
                tell=lambda one: None if options.json else isolation.report(one),
            )
        found |= await of_people(options, places)
    return found


async def of_people(options: argparse.Namespace, places: dict[str, Path]) -> dict[str, Any]:
    """What concerns people: many of them, their answers, and what they look at."""
    found: dict[str, Any] = {}
    if "people" in options.only:
        many = people.Load(options.users, options.sign_ins, options.runs)
        found["people"] = await people.measure(places["people"], many)
    if "asks" in options.only:
        waiting = asks.Load(options.waiting, options.waiting_s)
        found["asks"] = await asks.measure(places["asks"], waiting)
    if "console" in options.only:
        watched = console.Load(
            options.past_tasks, options.live_facts, options.minutes, together=options.together
        )
        found["console"] = await console.measure(places["console"], watched)
    return found


def report(found: dict[str, Any]) -> None:
    """Print the figures for people."""
    if line := found.get("cli"):
        report_command_line(line)
    if line := found.get("pipeline"):
        print(f"tasks/s            {line['tasks_per_s']:10.0f}   (runs {line['runs']})")
        print(
            f"latency p50, p99   {line['p50_ms']:10.2f} ms, {line['p99_ms']:.2f} ms, one at a time"
        )
        for name, used in line["cpu_us_per_task"].items():
            print(f"CPU µs/task        {used:10.0f}   {name}")
        print(f"CPU µs/task        {sum(line['cpu_us_per_task'].values()):10.0f}   in all")
        print(
            f"signatures/task    {line['signatures_per_task']:10.2f}   of CPU besides its own;"
            f" one RS256 signature takes {line['signature_us']:.0f} µs"
        )
        syncs = line["fsyncs_per_task"]
        counted = "not counted (install strace)" if syncs is None else f"{syncs:10.2f}"
        print(f"fsyncs/task        {counted}")
    for name, line in found.get("hosts", {}).items():
        direct = f"{line['direct_p50_ms']:.2f} ms, {line['direct_p99_ms']:.2f} ms direct"
        print(
            f"{name + ' p50, p99':18} {line['p50_ms']:10.2f} ms, {line['p99_ms']:.2f} ms; {direct}"
        )
        rates = f"{line['tasks_per_s']:10.0f}   {line['direct_per_s']:.0f} direct"
        print(f"{name + ' tasks/s':18} {rates}, {line['at_once']} at once")
    for name, line in found.get("http_clients", {}).items():
        cpu = f"{line['cpu_us_per_call']:.0f} µs of CPU each"
        print(f"{name + ' calls/s':18} {line['calls_per_s']:10.0f}   {cpu}, 32 at once")
    if fan := found.get("fan_out"):
        print(f"fan-out facts/s    {fan['facts_per_s']:10.0f}   to {fan['clients']} clients")
    for how, views in found.get("replay", {}).items():
        for name, line in views.items():
            cpu = f"{line['cpu_us_per_fact']:.1f} µs of CPU each, of {line['facts']:.0f}"
            print(f"{name + ' facts/s':18} {line['facts_per_s']:10.0f}   rebuilt {how}, {cpu}")
    others = {"streams": report_streams, "people": people.report, "asks": asks.report}
    others["console"] = console.report
    for name, tell in others.items():
        if name in found:
            tell(found[name])
    if line := found.get("scan"):
        print(
            f"scan               {line['seconds']:10.1f} s, {line['by_hand_s']:.1f} s by hand",
            end="",
        )
        print(f": {line['ratio']:.2f} times; {line['files']} files, {line['mib']} MiB", end="")
        print(f"; memory of all processes {line['peak_mib']} MiB at most")
        engines = ", ".join(f"{name} {seconds:.1f}" for name, seconds in line["engines_s"].items())
        print(f"  by hand until the last has ended; s of each: {engines}")


def report_command_line(found: dict[str, Any]) -> None:
    """Print for people what commands cost before they do anything."""
    for name, ms in found["ms"].items():
        ratio = found["empty_pythons"][name]
        print(f"{'metamcp ' + name:18} {ms:10.0f} ms CPU, {ratio:.1f} times an empty Python")


def report_streams(found: dict[str, Any]) -> None:
    """Print the figures of the websocket streams for people."""
    if load := found.get("load"):
        for name, delays in (("delivery", load["alone"]), ("beside stalled", load["stalled"])):
            print(f"{name + ' p50, p99':24} {_pair(delays)}, max {delays['max_ms']:.1f} ms", end="")
            print(f"; log {_pair(delays, 'log_')}; clients' own {_pair(delays, 'own_')}")
        cores = ", ".join(f"{name} {used:.2f}" for name, used in load["cores"].items())
        print(f"  {load['clients']} clients, {load['facts_per_s']:.0f} facts/s; cores: {cores}")
        stalled = load["stalled"]
        print(f"  stalled client: closed with {stalled['close_code']}", end="")
        print(f" after {stalled['after_s']:.1f} s, at most {stalled['memory_kib']} KiB more memory")
    if idle := found.get("idle"):
        print(
            f"idle connection    {idle['kib_each']:10.1f}   KiB each of {idle['connections']}",
            end="",
        )
        print(f", all together {idle['cores']:.3f} cores")


def _pair(delays: dict[str, float], which: str = "") -> str:
    return f"{delays[which + 'p50_ms']:.1f} and {delays[which + 'p99_ms']:.1f} ms"


def parts(text: str) -> tuple[str, ...]:
    """Read the list of parts to run."""
    chosen = tuple(text.split(","))
    if unknown := set(chosen) - set(PARTS):
        raise argparse.ArgumentTypeError(f"{min(unknown)} is none of {', '.join(PARTS)}")
    return chosen


def abusers(text: str) -> tuple[str, ...]:
    """Read the list of abusers to try."""
    chosen = tuple(text.split(","))
    if unknown := set(chosen) - set(isolation.NAMES):
        raise argparse.ArgumentTypeError(f"{min(unknown)} is none of {', '.join(isolation.NAMES)}")
    return chosen


def main() -> None:
    """Read the options, measure, print."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    parser.add_argument("--tasks", type=int, default=8000)
    parser.add_argument("--calls", type=int, default=500, help="of each real host")
    parser.add_argument("--past", type=int, default=50_000, help="tasks in the log of replay")
    parser.add_argument("--clients", type=int, default=1000, help="of fan_out and streams")
    load = streams.Load()
    parser.add_argument("--facts", type=int, default=load.facts_per_s, help="a second, of streams")
    parser.add_argument("--seconds", type=float, default=load.seconds, help="of that load")
    parser.add_argument("--idle", type=int, default=load.idle, help="connections of streams")
    parser.add_argument("--idle-s", type=float, default=load.idle_s, help="how long they are idle")
    parser.add_argument("--files", type=int, default=2000, help="of scan")
    parser.add_argument("--runs", type=int, default=3, help="of scan and people")
    many = people.Load()
    parser.add_argument("--users", type=int, default=many.users, help="of people")
    parser.add_argument("--sign-ins", type=int, default=many.sign_ins, help="of people, at once")
    parser.add_argument(
        "--abusers", type=abusers, default=isolation.NAMES, help=",".join(isolation.NAMES)
    )
    beside = isolation.Load()
    parser.add_argument("--beside-s", type=float, default=beside.seconds, help="of each stretch")
    parser.add_argument(
        "--abuse", type=float, default=beside.scale, help="1: all of it; less: part"
    )
    waiting = asks.Load()
    parser.add_argument("--waiting", type=int, default=waiting.tasks, help="tasks of asks")
    parser.add_argument("--waiting-s", type=float, default=waiting.seconds, help="of asks")
    watched = console.Load()
    parser.add_argument("--past-tasks", type=int, default=watched.tasks, help="of console")
    parser.add_argument("--live-facts", type=int, default=watched.facts_per_s, help="of console")
    parser.add_argument("--minutes", type=float, default=watched.minutes, help="of console")
    parser.add_argument("--together", action="store_true", help="of console: all pages at once")
    parser.add_argument("--only", type=parts, default=PARTS, help=",".join(PARTS))
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
