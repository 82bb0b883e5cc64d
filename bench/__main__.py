"""`make bench`: print what Perdure's loop costs beside a bare workflow's. Figures are medians; read the ratios.

`make bench ARGS=memory` measures memory instead, `make bench ARGS=people` what people wait for.
"""

import argparse
import asyncio
import statistics
import tempfile
from pathlib import Path

from rich.console import Console
from rich.table import Table

from bench import loops, memory, people, slack, stage
from bench.loops import ACT, BARE, BARE_ACTS, BARE_READS, EMPTY, PERDURE, PERDURE_READS, PLAIN, QUICK_ACT, STOCK, Measured

OUT = Console(width=150)


async def main(rounds: int, total: int, *, long: bool) -> None:
    """Measure and print."""
    with tempfile.TemporaryDirectory(prefix="perdure-bench-") as name:
        async with stage.opened(Path(name)) as opened:
            OUT.print(f"10 decisions a run, {rounds} runs of each in turn, then {total} at concurrency 50")
            found = await loops.in_turn(opened, [BARE, EMPTY, PERDURE, PLAIN, STOCK], rounds)
            found |= await loops.in_turn(opened, [BARE_READS, PERDURE_READS], max(3, rounds // 3))
            acts = await loops.in_turn(opened, [BARE_ACTS, ACT, QUICK_ACT], max(3, rounds // 3))
            for loop in (BARE, EMPTY, PERDURE, PLAIN):
                found[loop.name].per_second = await loops.at_once(opened, loop, total, 50)
            _print(found)
            _print_acts(acts)
            if long:
                _print_growth(await loops.growth(opened, "long"))
            await people.on_stage(opened, people.defaults())
    await slack.main()


def _print(found: dict[str, Measured]) -> None:
    columns = ("loop", "run p50 ms", "step p50 ms", "step p95 ms", "runs/s at 50", "CPU ms/step", "bytes/decision", "events/decision")
    table = Table(*columns, "writes/decision", box=None)
    for name, one in found.items():
        rate = f"{one.per_second:.2f}" if one.per_second else ""
        numbers = (
            f"{one.run_p50:.0f}",
            f"{one.p50:.2f}",
            f"{one.p95:.2f}",
            rate,
            f"{one.cpu:.1f}",
            f"{one.bytes:.0f}",
            f"{one.events:.1f}",
        )
        table.add_row(name, *numbers, f"{one.commits:.1f}" if "postgres" in one.loop.cpu else "")
    OUT.print(table)
    perdure, bare = found[PERDURE.name], found[BARE.name]
    reads, bare_reads = found[PERDURE_READS.name], found[BARE_READS.name]
    for label, value, aim in (
        ("time per step, Perdure / bare", perdure.p50 / bare.p50, "at most 1.3"),
        ("runs per second at 50, Perdure / bare", perdure.per_second / bare.per_second, "at least 0.8"),
        ("run time, Perdure / bare on a stock server", perdure.run_p50 / found[STOCK.name].run_p50, "at most 0.25"),
        ("run time with 5 look-ups a decision, Perdure / bare", reads.run_p50 / bare_reads.run_p50, "at most 0.33"),
        ("time per step, nothing quick / bare", found[PLAIN.name].p50 / bare.p50, "at most 1.3"),
        ("runs per second at 50, nothing quick / bare", found[PLAIN.name].per_second / bare.per_second, "at least 0.8"),
        ("time per step, Perdure / bare without its model call", perdure.p50 / found[EMPTY.name].p50, "no aim"),
    ):
        OUT.print(f"{label}: [bold]{value:.2f}[/] (aim: {aim})")


def _print_acts(found: dict[str, Measured]) -> None:
    table = Table("one step", "ms, p50", "CPU ms", "Postgres writes", "beside a bare activity", box=None)
    bare = found[BARE_ACTS.name]
    for name, one in found.items():
        writes = f"{one.commits * loops.DECISIONS / one.loop.steps:.1f}" if "postgres" in one.loop.cpu else ""
        table.add_row(name, f"{one.p50:.2f}", f"{one.cpu:.1f}", writes, f"{one.p50 / bare.p50:.2f}")
    OUT.print(table)


def _print_growth(sizes: list[int]) -> None:
    # The first decision of an execution carries its start; the third is the first like all others.
    early, late = statistics.median(sizes[2:12]), statistics.median(sizes[-10:])
    change = (late / early - 1) * 100
    OUT.print(f"history bytes a decision: {early:.0f} at the 3rd to 12th, {late:.0f} at the last ten of {len(sizes)} ({change:+.1f} %)")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--total", type=int, default=100)
    parser.add_argument("--short", action="store_true", help="leave out the run of 1,000 decisions")
    others = parser.add_subparsers(dest="what")
    memory.add_arguments(others.add_parser("memory", help=memory.__doc__))
    people.add_arguments(others.add_parser("people", help=people.__doc__))
    given = parser.parse_args()
    if given.what == "memory":
        asyncio.run(memory.main(given.sizes, given.queries, given.random, plain=not given.no_plain, at_once=given.at_once))
    elif given.what == "people":
        asyncio.run(people.main(given))
    else:
        asyncio.run(main(given.rounds, given.total, long=not given.short))
