"""`make bench ARGS=people`: how long people wait for the next step after their word, for lists, for live pages, and for Slack's answer."""

import argparse
import os
import tempfile
from pathlib import Path

from rich.console import Console
from rich.table import Table

from bench import people_inbox, people_live, people_wake, slack, stage
from bench.people_inbox import Listed
from bench.people_live import Seen
from bench.people_wake import Way, part
from bench.stage import Stage
from devstack.processes import python_module

OUT = Console(width=150)
PER_SECOND = 50.0


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what may be said of it."""
    parser.add_argument("--words", type=int, default=1, help="rounds of fifty words to each")
    parser.add_argument("--requests", type=int, default=10_000)
    parser.add_argument("--browsers", type=int, default=200)
    parser.add_argument("--seconds", type=float, default=20.0, help="for which the browsers watch")
    parser.add_argument("--presses", type=int, default=200, help="in Slack")


def defaults() -> argparse.Namespace:
    """Return what is measured where nothing was said."""
    parser = argparse.ArgumentParser()
    add_arguments(parser)
    return parser.parse_args([])


async def main(given: argparse.Namespace) -> None:
    """Measure all four and print."""
    with tempfile.TemporaryDirectory(prefix="perdure-bench-") as name:
        async with stage.opened(Path(name)) as opened:
            await on_stage(opened, given)
    await slack.main(given.presses)


async def on_stage(opened: Stage, given: argparse.Namespace) -> None:
    """Measure what a stage is needed for, and print."""
    OUT.print(f"load average of this machine: {os.getloadavg()[0]:.1f} on {os.cpu_count()} CPUs")
    _print_words(await people_wake.measure(opened, given.words))
    bare = await people_live.bare(opened, given.browsers, PER_SECOND, given.seconds)
    async with people_live.served(opened, "console", python_module("channels.console")) as url:
        _print_lists(await people_inbox.measure(opened, url, given.requests, 20))
        _print_live([bare, await people_live.measure(opened, url, given.browsers, PER_SECOND, given.seconds)])


def _print_words(ways: list[Way]) -> None:
    table = Table("after a word", "words", "step begins, ms p50", "p95", "tool called, ms p50", "p95", box=None)
    for way in ways:
        numbers = [f"{part(seconds, share):.1f}" for seconds in (way.begun, way.called) for share in (0.5, 0.95)]
        table.add_row(way.name, str(len(way.begun)), *numbers)
    OUT.print(table)
    bare, *asked = ways
    for way in asked:
        begun, called = (part(seconds, 0.95) / part(bare.begun, 0.95) for seconds in (way.begun, way.called))
        OUT.print(f"{way.name}, p95 / a bare signal's: step begins [bold]{begun:.2f}[/] (aim: at most 1.3), tool called {called:.2f}")


def _print_lists(ways: list[Listed]) -> None:
    table = Table("with 10,000 open requests", "ms, p50", "p95", "CPU ms", "kB", box=None)
    for way in ways:
        table.add_row(way.name, f"{way.p50:.0f}", f"{way.p95:.0f}", f"{way.cpu:.0f}", f"{way.bytes / 1000:.0f}")
    OUT.print(table)
    OUT.print("aim: under 200 ms")


def _print_live(found: list[Seen]) -> None:
    columns = ("browsers on one page", "browsers", "events", "ms to a browser, p50", "p95", "p99", "lost", "twice", "CPUs used")
    table = Table(*columns, box=None)
    for seen in found:
        latencies = [f"{seen.part(share):.0f}" for share in (0.5, 0.95, 0.99)]
        table.add_row(seen.name, str(seen.browsers), str(seen.written), *latencies, str(seen.lost), str(seen.twice), f"{seen.cpu:.2f}")
    OUT.print(table)
    OUT.print(f"{PER_SECOND:g} events a second; the console looks ten times a second")
