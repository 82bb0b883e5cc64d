"""Requests: what a person is asked, as its row stands."""

import hashlib
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Self

from contracts.approvals import Gate, Rung, Stage, Terms
from database import Tx
from ledger import records, votes
from ledger.votes import Vote

ASK = """
INSERT INTO approval (tenant, id, lineage, workflow_id, step, n, tool, digest, bundle, arguments, schema, question, reason, groups,
                      unsigned, rungs, expires_at, state, ruled_by, ruled_at, ruling, terms, about, stage, starter, editor, supersedes)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21, $22, $23, $24, $25, $26, $27)
ON CONFLICT (tenant, id) DO NOTHING
"""
COLUMNS = """id, lineage, workflow_id, step, n, tool, digest, bundle, arguments, schema, question, reason, groups, unsigned, state, rungs,
             created_at, expires_at, ruled_by, ruled_at, ruling, consumed_by, terms, about, stage, escalated, starter, editor, supersedes"""
READ = f"SELECT {COLUMNS} FROM approval WHERE tenant = $1 AND id = $2"  # noqa: S608
NOW = "SELECT now()"
LATEST = f"""
SELECT {COLUMNS} FROM approval WHERE tenant = $1 AND lineage = $2 AND step = $3 AND digest = $4 ORDER BY created_at DESC, id LIMIT 1
"""  # noqa: S608
OF_RUN = f"SELECT {COLUMNS} FROM approval WHERE tenant = $1 AND lineage = $2 ORDER BY created_at, id"  # noqa: S608
OPEN = f"""
SELECT {COLUMNS} FROM approval WHERE tenant = $1 AND state = 'pending' ORDER BY created_at, id LIMIT $2
"""  # noqa: S608
WAITING = """
SELECT count(*) AS count, coalesce(extract(epoch FROM now() - min(created_at)), 0)::float8 AS oldest
  FROM approval WHERE tenant = $1 AND state = 'pending'
"""


@dataclass(frozen=True, slots=True)
class Request:
    """One request as it stands. ``digest`` binds tool, version, arguments, tenant, run and step; times are UTC."""

    id: str
    lineage: str
    workflow_id: str
    step: str
    n: int
    tool: str
    digest: str
    bundle: str
    arguments: dict[str, Any]
    schema: dict[str, Any]
    question: str
    reason: str
    groups: list[str]
    unsigned: bool
    state: str
    rungs: list[dict[str, Any]]
    created_at: datetime
    expires_at: datetime
    ruled_by: str | None = None
    ruled_at: datetime | None = None
    ruling: dict[str, Any] | None = None
    consumed_by: str | None = None
    terms: dict[str, Any] = field(default_factory=dict[str, Any])
    """What it binds beside its action, as `contracts.approvals.Terms`; empty in rows from before there were any."""
    about: dict[str, Any] = field(default_factory=dict[str, Any])
    """Its tool's effect, guarantee, reversible, cost_micros and version; the outcome and the rules that matched."""
    stage: int = 0
    escalated: int = 0
    """How many of the escalation's groups may rule by now."""
    starter: str = ""
    editor: str | None = None
    supersedes: str | None = None
    """The request of which this one is the edit."""

    @classmethod
    def from_row(cls, row: Any) -> Self:
        """Map one row."""
        return cls(**{name: row[name] for name in cls.__slots__})

    @property
    def gate(self) -> Gate:
        """What the waiting workflow holds of it."""
        rungs = tuple(Rung.model_validate(rung) for rung in self.rungs)
        return Gate(request=self.id, step=self.step, tool=self.tool, rungs=rungs)

    @property
    def deadline(self) -> datetime:
        """When silence takes its effect; ``expires_at``, which may be later, is how long an approval then holds."""
        return datetime.fromtimestamp(self.rungs[-1]["at"] / 1000, UTC) if self.rungs else self.expires_at

    @property
    def bound(self) -> Terms:
        """What it binds beside its action."""
        return Terms.model_validate(self.terms)

    @property
    def chain(self) -> tuple[Stage, ...]:
        """Who must agree, one stage after another."""
        return self.bound.stages or (Stage(groups=tuple(self.groups)),)

    @property
    def ended(self) -> bool:
        """Whether no ruling can change it any more."""
        return self.state != "pending"


def request_id(lineage: str, step: str, n: int, digest: str, question: str) -> str:
    """Return a request's id: the same for a retried ask, another for any other action."""
    return "apr-" + hashlib.sha256(f"{lineage}/{step}/{n}/{digest}/{question}".encode()).hexdigest()[:16]


async def ask(tx: Tx, request: Request, *, editor: Vote | None = None) -> None:
    """Insert a request (once) and record that it was asked. One whose ``state`` is `approved` carries its editor's ruling.

    editor: the vote that an editor's word is, where it counts.
    """
    await tx.execute(
        ASK, tx.tenant, request.id, request.lineage, request.workflow_id, request.step, request.n, request.tool, request.digest,
        request.bundle, request.arguments, request.schema, request.question, request.reason, request.groups, request.unsigned,
        request.rungs, request.expires_at, request.state, request.ruled_by, request.ruled_at, request.ruling, request.terms,
        request.about, request.stage, request.starter, request.editor, request.supersedes,
    )  # fmt: skip
    if editor:
        await votes.put(tx, request.id, editor)
    body = {
        "event": "asked", "request": request.id, "tool": request.tool, "digest": request.digest, "question": request.question,
        "because": request.reason, "groups": request.groups, "deadline": request.deadline.isoformat(), "state": request.state,
        "by": request.ruled_by, "terms": request.terms, "supersedes": request.supersedes, "editor": request.editor,
    }  # fmt: skip
    await records.append(tx, f"{request.id}/asked", "ruling", request.lineage, request.step, body)


async def now(tx: Tx) -> datetime:
    """Return the time by the database's clock, which all rungs and deadlines go by."""
    return await tx.value(NOW)


async def read(tx: Tx, id: str) -> Request | None:
    """Return one request."""
    row = await tx.row(READ, tx.tenant, id)
    return Request.from_row(row) if row else None


async def latest(tx: Tx, lineage: str, step: str, digest: str) -> Request | None:
    """Return the newest request about one action of a step."""
    row = await tx.row(LATEST, tx.tenant, lineage, step, digest)
    return Request.from_row(row) if row else None


async def of_run(tx: Tx, lineage: str) -> list[Request]:
    """Return a run's requests, oldest first."""
    return [Request.from_row(row) for row in await tx.fetch(OF_RUN, tx.tenant, lineage)]


async def open_requests(tx: Tx, *, limit: int = 200) -> list[Request]:
    """Return the requests that wait for a person, oldest first."""
    return [Request.from_row(row) for row in await tx.fetch(OPEN, tx.tenant, limit)]


async def waiting(tx: Tx) -> tuple[int, float]:
    """Return how many requests wait, and the age of the oldest in seconds."""
    row = await tx.row(WAITING, tx.tenant)
    return (row["count"], row["oldest"]) if row else (0, 0.0)
