"""What the `act` activity is asked and what it answers."""

from typing import Literal

from pydantic import Field

from contracts.approvals import Claim, Gate
from contracts.message import Message, Strict
from contracts.runs import TENANT, RunRef

Status = Literal["done", "needs_approval", "wait", "paused", "denied", "refused", "failed", "unknown", "skipped"]
ENDED: frozenset[str] = frozenset({"done", "denied", "refused", "failed", "unknown", "skipped"})


class ActRequest(Message):
    """Run one step of the plan; its arguments are in Postgres, its key is ``lineage / step / n``."""

    run: RunRef
    step: str


class ActResult(Message):
    """How far the step came. ``detail`` is short and safe to show; outputs stay in Postgres."""

    status: Status
    detail: str = ""
    gate: Gate | None = None
    at: int | None = None
    """With `wait`: epoch milliseconds before which the step may not start."""
    step: str = ""
    """Which step: what a history says must be readable without the ledger."""


class GiveUpRequest(Message):
    """End a step that its attempts could not; ``why`` is what the last of them said."""

    run: RunRef
    step: str
    why: str


class UndoRequest(Message):
    """Undo what the run did, newest first. ``order`` names who said so, for a run that has ended; its row has the rest."""

    run: RunRef
    reason: str = ""
    order: str = ""
    leave: bool = False
    """True ends the waiting for people: what they have not settled stays as it is."""


class UndoResult(Message):
    """What an undo left: keys undone, and keys that are not, each with the reason; the first of each kind."""

    undone: tuple[str, ...] = ()
    left: tuple[str, ...] = ()
    gates: tuple[Gate, ...] = ()
    """What a person was asked about; the undo goes on when they have said."""
    asks: int = 0
    """How many of those left a person could settle, where this undo asks nobody."""


class UndoCarried(Message):
    """What a continued undo takes along."""

    gates: tuple[Gate, ...]
    claims: tuple[Claim, ...]
    claimed: int


class UndoStart(Strict):
    """Starts the undo of a run that has ended. ``order`` must be on record: `starter.py undo` puts it there."""

    tenant: str = Field(pattern=TENANT)
    lineage: str = Field(min_length=1, max_length=200)
    order: str = Field(min_length=1, max_length=200)
    carried: UndoCarried | None = None
