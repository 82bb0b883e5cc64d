"""Shapes: the kinds of run that are disturbed, what their model says, and how the person answers."""

import re
import shutil
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from devstack.script import Entry, Usage
from settings import ROOT

HERE = Path(__file__).resolve().parent
NOTES = ROOT / "automations" / "content-ops" / "examples" / "notes"
ERRANDS, CONTENT = "errands", "content-ops"
USAGE = Usage(prompt_tokens=100, completion_tokens=50)
PRICE = 200
"""Micro-dollars of one scripted call: both automations price a token at 1 and 2."""
SHORT: dict[str, dict[str, str]] = {
    "automation.yaml": {
        "{model: auto, max_tokens: 400, temperature: 0.2}": (
            "{model: scripted, max_tokens: 400, price: {input_micros_per_million: 1000000, output_micros_per_million: 2000000}}"
        ),
        "budget: {run_micros: 200000}": "budget: {run_micros: 5000000}\nbreakers: {open: PT1S, longest: PT2S}",
    },
    "tools/pieces.py": {"QUICK, CALLS = 10.0, 20.0": "QUICK, CALLS = 2.0, 3.0"},
}
"""What the profile changes in content-ops: a killed call costs as long as its time limit. Its model gets a price, to be counted."""


def errand(id: str, tool: str = "kept", *needs: str, **arguments: Any) -> dict[str, Any]:
    """Return one step of a plan of errands."""
    return {"id": id, "tool": f"errand.{tool}", "arguments": {"what": id, **arguments}, "needs": list(needs), "why": "scripted"}


def plan(*steps: dict[str, Any], done: bool = True) -> dict[str, Any]:
    """Return an answer that is a plan."""
    return {"steps": list(steps), "done": done}


@dataclass(frozen=True)
class Shape:
    """One kind of run. ``windows``: for each decision, what the model answers in turn; empty for content-ops, which names its notes."""

    name: str
    automation: str = ERRANDS
    windows: Sequence[Sequence[Any]] = ()
    by_signal: bool = True
    """Whether the person answers as the Temporal CLI does, or as Perdure's own channels do."""
    edits: Mapping[str, dict[str, Any]] = field(default_factory=dict[str, dict[str, Any]])
    """Step -> what the person has it run instead."""
    patient: Sequence[str] = ()
    """Steps about which the person wants to be reminded first."""

    def input(self, run: str, folder: Path) -> dict[str, Any]:
        """Return the input of a run, by which its model and its effects are known again."""
        if self.automation != CONTENT:
            return {"say": f"<{run}>"}
        notes = folder / run
        shutil.copytree(NOTES, notes)
        (notes / "retries.md").rename(notes / f"{run}.md")
        return {"sources": str(notes), "theme": "running services", "first_slot_seconds": 0, "slot_every_seconds": 0}


ALL = ("a", "b", "c", "d")
CAREFUL = [errand("a"), errand("b", "plain"), errand("c", "found"), errand("d", "quick")]
WIDE = Shape(
    "wide",
    windows=[
        [
            plan(
                *CAREFUL,
                errand("e", fail="busy:1"),
                errand("f", "final", ask=True),
                errand("r", "look"),
                errand("g", "kept", *ALL),
                done=False,
            )
        ],
        [plan(errand("h", "quick"), errand("i", "found"))],
    ],
)
ASKED = Shape(
    "asked",
    windows=[
        [
            {"look_ups": [{"tool": "errand.look", "arguments": {"what": "x"}}]},
            "this is not JSON",
            plan(
                errand("a", ask=True),
                errand("b", "plain", "a", ask=True),
                errand("c", "found", "a", ask=True),
                errand("d", "kept", "b", "c"),
            ),
        ]
    ],
    edits={"c": {"what": "edited", "ask": True, "fail": ""}},
    patient=("a",),
)
UNDONE = Shape("undone", windows=[[plan(*CAREFUL, errand("x", "kept", *ALL, fail="failed"), errand("y", "kept", "x"))]], by_signal=False)
GIVEN_UP = Shape("given-up", windows=[[plan(errand("a"), errand("b", "quick"), errand("x", "dear", "a", "b"))]])
PIECES = Shape("pieces", automation=CONTENT, by_signal=False)
SHAPES = (PIECES, WIDE, ASKED, UNDONE, GIVEN_UP)


def lay_out(folder: Path) -> Sequence[str]:
    """Copy the automations with short time limits, and return their names."""
    left_out = shutil.ignore_patterns("__pycache__")
    shutil.copytree(HERE / "automations" / ERRANDS, folder / ERRANDS, ignore=left_out)
    content = shutil.copytree(ROOT / "automations" / CONTENT, folder / CONTENT, ignore=left_out)
    for name, changes in SHORT.items():
        _replace(content / name, changes)
    return ERRANDS, CONTENT


def _replace(path: Path, changes: Mapping[str, str]) -> None:
    text = path.read_text()
    for old, new in changes.items():
        assert old in text, f"{path.name} has no {old!r}"
        text = text.replace(old, new)
    path.write_text(text)


NAMED = re.compile(r"<([a-z0-9-]+-\d{5})>|^(pieces-\d{5})\.md:", re.MULTILINE)
"""How a run is named in what its model is told: by an errand's input, or by the name of a note."""


class Author:
    """Answers for every run at once, the same to the same question, and counts the calls of each."""

    def __init__(self) -> None:
        self.shapes = {shape.name: shape for shape in SHAPES}
        self.asked: Counter[str] = Counter()

    def __call__(self, request: Any) -> Entry:
        """Return the answer to one request."""
        messages: Sequence[Mapping[str, str]] = request["messages"]
        run = next(run for message in reversed(messages) if (run := _named(message["content"])))
        self.asked[run] += 1
        shape = self.shapes[run.rpartition("-")[0]]
        if shape.automation == CONTENT:
            return _entry(_pieces(run))
        prompts = [place for place, message in enumerate(messages) if message["role"] == "user" and f"<{run}>" in message["content"]]
        exchange = sum(message["role"] == "assistant" for message in messages[prompts[-1] :])
        return _entry(shape.windows[len(prompts) - 1][exchange])


def _entry(answer: Any) -> Entry:
    return Entry.model_validate({"answer": answer, "usage": USAGE})


def _named(text: str) -> str:
    """Return the run that a message names: by its note, or by what it has to say."""
    named = NAMED.search(text)
    return (named[1] or named[2]) if named else ""


def _pieces(run: str) -> dict[str, Any]:
    number = run.rpartition("-")[2]
    given = (
        ("blog", f"{run}.md", "A retry changes nothing"),
        ("newsletter", "backups.html", "Practise the restore"),
        ("social", "on-call.txt", "Fewer pages at night"),
    )
    return {
        "steps": [
            {"tool": tool, "arguments": {"source": source, "title": f"{title} {number}"}, "why": "scripted"}
            for tool, source, title in given
        ]
    }
