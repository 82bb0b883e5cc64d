"""Names on the wire: workflows, activities, signals, queries. A name never changes once a history holds it."""

ORCHESTRATOR = "OrchestratorWorkflow"

OPEN_RUN = "open_run"
CLOSE_RUN = "close_run"
PROPOSE = "propose"
ACT = "act"
GIVE_UP = "give_up"
UNDO = "undo"
RULE = "rule"
CLIMB = "climb"

DECIDE = "decide"
WAKE = "wake"
PENDING = "pending"
PROGRESS = "progress"

PATTERNS = {"orchestrator": ORCHESTRATOR}
"""A bundle's pattern -> the workflow type that runs it."""
