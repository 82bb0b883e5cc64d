"""`make bench ARGS=memory`: what recalls of a large memory cost and find, beside pgvector's plain query in the same run."""

import argparse
import os
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table

from activities.recall_watch import Review
from bench import memory_measures as measures
from bench import memory_store, plain_vectors
from bench.memory_measures import SHARES, Served
from bench.memory_store import Memory
from bench.plain_vectors import Found
from memory.monitor import INDEX, Report

OUT = Console(width=150)


@dataclass(frozen=True)
class Row:
    """What was measured with filters of one share."""

    served: Served
    report: Report
    alone: Report


async def main(sizes: Sequence[int], queries: int, random: int, *, plain: bool, at_once: bool) -> None:
    """Measure each size in turn, print, and print the curve over them."""
    curve: dict[int, dict[str, Row]] = {}
    with tempfile.TemporaryDirectory(prefix="perdure-bench-") as name:
        async with memory_store.opened(Path(name)) as server:
            for size in sizes:
                memory = await server.filled(size, Path(name), at_once=at_once)
                load = f"{os.getloadavg()[0]:.1f} on {os.cpu_count()} cores"
                OUT.print(f"\n[bold]{size:,} facts of 384 dimensions[/], {queries} queries of each share; the machine's load was {load}")
                _print_import(memory, at_once=at_once)
                _print_watch(await measures.watched(memory))
                curve[size] = {share: await _measured(memory, share, queries) for share in SHARES}
                _print_recalls(curve[size])
                _print_proof(*await measures.injected(memory))
                _print_shortness(await measures.shortness(memory, random))
                if plain:
                    built = await plain_vectors.filled(memory)
                    _print_plain(built, {share: await plain_vectors.asked(memory, share, min(queries, 100)) for share in SHARES})
    _print_curve(curve)


async def _measured(memory: Memory, share: str, queries: int) -> Row:
    # The first query of a connection plans and reads what later ones find ready.
    await measures.hybrid(memory, share, 10)
    served = await measures.hybrid(memory, share, queries)
    report = await measures.recall(memory, share, queries)
    return Row(served, report, await measures.unaided(memory, share, min(queries, 100)))


def _print_import(memory: Memory, *, at_once: bool) -> None:
    rate = memory.corpus.size / memory.imported
    OUT.print(f"import: [bold]{rate:,.0f}[/] facts/s findable by keyword (aim: at least 5,000)")
    how = "built over all of them at once" if at_once else "row by row"
    rate = memory.corpus.size / memory.indexed
    OUT.print(f"vectors and their index, {how}, followed in {memory.indexed:.1f} s, {rate:,.0f} facts/s (no aim)")


def _print_watch(review: Review | None) -> None:
    assert review, "the queries before it left samples"
    for report in review.reports:
        found = next((group for group in report.groups if group.selectivity == INDEX), report.whole).estimate
        knobs = report.knobs
        setting = "exact search" if knobs.exact_only else f"ef_search {knobs.ef_search}, max_scan_tuples {knobs.max_scan_tuples}"
        OUT.print(
            f"the watch, at {setting}: {found.recall or 0:.4f}, at least {found.low:.4f} ({found.queries} queries that an index answers)"
        )


def _print_recalls(rows: dict[str, Row]) -> None:
    table = Table("filter leaves", "p50 ms", "p95 ms", "searched", "recall@10", "low 95 %", "index alone", box=None)
    for share, row in rows.items():
        whole, times = row.report.whole, row.served.times
        modes = ", ".join(f"{mode} {count}" for mode, count in row.served.modes.items())
        alone = f"{row.alone.whole.estimate.recall or 0:.4f}"
        found = (f"{whole.estimate.recall or 0:.4f}", f"{whole.estimate.low:.4f}", alone)
        table.add_row(share, f"{times.p50:.1f}", f"{times.p95:.1f}", modes, *found)
    OUT.print(table)
    slowest = max(row.served.times.p95 for row in rows.values())
    lowest = min(row.report.whole.estimate.low for row in rows.values())
    OUT.print(f"hybrid recall, p95 of the slowest share: [bold]{slowest:.1f}[/] ms (aim: at most 20 at 100,000)")
    OUT.print(f"filtered recall@10, lowest lower bound: [bold]{lowest:.4f}[/] (aim: at least 0.99)")


def _print_proof(report: Report, proven: bool) -> None:
    found = report.whole.estimate.recall or 0
    OUT.print(f"with ef_search = 10 injected the monitor says [bold]{found:.4f}[/], and {'is proven' if proven else 'is NOT proven'}")


def _print_shortness(found: measures.Short) -> None:
    OUT.print(
        f"{found.asked:,} random queries: [bold]{len(found.short)}[/] short of k though more match (aim: 0),"
        f" {found.seconds * 1000 / found.asked:.1f} ms each"
    )
    for filter, k, rows, matching in found.short[:5]:
        OUT.print(f"  {rows} of {k}, while {matching} match {filter.told()}")


def _print_plain(built: float, rows: dict[str, Found]) -> None:
    OUT.print(f"\npgvector's plain query and defaults (its index was built at once, in {built:.1f} s)")
    table = Table("filter leaves", "p50 ms", "p95 ms", "recall@10", "low 95 %", "fewest rows", box=None)
    for share, one in rows.items():
        times = (f"{one.times.p50:.1f}", f"{one.times.p95:.1f}")
        table.add_row(share, *times, f"{one.recall.recall or 0:.4f}", f"{one.recall.low:.4f}", str(one.fewest))
    OUT.print(table)


def _print_curve(curve: dict[int, dict[str, Row]]) -> None:
    OUT.print("\nrecall@10 by the number of facts: as served, and by the index alone")
    table = Table("facts", *(f"{share}" for share in SHARES), box=None)
    for size, rows in curve.items():
        cells = [f"{row.report.whole.estimate.recall or 0:.4f}, {row.alone.whole.estimate.recall or 0:.4f}" for row in rows.values()]
        table.add_row(f"{size:,}", *cells)
    OUT.print(table)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what `bench memory` takes."""
    parser.add_argument("--sizes", type=int, nargs="+", default=[10_000, 100_000])
    parser.add_argument("--queries", type=int, default=400, help="of each share; 230 without a miss show a bound of 0.99")
    parser.add_argument("--random", type=int, default=10_000, help="random queries that must not come back short")
    parser.add_argument("--at-once", action="store_true", help="build the index over all vectors, as after a bulk load: minutes less")
    parser.add_argument("--no-plain", action="store_true", help="leave out the plain query, whose index takes minutes")
