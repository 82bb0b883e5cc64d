"""How a run starts, what it carries from one execution to the next, and how it ends."""

from typing import Any, Literal

from pydantic import Field

from contracts.approvals import Claim, Gate
from contracts.message import Message, Strict
from contracts.operations import Paused
from contracts.plans import StepRef

Ending = Literal["completed", "failed", "cancelled"]
TENANT = r"^[a-z0-9][a-z0-9_-]{0,62}$"


class Limits(Message):
    """Bounds of a run, from its bundle and the worker's settings, fixed when it opens."""

    windows: int = 50
    """Decisions a run may take."""
    replans: int = 2
    """Times a failed step may send the plan back to its planner."""
    parallel: int = 8
    """Steps that run side by side."""
    history_events: int = 4000
    """Events after which the run continues as new, where the server does not ask for it earlier."""
    act_seconds: int = 300
    """Longest attempt of one tool call."""
    propose_seconds: int = 300
    """Longest attempt of one decision."""
    patience_seconds: int = 900
    """How long an activity is tried again before the run gives up on it."""
    heartbeat_seconds: float = 15.0


class RunRef(Message):
    """Which run an activity works for. ``lineage`` is the chain's first execution run id."""

    tenant: str
    lineage: str
    bundle: str


class Run(Message):
    """A run as `open_run` pinned it."""

    ref: RunRef
    automation: str
    on_failure: Literal["undo", "keep"] = "undo"
    limits: Limits = Limits()
    quick: bool = False
    """Its planner's model answers within seconds: decisions are made beside the workflow task first."""


class Carried(Message):
    """What a continued run takes along; times are absolute, money and arguments live in Postgres."""

    run: Run
    window: int
    seq: int
    replans: int = 0
    done: bool = False
    plan: tuple[StepRef, ...] = ()
    statuses: dict[str, str] = {}
    gates: tuple[Gate, ...] = ()
    slots: dict[str, int] = {}
    """Step id -> epoch milliseconds its timer waits for."""
    claims: tuple[Claim, ...] = ()
    claimed: int = 0
    """Claims handed over so far."""
    counts: dict[str, int] = {}
    """How the steps of earlier windows ended."""
    paused: Paused | None = None
    retries: dict[str, int] = {}
    """How often each step had been opened again, as far as it was heard."""
    look: bool = False
    """Whether the run's row has to be read anew."""


class Fork(Strict):
    """Where a fork leaves its original: before a step, or before a decision (`d2`) that is then made anew."""

    lineage: str = Field(min_length=1, max_length=200)
    step: str = Field(min_length=1, max_length=80)
    bundle: str | None = Field(None, pattern="^[0-9a-f]{64}$")
    """The bundle it runs under; None keeps the original's."""
    reason: str = Field("", max_length=2000)


class StartRequest(Strict):
    """What starts a run, in any client: `{"automation": "content-ops", "input": {…}}`."""

    automation: str = Field(min_length=1, max_length=63)
    input: dict[str, Any] = {}
    tenant: str = Field("default", pattern=TENANT)
    starter: str = Field("", max_length=200)
    """Who asked, as the client says; the ledger keeps it."""
    carried: Carried | None = None
    fork: Fork | None = None


class OpenRunRequest(Message):
    """Insert the run's row once and pin its bundle."""

    tenant: str
    lineage: str
    workflow_id: str
    workflow_type: str
    automation: str
    input: dict[str, Any]
    starter: str
    fork: Fork | None = None


class InheritRequest(Message):
    """Read back where a fork begins. It is asked for once its row is there."""

    run: Run


class CloseRunRequest(Message):
    """End the run's row."""

    run: RunRef
    status: Ending
    summary: str


class Progress(Message):
    """The answer of the `progress` query."""

    window: int
    statuses: dict[str, str]
    paused: Paused | None = None


class RunResult(Message):
    """How a run ended. ``statuses`` counts its steps by how they ended."""

    lineage: str
    status: Ending
    summary: str
    decisions: int
    statuses: dict[str, int]
