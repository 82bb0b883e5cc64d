"""Boundaries: the places in a worker at which it may die, written down as each run passes them, and the order to die there."""

import contextvars
import json
import os
import signal
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

NOWHERE = "-"


@dataclass(frozen=True, slots=True)
class Place:
    """Where a run is in this process: one execution of an activity for a step, or one workflow task.

    visit: which execution of this activity for this step it is in this process, 1 for the first.
    """

    run: str
    activity: str
    step: str
    visit: int
    passed: Counter[str] = field(default_factory=Counter[str])

    @property
    def shape(self) -> str:
        """What kind of run it is: its workflow ID without its number."""
        return self.run.rpartition("-")[0]


HERE: contextvars.ContextVar[Place | None] = contextvars.ContextVar("HERE", default=None)


def kind(boundary: str) -> str:
    """Return what a report groups a boundary by: ``act/a#1:commit.before@2`` is an ``act:commit.before``."""
    place, _, point = boundary.partition(":")
    return f"{place.partition('/')[0]}:{point.partition('@')[0]}"


def visit(boundary: str) -> int:
    """Return which execution of its activity a boundary belongs to."""
    return int(boundary.partition(":")[0].rpartition("#")[2])


@dataclass
class Orders:
    """What the stage wants of its workers: one file, read again whenever it has changed."""

    path: Path
    _read: tuple[int, dict[str, Any]] = (0, {})

    def current(self) -> dict[str, Any]:
        """Return the orders as they are now."""
        changed = self.path.stat().st_mtime_ns
        if changed != self._read[0]:
            self._read = changed, json.loads(self.path.read_text())
        return self._read[1]

    def write(self, **orders: Any) -> None:
        """Give new orders; a reader sees the old ones or the new ones."""
        part = self.path.with_suffix(".part")
        part.write_text(json.dumps(orders))
        part.replace(self.path)


class Watch:
    """Notes every boundary in a file of this process, and kills the process at one that it was ordered to die at."""

    def __init__(self, journal: Path, orders: Orders) -> None:
        self._file = os.open(journal, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        self._visits: Counter[tuple[str, str, str]] = Counter()
        self.orders = orders

    def enter(self, run: str, activity: str, step: str) -> Place:
        """Begin one execution of an activity, or one workflow task."""
        self._visits[run, activity, step] += 1
        return Place(run, activity, step or NOWHERE, self._visits[run, activity, step])

    def passed(self, point: str, place: Place | None = None) -> None:
        """Pass a boundary; what nobody runs for (a sweep) has none."""
        place = place or HERE.get()
        if place is None:
            return
        place.passed[point] += 1
        name = f"{place.activity}/{place.step}#{place.visit}:{point}@{place.passed[point]}"
        # One write to the file's end, so that lines of several threads stay whole and outlive a SIGKILL.
        os.write(self._file, (json.dumps({"run": place.run, "at": name}) + "\n").encode())
        target = self.orders.current().get("target")
        if target and target["pid"] == os.getpid() and target["shape"] == place.shape and name in target["any"]:
            self.said(f"dies {name}")
            self.die()

    def said(self, word: str) -> None:
        """Note something about the process itself."""
        os.write(self._file, (json.dumps({"said": word}) + "\n").encode())

    def die(self) -> None:
        """End as `kill -9` does: nothing is closed, nothing is said."""
        os.kill(os.getpid(), signal.SIGKILL)


@dataclass(frozen=True)
class Journey:
    """What one worker process wrote down."""

    path: Path

    def lines(self) -> list[dict[str, Any]]:
        """Return its lines, but the one that its death may have cut."""
        text = self.path.read_text() if self.path.exists() else ""
        return [json.loads(line) for line in text.split("\n") if line.endswith("}")]

    def said(self, word: str) -> bool:
        """Tell whether the process has said a word."""
        return any(line.get("said") == word for line in self.lines())

    def died_at(self) -> str:
        """Return the boundary at which it killed itself as ordered, empty where it did not."""
        return next((line["said"].removeprefix("dies ") for line in self.lines() if line.get("said", "").startswith("dies ")), "")

    def stood(self) -> dict[str, str]:
        """Return the last boundary that each run passed there."""
        return {line["run"]: line["at"] for line in self.lines() if "run" in line}

    def passed(self, run: str) -> list[str]:
        """Return every boundary that one run passed there, in order."""
        return [line["at"] for line in self.lines() if line.get("run") == run]
