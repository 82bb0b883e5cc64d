"""`make chaos`: kill everything, everywhere, and count effects. Exits with 1 where something happened twice, never, or otherwise."""

import argparse
import asyncio
import logging
import sys
import tempfile
import time
from functools import partial
from pathlib import Path

from rich.console import Console

from settings import ROOT
from tests.chaos import stage
from tests.chaos.campaign import MUTATIONS, Campaign
from tests.chaos.report import Report
from tests.chaos.shapes import ASKED, PIECES, SHAPES, UNDONE, WIDE

MIXED = (PIECES, WIDE, UNDONE, ASKED)
ONLY = {shape.name for shape in SHAPES} | {shape.automation for shape in SHAPES} | {"lost-answers", "servers", "plans", *MUTATIONS}


async def campaign(seed: int, only: str | None, minutes: float) -> bool:
    """Run all parts, print and write the report, and return whether nothing was found."""
    report = Report(seed, Console(width=170))
    until = time.monotonic() + minutes * 60
    with tempfile.TemporaryDirectory(prefix="perdure-chaos-") as name:
        async with stage.opened(Path(name), seed) as opened:
            play = Campaign(opened, report, seed, until)
            wanted = [shape for shape in SHAPES if only in (None, shape.name, shape.automation)]
            for nth, shape in enumerate(wanted):
                # Time that one does not need is for those after it.
                play.until = time.monotonic() + (until - time.monotonic()) / (len(wanted) - nth)
                await play.every_boundary(shape)
            parts = {
                "lost-answers": lambda: play.lost_answers(MIXED, 200),
                "servers": lambda: play.servers(MIXED, 40),
                "plans": lambda: play.random_plans(24, 30),
                **{mutation: partial(play.mutation, mutation) for mutation in MUTATIONS},
            }
            for name, part in parts.items():
                if only in (None, name):
                    # However long the boundaries took, these are part of it.
                    play.until = time.monotonic() + 300
                    await part()
    report.show()
    print(f"written to {report.write(ROOT / '.artifacts' / 'chaos').relative_to(ROOT)}")  # noqa: T201
    return report.ok


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=int(time.time()) % 100_000)
    parser.add_argument("--only", choices=sorted(ONLY), help="one kind of run, one automation, or one part")
    parser.add_argument("--minutes", type=float, default=26.0, help="after which no more boundaries are aimed at")
    given = parser.parse_args()
    # A pool says so each time it finds a killed Postgres away.
    logging.getLogger("asyncpg").setLevel(logging.CRITICAL)
    sys.exit(not asyncio.run(campaign(given.seed, given.only, given.minutes)))


if __name__ == "__main__":
    main()
