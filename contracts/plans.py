"""A plan as data: what the model says, and the skeleton that history keeps of it."""

from typing import Any

from pydantic import Field

from contracts.message import Message, Strict

STEP_ID = r"^[a-z0-9][a-z0-9_.-]{0,39}$"
MAX_STEPS = 500


class PlanStep(Strict):
    """One step as the model wrote it. An argument may be ``{"$output": "step/path"}``: the output of an earlier step."""

    id: str = Field(pattern=STEP_ID)
    tool: str = Field(min_length=1, max_length=80)
    arguments: dict[str, Any] = {}
    needs: tuple[str, ...] = ()
    why: str = Field("", max_length=500)
    approval: bool = False
    """True asks a person where the rules would not; it can only tighten."""


class Plan(Strict):
    """What a planner answers. ``done`` false means: ask me again when these steps have ended."""

    steps: tuple[PlanStep, ...] = Field((), max_length=MAX_STEPS)
    done: bool = True
    summary: str = Field("", max_length=500)


class StepRef(Message):
    """The skeleton of a step: all that history keeps of it, at most 100 bytes."""

    id: str
    tool: str
    needs: tuple[str, ...] = ()
    quick: bool = False
    """Its tool ends within seconds and may be called again: it runs beside the workflow task, not through the server."""
