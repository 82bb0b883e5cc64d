"""Gates, rulings and claims: what workflows, people and the approval's row say to each other."""

from typing import Any, Literal

from pydantic import Field

from contracts.message import Message, Strict
from contracts.operations import Paused, StepWord, Word

Verdict = Literal["approve", "reject", "edit"]


class Rung(Message):
    """What happens at an absolute time while nobody has ruled: a reminder, a wider circle, or the safe end."""

    at: int
    """Epoch milliseconds."""
    kind: Literal["remind", "escalate", "end"]


class Gate(Message):
    """What a waiting step holds: the request's id and the rungs still ahead. The row has the rest."""

    request: str
    step: str
    tool: str = ""
    rungs: tuple[Rung, ...]


class Ruling(Strict):
    """A person's word on one request; a claim until `rule` has looked at it."""

    request: str = Field(min_length=1, max_length=200)
    verdict: Verdict
    by: str = Field(min_length=1, max_length=200)
    reason: str = Field("", max_length=2000)
    digest: str | None = None
    """The action's digest as the person saw it; where given it must be the request's."""
    arguments: dict[str, Any] | None = None
    """With `edit`: the arguments to run instead."""
    token: str | None = None


class Wake(Message):
    """Something in Postgres changed: look again. It carries no decision, so it needs no proof."""

    request: str | None = None
    """The request that ended; None wakes every timer."""
    run: bool = False
    """Whether the run's own row changed."""


class Claim(Message):
    """One signal as it came in: a ruling or a word on the run to hand on, or the reason why it is none."""

    signal: str
    ruling: Ruling | None = None
    word: StepWord | Word | None = None
    why: str = ""


class RuleRequest(Message):
    """Hand one claim to the approval's row. ``nth`` numbers the run's claims, so that a retry records a refusal once."""

    tenant: str
    lineage: str
    nth: int
    claim: Claim


class RuleResult(Message):
    """What became of a ruling. ``request`` is the id it named, ``ended`` whether that request is now closed."""

    accepted: bool
    message: str
    request: str = ""
    ended: bool = False


class RequestState(Message):
    """Where a request stands."""

    state: str
    ended: bool


class ClimbRequest(Message):
    """One rung of a request's ladder is due."""

    tenant: str
    request: str
    rung: Rung


class Pending(Message):
    """One line of the `pending` query."""

    request: str
    step: str
    tool: str
    deadline: int
    """Epoch milliseconds at which silence takes its effect."""
    paused: Paused | None = None
