"""Names on the wire: workflows, activities, signals, queries. A name never changes once a history holds it."""

ORCHESTRATOR = "OrchestratorWorkflow"
UNDO_RUN = "UndoWorkflow"
RECONCILE_ALL = "ReconcileWorkflow"
EXPIRE_ALL = "ExpireWorkflow"

OPEN_RUN = "open_run"
CLOSE_RUN = "close_run"
PROPOSE = "propose"
ACT = "act"
GIVE_UP = "give_up"
UNDO = "undo"
RECONCILE = "reconcile"
EXPIRE = "expire"
AT_END = "at-end"
"""The name of the order that a run gives when it ends with something left that people could settle."""
RULE = "rule"
CLIMB = "climb"
LOOK = "look"
INHERIT = "inherit"

DECIDE = "decide"
PAUSE = "pause"
RESUME = "resume"
RETRY = "retry"
WAKE = "wake"
PENDING = "pending"
PROGRESS = "progress"

PATTERNS = {"orchestrator": ORCHESTRATOR}
"""A bundle's pattern -> the workflow type that runs it."""


def undo_id(lineage: str) -> str:
    """Return the workflow ID of a run's undo: one at a time."""
    return f"undo-{lineage}"
