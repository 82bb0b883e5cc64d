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


class Stage(Message):
    """One stage of a request: so many people of these groups must agree."""

    groups: tuple[str, ...]
    quorum: int = 1


class Terms(Message):
    """What a request binds beside its action: who must agree, what silence does, and who may not rule."""

    stages: tuple[Stage, ...] = ()
    """One after another; none is one person of the request's groups."""
    escalation: tuple[tuple[str, ...], ...] = ()
    """The groups that may rule too, from each rung `escalate` on."""
    silence: Literal["deny", "escalate"] = "deny"
    self_approval: bool = False
    """Whether who started the run may approve."""
    delegation: bool = True
    above: bool = False
    """Whether it is above the threshold: who edited it, or started its run, then never approves it."""
    break_glass: tuple[str, ...] = ()
    """The groups of which any two together may let it through, to be reviewed afterwards."""


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
    """A signed word of Perdure's own that names who speaks: `starter.py approve --print-signal` prints one."""
    break_glass: bool = False
    """With `approve`: let it through against the rules of its stages; takes two people and a written reason."""
    happened: bool = False
    """With `reject`: do not do it again, because it did happen, and the step is done; do not undo it, because it is undone already."""
    output: dict[str, Any] | None = None
    """With `happened`, not of an undo: what the tool would have answered, as far as this person knows it."""


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
    """What became of a ruling. ``request`` is the id it named, ``ended`` whether that request is now closed.

    One that is accepted and has not ended its request counts; others must agree.
    """

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
