"""Names on the wire: workflows, activities, signals, queries. A name never changes once a history holds it."""

ORCHESTRATOR = "OrchestratorWorkflow"

OPEN_RUN = "open_run"
CLOSE_RUN = "close_run"
PROPOSE = "propose"
ACT = "act"
UNDO = "undo"
RULE = "rule"
READ_REQUEST = "read_request"
CLIMB = "climb"
REFUSE = "refuse"

DECIDE = "decide"
WAKE = "wake"
PENDING = "pending"
PROGRESS = "progress"

PATTERNS = {"orchestrator": ORCHESTRATOR}
"""A bundle's pattern -> the workflow type that runs it."""
