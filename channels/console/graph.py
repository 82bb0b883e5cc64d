"""A plan as a drawing: columns by what needs what, a box for each step, a line for each need."""

from collections.abc import Sequence
from dataclasses import dataclass

from ledger.steps import StepRow

WIDE, HIGH, ACROSS, DOWN = 190, 46, 56, 14  # box and gaps, in pixels
EDGE = 4
MOST = 150
"""Steps that are drawn; a longer plan is a table only."""
LETTERS = 24


@dataclass(frozen=True, slots=True)
class Box:
    """One step where it stands."""

    step: StepRow
    x: int
    y: int

    @property
    def name(self) -> str:
        """Its id, as long as there is room."""
        return _cut(self.step.step)

    @property
    def tool(self) -> str:
        """Its tool, as long as there is room."""
        return _cut(self.step.tool)


@dataclass(frozen=True, slots=True)
class Line:
    """One need: an SVG path from a step to the one that needs it."""

    path: str
    done: bool


@dataclass(frozen=True, slots=True)
class Graph:
    """The drawing, in pixels."""

    width: int
    height: int
    boxes: tuple[Box, ...]
    lines: tuple[Line, ...]


def graph(steps: Sequence[StepRow]) -> Graph | None:
    """Lay out a plan, None where there is nothing to draw or too much."""
    if not 0 < len(steps) <= MOST:
        return None
    columns = _columns(steps)
    rows: dict[int, int] = {}
    boxes: dict[str, Box] = {}
    for step in steps:
        column = columns[step.step]
        row = rows[column] = rows.get(column, -1) + 1
        boxes[step.step] = Box(step, EDGE + column * (WIDE + ACROSS), EDGE + row * (HIGH + DOWN))
    lines = [_line(boxes[need], boxes[step.step]) for step in steps for need in step.needs if need in boxes]
    width = max(box.x for box in boxes.values()) + WIDE + EDGE
    height = max(box.y for box in boxes.values()) + HIGH + EDGE
    return Graph(width, height, tuple(boxes.values()), tuple(lines))


def _columns(steps: Sequence[StepRow]) -> dict[str, int]:
    """Return how far to the right each step stands: one further than the furthest it needs."""
    columns = {step.step: 0 for step in steps}
    # A plan's order is one in which every step comes after those it needs; a stranger's may not be.
    for _ in steps:
        moved = False
        for step in steps:
            column = max((columns[need] + 1 for need in step.needs if need in columns), default=0)
            if column != columns[step.step] and column < len(steps):
                columns[step.step], moved = column, True
        if not moved:
            break
    return columns


def _line(before: Box, after: Box) -> Line:
    x1, y1, x2, y2 = before.x + WIDE, before.y + HIGH // 2, after.x, after.y + HIGH // 2
    bend = (x1 + x2) // 2
    return Line(f"M{x1} {y1} C{bend} {y1} {bend} {y2} {x2} {y2}", before.step.status == "done")


def _cut(text: str) -> str:
    return text if len(text) <= LETTERS else f"{text[: LETTERS - 1]}…"
