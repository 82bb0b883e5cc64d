"""What the `act` activity is asked and what it answers."""

from typing import Literal

from contracts.approvals import Gate
from contracts.message import Message
from contracts.runs import RunRef

Status = Literal["done", "needs_approval", "wait", "denied", "refused", "failed", "unknown", "skipped"]
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


class GiveUpRequest(Message):
    """End a step that its attempts could not; ``why`` is what the last of them said."""

    run: RunRef
    step: str
    why: str


class UndoRequest(Message):
    """Undo every done effect of the run, newest first."""

    run: RunRef
    reason: str


class UndoResult(Message):
    """What an undo left: keys undone, and keys that a person must look at, each with the reason."""

    undone: tuple[str, ...] = ()
    left: tuple[str, ...] = ()
