"""What a campaign found: a table for people, and JSON under `.artifacts/chaos/`."""

import json
import time
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from tests.chaos import boundaries
from tests.chaos.checks import Violation


@dataclass
class Part:
    """One part of a campaign. ``pairs`` and ``kills`` are by boundary, without the step and the occurrence.

    kills: boundaries at which the worker killed itself. pairs: (run, boundary) for every run that stood in a worker which died.
    faults: what else was done, by name. proved: for a mutation, how many duplicates it made, which are wanted there.
    """

    name: str
    runs: int = 0
    kills: Counter[str] = field(default_factory=Counter[str])
    pairs: Counter[str] = field(default_factory=Counter[str])
    different: set[tuple[str, str]] = field(default_factory=set[tuple[str, str]])
    faults: Counter[str] = field(default_factory=Counter[str])
    violations: list[Violation] = field(default_factory=list[Violation])
    unreached: list[str] = field(default_factory=list[str])
    confirmed: int = 0
    """Runs in which a person, asked whether to do something again, found that it had happened."""
    proved: int | None = None
    seconds: float = 0.0

    def note(self, stood: dict[str, str], at: str | None) -> None:
        """Note a death: where each run stood, and at which boundary it was ordered, if at one."""
        for run, boundary in stood.items():
            self.pairs[boundaries.kind(boundary)] += 1
            self.different.add((run.rpartition("-")[0], boundary))
        if at is not None:
            self.kills[boundaries.kind(at)] += 1

    def count(self, kind: str) -> int:
        """Return how many violations are of a kind."""
        return sum(violation.kind == kind for violation in self.violations)

    @property
    def bad(self) -> bool:
        """Whether this part fails the campaign: a violation, or a mutation that was not caught."""
        return bool(self.violations) if self.proved is None else self.proved == 0

    def as_json(self) -> dict[str, Any]:
        """Return all of it as JSON."""
        return {
            **{name: value for name, value in vars(self).items() if name not in ("violations", "different")},
            "different_boundaries": len(self.different),
            "violations": [asdict(violation) for violation in self.violations],
        }


@dataclass
class Report:
    """The parts of one campaign, shown as they end."""

    seed: int
    console: Console
    parts: list[Part] = field(default_factory=list[Part])
    started: float = field(default_factory=time.monotonic)

    def add(self, part: Part, started: float) -> None:
        """Take a part that has ended, and say so."""
        part.seconds = round(time.monotonic() - started, 1)
        self.parts.append(part)
        self.console.print(
            f"{part.name}: {part.runs} runs, {part.kills.total()} kills at boundaries, {part.pairs.total()} pairs, "
            f"{part.faults.total()} faults, {len(part.violations)} violations, {part.seconds:.0f} s"
        )
        for violation in part.violations[:10] if part.proved is None else ():
            self.console.print(f"  {violation.run} {violation.kind}: {violation.text}", style="red")

    @property
    def ok(self) -> bool:
        """Whether nothing went wrong anywhere."""
        return not any(part.bad for part in self.parts)

    @property
    def totals(self) -> dict[str, Any]:
        """The sums of the parts that were to find nothing."""
        parts = [part for part in self.parts if part.proved is None]
        return {
            "seed": self.seed,
            "runs": sum(part.runs for part in parts),
            "kills_at_boundaries": sum(part.kills.total() for part in parts),
            "pairs": sum(part.pairs.total() for part in parts),
            "different_pairs_of_shape_and_boundary": len(set[tuple[str, str]]().union(*(part.different for part in parts))),
            "faults": dict(sum((part.faults for part in parts), Counter[str]())),
            "pairs_and_faults": sum(part.pairs.total() + part.faults.total() for part in parts),
            "duplicates": sum(part.count("duplicate") for part in parts),
            "lost_effects": sum(part.count("lost") for part in parts),
            "ended_differently": sum(part.count(kind) for part in parts for kind in ("ended", "hangs", "records", "spend")),
            "confirmed_by_a_person": sum(part.confirmed for part in parts),
            "unreached": [f"{part.name} {at}" for part in parts for at in part.unreached],
            "mutations": {part.name: part.proved for part in self.parts if part.proved is not None},
            "seconds": round(time.monotonic() - self.started, 1),
            "ok": self.ok,
        }

    def show(self) -> None:
        """Print the tables."""
        self.console.print(_table("boundary", _by_boundary(self.parts), ("kills", "pairs")))
        columns = ("runs", "kills", "pairs", "faults", "duplicates", "lost", "ended otherwise", "confirmed", "unreached", "seconds")
        self.console.print(_table("part", [(part.name, _line(part)) for part in self.parts], columns))
        for name, value in self.totals.items():
            self.console.print(f"{name}: {len(value) if name == 'unreached' else value}")

    def write(self, folder: Path) -> Path:
        """Write it as JSON and return the file."""
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / f"{time.strftime('%Y%m%d-%H%M%S')}-seed-{self.seed}.json"
        path.write_text(json.dumps({**self.totals, "parts": [part.as_json() for part in self.parts]}, indent=1))
        return path


def _by_boundary(parts: Sequence[Part]) -> list[tuple[str, tuple[object, ...]]]:
    rows: list[tuple[str, tuple[object, ...]]] = []
    for part in parts:
        for boundary in sorted(part.kills | part.pairs) if part.kills else ():
            rows.append((f"{part.name} {boundary}", (part.kills[boundary], part.pairs[boundary])))
    return rows


def _line(part: Part) -> tuple[object, ...]:
    wrong = part.count("duplicate"), part.count("lost"), sum(part.count(kind) for kind in ("ended", "hangs", "records", "spend"))
    counts = part.runs, part.kills.total(), part.pairs.total(), part.faults.total()
    return *counts, *wrong, part.confirmed, len(part.unreached), f"{part.seconds:.0f}"


def _table(first: str, rows: Iterable[tuple[str, tuple[object, ...]]], columns: Sequence[str]) -> Table:
    table = Table(first, *columns, box=None)
    for name, values in rows:
        table.add_row(name, *map(str, values))
    return table
