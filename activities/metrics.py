"""The names of Perdure's own metrics. Activities and pages count; workflow code never does, so replay counts nothing."""

from prometheus_client import Counter, Gauge, Histogram

SECONDS = (0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300)

DECISION_SECONDS = Histogram("perdure_decision_seconds", "Time of one attempt at a decision", ["automation"], buckets=SECONDS)
ACT_SECONDS = Histogram("perdure_act_seconds", "Time of one attempt at a step", ["status"], buckets=SECONDS)
MODEL_CALLS = Counter("perdure_model_calls", "Model calls by how they ended", ["model", "result"])
TOOL_CALLS = Counter("perdure_tool_calls", "Tool calls by how they ended", ["tool", "result"])
COST_MICROS = Counter("perdure_cost_micros", "Micro-dollars spent on model calls", ["automation", "model"])
RETRIES = Counter("perdure_activity_retries", "Attempts after the first", ["activity"])
REFUSALS = Counter("perdure_refused_claims", "Signals and rulings that were refused", ["channel"])
EFFECTS = Gauge("perdure_effects", "Effects by state", ["tenant", "state"])
APPROVALS_WAITING = Gauge("perdure_approvals_waiting", "Requests that wait for a person", ["tenant"])
APPROVALS_OLDEST = Gauge("perdure_approvals_oldest_seconds", "Age of the oldest request that waits", ["tenant"])
BREAKERS_OPEN = Gauge(
    "perdure_breakers_open", "Tools (as automation/tool) and models whose breaker is not closed", ["tenant", "kind", "name"]
)
RUNS = Gauge("perdure_runs", "Runs by status", ["tenant", "status"])
RECALL_LABELS = ["tenant", "model", "size", "selectivity"]
RECALL = Gauge("perdure_recall", "Share of the true nearest neighbours that recalls find", RECALL_LABELS)
RECALL_LOW = Gauge("perdure_recall_low", "Lower 95 % bound of the same", RECALL_LABELS)
RECALL_PROVEN = Gauge("perdure_recall_monitor_proven", "Whether the recall monitor saw the drop that it injected", ["tenant", "model"])
EMBEDDING_COST = Counter("perdure_embedding_cost_micros", "Micro-dollars spent on embeddings", ["tenant", "model"])
EMBEDDING_LEFT = Gauge("perdure_embedding_left_micros", "Micro-dollars that the day's allowance for embeddings has left", ["tenant"])
EMBEDDING_REFUSED = Counter("perdure_embedding_refused", "Requests that the day's allowance for embeddings had no room for", ["tenant"])
