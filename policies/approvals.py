"""Approvals, as an automation's YAML has them: who is asked, in which order, for how long, and what silence means."""

from datetime import timedelta
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from contracts.message import Strict

GROUP = Annotated[str, Field(min_length=1, max_length=80)]


class Stage(Strict):
    """So many people of these groups must agree."""

    groups: tuple[GROUP, ...] = Field(min_length=1, max_length=10)
    quorum: int = Field(default=1, ge=1, le=20)


class Escalation(Strict):
    """Who may rule too where nobody has ruled, and how long they have."""

    groups: tuple[GROUP, ...] = Field(min_length=1, max_length=10)
    within: timedelta = Field(default=timedelta(hours=4), gt=timedelta(0), le=timedelta(days=365))


class Approvals(Strict):
    """How people are asked; see docs/approvals.md."""

    groups: tuple[GROUP, ...] = Field(default=("owner",), min_length=1, max_length=10)
    quorum: int = Field(default=1, ge=1, le=20)
    stages: tuple[Stage, ...] = Field(default=(), max_length=5)
    """Who must agree, one stage after another; stands in place of `groups` and `quorum`."""
    unsigned: bool = False
    """Believe a ruling nobody signed. Works on the one-machine stack only."""
    deadline: timedelta = timedelta(hours=24)
    remind: tuple[timedelta, ...] = ()
    escalate: timedelta | None = None
    """When, before the deadline, the first of `escalation` may rule too."""
    silence: Literal["deny", "escalate"] = "deny"
    """What the deadline does where nobody has ruled: end it, or ask each of `escalation` in turn. It never allows."""
    escalation: tuple[Escalation, ...] = Field(default=(), max_length=10)
    self_approval: bool = False
    """Whether who started a run may approve what it does. Works on the one-machine stack only, and never above the threshold."""
    delegation: bool = True
    """Whether those whom an approver has named may rule in their stead."""
    edit_threshold_micros: int | None = Field(default=None, ge=0)
    """An action that costs more is above the threshold: whoever edited it cannot approve it, and no starter approves their own."""
    break_glass: tuple[GROUP, ...] = Field(default=(), max_length=10)
    """The groups of which any two people together may let an action through; none is nobody."""

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        late = [time for time in (*self.remind, *([self.escalate] if self.escalate else [])) if time >= self.deadline]
        if late or self.deadline <= timedelta(0):
            raise ValueError("`deadline` is more than 0, and every `remind` and `escalate` comes before it")
        if self.silence == "escalate" and not self.escalation:
            raise ValueError("`silence: escalate` needs `escalation`: who is asked next")
        if self.escalation and self.silence == "deny" and self.escalate is None:
            raise ValueError("`escalation` is reached by `escalate` (a time) or by `silence: escalate`")
        return self

    @property
    def chain(self) -> tuple[Stage, ...]:
        """Who must agree, one stage after another."""
        return self.stages or (Stage(groups=self.groups, quorum=self.quorum),)
