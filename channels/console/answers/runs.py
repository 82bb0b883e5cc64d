"""What the API takes and gives about runs, and the words on them. Money is in micro-dollars, times are ISO 8601 in UTC."""

from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import Field

from channels.console.answers.requests import Reason
from contracts.message import Message, Strict

StepName = Annotated[str, Field(min_length=1, max_length=80)]
State = Literal["running", "completed", "failed", "cancelled"]


class Runs(Message):
    """Which runs are wanted. before: what the answer before it gave as ``more``."""

    q: str = Field("", max_length=200)
    status: Literal["", "running", "completed", "failed", "cancelled"] = ""
    automation: str = Field("", max_length=63)
    before: str = Field("", max_length=200)
    limit: int = Field(100, ge=1, le=500)


class RunBrief(Message):
    """One run of a list."""

    run: str
    lineage: str
    automation: str
    status: State
    paused: bool
    summary: str
    starter: str
    started_at: datetime
    ended_at: datetime | None
    spent_micros: int
    limit_micros: int
    waiting: int


class RunList(Message):
    """Runs, newest first."""

    runs: list[RunBrief]
    more: str


class StepView(Message):
    """One step of a plan."""

    step: str
    tool: str
    needs: list[str]
    status: str
    detail: str
    n: int


class MomentView(Message):
    """One line of the timeline."""

    at: datetime
    kind: str
    step: str | None
    text: str
    notes: list[str]


class RunWhole(RunBrief):
    """One run with its plan and its timeline."""

    bundle: str
    input: dict[str, Any]
    notes: list[str]
    steps: list[StepView]
    timeline: list[MomentView]
    forked_from: str | None
    forks: list[str]


class Because(Strict):
    """Why."""

    reason: Reason = ""


class Cancel(Because):
    """What becomes of what the run did; left out, its bundle says."""

    ending: Literal["", "undo", "keep"] = ""


class Retry(Because):
    """Which step."""

    step: StepName


class Fork(Because):
    """From which step or decision; `bundle` is another's hash, `id` the fork's workflow ID."""

    at: StepName
    bundle: str = Field("", max_length=64)
    id: str = Field("", max_length=200)


class Undo(Because):
    """From which step on; left out, from the beginning."""

    since: str = Field("", max_length=80)


class Done(Message):
    """What became of a word on a run. ``changed`` is false where it was so already."""

    accepted: bool
    changed: bool
    message: str
