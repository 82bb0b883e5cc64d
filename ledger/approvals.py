"""Approvals: the row is the truth, and `rule` is the only function that rules on it."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Self

from contracts.approvals import Gate, RuleResult, Ruling, Rung, Wake
from contracts.errors import BadInput
from contracts.schemas import Checker, said
from database import Tx
from ledger import outbox, records

ASK = """
INSERT INTO approval (tenant, id, lineage, workflow_id, step, n, tool, digest, bundle, arguments, schema, question, reason, groups,
                      unsigned, rungs, expires_at, state, ruled_by, ruled_at, ruling)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21)
ON CONFLICT (tenant, id) DO NOTHING
"""
COLUMNS = """id, lineage, workflow_id, step, n, tool, digest, bundle, arguments, schema, question, reason, groups, unsigned, state, rungs,
             created_at, expires_at, ruled_by, ruled_at, ruling, consumed_by"""
READ = f"SELECT {COLUMNS} FROM approval WHERE tenant = $1 AND id = $2"  # noqa: S608
LOCK = f"{READ} FOR UPDATE"
LATEST = f"""
SELECT {COLUMNS} FROM approval WHERE tenant = $1 AND lineage = $2 AND step = $3 AND digest = $4 ORDER BY created_at DESC, id LIMIT 1
"""  # noqa: S608
OF_RUN = f"SELECT {COLUMNS} FROM approval WHERE tenant = $1 AND lineage = $2 ORDER BY created_at, id"  # noqa: S608
OPEN = f"""
SELECT {COLUMNS} FROM approval WHERE tenant = $1 AND state = 'pending' ORDER BY created_at, id LIMIT $2
"""  # noqa: S608
DECIDE = "UPDATE approval SET state = $3, ruled_by = $4, ruled_at = now(), ruling = $5 WHERE tenant = $1 AND id = $2 AND state = 'pending'"
END = "UPDATE approval SET state = $3 WHERE tenant = $1 AND id = $2 AND state = 'pending'"
CANCEL = "UPDATE approval SET state = 'cancelled' WHERE tenant = $1 AND lineage = $2 AND state IN ('pending', 'approved') RETURNING id"
CONSUME = """
UPDATE approval SET state = 'consumed', consumed_by = $3
 WHERE tenant = $1 AND id = $2 AND digest = $4 AND bundle = $5
   AND (state = 'approved' AND expires_at > now() OR state = 'consumed' AND consumed_by = $3)
"""
STALE = "UPDATE approval SET state = 'stale' WHERE tenant = $1 AND id = $2 AND state = 'approved'"
WAITING = """
SELECT count(*) AS count, coalesce(extract(epoch FROM now() - min(created_at)), 0)::float8 AS oldest
  FROM approval WHERE tenant = $1 AND state = 'pending'
"""
DIGEST_SEEN = 8  # characters of a digest that say which action was seen; a card shows 12
STATES = {"approve": "approved", "reject": "rejected", "edit": "superseded"}


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
    def ended(self) -> bool:
        """Whether no ruling can change it any more."""
        return self.state != "pending"


def request_id(lineage: str, step: str, n: int, digest: str, question: str) -> str:
    """Return a request's id: the same for a retried ask, another for any other action."""
    return "apr-" + hashlib.sha256(f"{lineage}/{step}/{n}/{digest}/{question}".encode()).hexdigest()[:16]


async def ask(tx: Tx, request: Request) -> None:
    """Insert a request (once) and record that it was asked. One whose ``state`` is `approved` carries its editor's ruling."""
    await tx.execute(
        ASK, tx.tenant, request.id, request.lineage, request.workflow_id, request.step, request.n, request.tool, request.digest,
        request.bundle, request.arguments, request.schema, request.question, request.reason, request.groups, request.unsigned,
        request.rungs, request.expires_at, request.state, request.ruled_by, request.ruled_at, request.ruling,
    )  # fmt: skip
    body = {
        "event": "asked", "request": request.id, "tool": request.tool, "digest": request.digest, "question": request.question,
        "because": request.reason, "groups": request.groups, "deadline": request.deadline.isoformat(), "state": request.state,
        "by": request.ruled_by,
    }  # fmt: skip
    await records.append(tx, f"{request.id}/asked", "ruling", request.lineage, request.step, body)


async def rule(tx: Tx, ruling: Ruling, *, channel: str, trusted: bool, claim: str = "") -> RuleResult:
    """Rule on a request, or say why not. Every channel ends here.

    trusted: the channel proved who is speaking, or this is the one-machine stack and the request allows unsigned rulings.
    claim: names a claim that the waiting workflow itself hands over; it needs no wake-up, and when retried gets its first answer.
    A refusal is a result; the caller records it.
    """
    row = await tx.row(LOCK, tx.tenant, ruling.request)
    if row is None:
        return RuleResult(accepted=False, message=f"unknown request {ruling.request!r}", request=ruling.request)
    request = Request.from_row(row)
    word = {"approve": "approved", "reject": "rejected", "edit": "edited"}[ruling.verdict]
    accepted = RuleResult(accepted=True, message=f"{word} by {ruling.by}", request=request.id, ended=True)
    if claim and (request.ruling or {}).get("claim") == claim:
        return accepted
    if refused := _refusal(request, ruling, trusted=trusted):
        return RuleResult(accepted=False, message=refused, request=request.id, ended=request.ended)
    body = {**ruling.model_dump(mode="json", exclude={"token"}), "channel": channel, "claim": claim}
    await tx.execute(DECIDE, tx.tenant, request.id, STATES[ruling.verdict], ruling.by, body)
    await records.append(
        tx, f"{request.id}/ruled", "ruling", request.lineage, request.step, {"event": STATES[ruling.verdict], **body, "tool": request.tool}
    )
    if not claim:
        await outbox.put(tx, request.workflow_id, Wake(request=request.id))
    return accepted


def _refusal(request: Request, ruling: Ruling, *, trusted: bool) -> str | None:
    if request.state == "expired" or (request.state == "pending" and request.deadline <= datetime.now(UTC)):
        return f"expired at {request.deadline:%Y-%m-%d %H:%M:%S} UTC"
    if request.ended:
        who = f" by {request.ruled_by} at {request.ruled_at:%Y-%m-%d %H:%M:%S} UTC" if request.ruled_by and request.ruled_at else ""
        return f"already decided{who}: {request.state}"
    if not trusted:
        return "not proved who is speaking: this installation believes signed rulings only"
    if ruling.digest is not None and (len(ruling.digest) < DIGEST_SEEN or not request.digest.startswith(ruling.digest)):
        return f"the action is not the one that was seen: its digest begins {request.digest[:12]}"
    if ruling.verdict == "reject" and not ruling.reason.strip():
        return "a rejection needs a reason"
    if ruling.verdict != "edit":
        return None if ruling.arguments is None else "`arguments` go with the verdict `edit` only"
    return edit_problem(request.schema, ruling.arguments)


def edit_problem(schema: Mapping[str, Any], arguments: Mapping[str, Any] | None) -> str | None:
    """Say why edited arguments cannot run, naming the field, or None."""
    if arguments is None:
        return "an edit needs `arguments`: the whole arguments to run instead"
    try:
        errors = Checker({"additionalProperties": False, **schema}).errors(dict(arguments))
    except BadInput as error:
        return f"the arguments cannot be checked: {error}"
    return "; ".join(f"{'.'.join(map(str, error.path)) or 'arguments'}: {said(error)}" for error in errors[:5]) or None


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


async def consume(tx: Tx, request: Request, key: str, digest: str, bundle: str) -> bool:
    """Use an approval up for one effect, in the transaction that claims it; again by the same effect it still holds.

    False: it is for another action or bundle, has expired, or another effect used it.
    """
    return await tx.execute(CONSUME, tx.tenant, request.id, key, digest, bundle) > 0


async def make_stale(tx: Tx, id: str) -> None:
    """End an approval that no longer fits what would run."""
    await tx.execute(STALE, tx.tenant, id)


async def climb(tx: Tx, request: Request, rung: Rung) -> bool:
    """Do what one rung says and record it; return whether the request has ended."""
    if request.ended:
        return True
    event = {"remind": "reminded", "escalate": "escalated", "end": "expired"}[rung.kind]
    if rung.kind == "end" and not await tx.execute(END, tx.tenant, request.id, "expired"):
        return True  # A person ruled since the request was read, and that stands.
    body = {"event": event, "request": request.id, "tool": request.tool, "groups": request.groups}
    await records.append(tx, f"{request.id}/{rung.at}/{event}", "ruling", request.lineage, request.step, body)
    return rung.kind == "end"


async def cancel_open(tx: Tx, lineage: str) -> Sequence[str]:
    """Cancel a run's open requests, approved but unused ones too; return their ids."""
    return [row["id"] for row in await tx.fetch(CANCEL, tx.tenant, lineage)]


async def waiting(tx: Tx) -> tuple[int, float]:
    """Return how many requests wait, and the age of the oldest in seconds."""
    row = await tx.row(WAITING, tx.tenant)
    return (row["count"], row["oldest"]) if row else (0, 0.0)
