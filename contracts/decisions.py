"""What the `propose` activity is asked and what it answers."""

from contracts.message import Message
from contracts.plans import StepRef
from contracts.runs import RunRef


class ProposeRequest(Message):
    """Make one decision. ``step`` names it within the run; ``seq`` is the last turn of the session it may read."""

    run: RunRef
    step: str
    seq: int
    failed: tuple[str, ...] = ()
    """Steps that failed and want another plan."""
    last: bool = False
    """True where no further decision is allowed, so the plan must be done with this one."""


class Decision(Message):
    """A recorded decision: the plan's skeleton; its arguments and reasons are rows."""

    seq: int
    digest: str
    summary: str = ""
    steps: tuple[StepRef, ...] = ()
    done: bool = True
    cost: int = 0
    """Micro-dollars spent on this decision."""
    paused: bool = False
    """The run is paused, so no decision was made."""
