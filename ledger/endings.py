"""What becomes of a request without a ruling: its rungs are climbed, its approval is used up or goes stale, or it is cancelled."""

from collections.abc import Sequence

from contracts.approvals import Rung
from database import Tx
from ledger import records
from ledger.requests import Request

WIDEN = """
UPDATE approval SET escalated = $3, groups = ARRAY(SELECT DISTINCT unnest(groups || $4::text[]) ORDER BY 1)
 WHERE tenant = $1 AND id = $2 AND state = 'pending' AND escalated < $3
"""
END = "UPDATE approval SET state = $3 WHERE tenant = $1 AND id = $2 AND state = 'pending'"
CANCEL = "UPDATE approval SET state = 'cancelled' WHERE tenant = $1 AND lineage = $2 AND state IN ('pending', 'approved') RETURNING id"
CONSUME = """
UPDATE approval SET state = 'consumed', consumed_by = $3
 WHERE tenant = $1 AND id = $2 AND digest = $4 AND bundle = $5
   AND (state = 'approved' AND expires_at > now() OR state = 'consumed' AND consumed_by = $3)
"""
STALE = """
UPDATE approval SET state = CASE state WHEN 'approved' THEN 'stale' ELSE 'cancelled' END
 WHERE tenant = $1 AND id = $2 AND state IN ('approved', 'pending')
"""
WITHDRAW = """
UPDATE approval SET state = CASE state WHEN 'approved' THEN 'stale' ELSE 'cancelled' END
 WHERE tenant = $1 AND lineage = $2 AND step = $3 AND n = $4 AND question = $5 AND state IN ('approved', 'pending')
"""


async def consume(tx: Tx, request: Request, key: str, digest: str, bundle: str) -> bool:
    """Use an approval up for one effect, in the transaction that claims it; again by the same effect it still holds.

    False: it is for another action or bundle, has expired, or another effect used it.
    """
    return await tx.execute(CONSUME, tx.tenant, request.id, key, digest, bundle) > 0


async def make_stale(tx: Tx, id: str) -> None:
    """End a request that no longer fits what would run: an approval goes stale, a question is withdrawn."""
    await tx.execute(STALE, tx.tenant, id)


async def withdraw(tx: Tx, lineage: str, step: str, n: int, question: str) -> None:
    """End what was asked so of one attempt of a step, and is not used: what is asked next takes its place."""
    await tx.execute(WITHDRAW, tx.tenant, lineage, step, n, question)


async def climb(tx: Tx, request: Request, rung: Rung) -> bool:
    """Do what one rung says and record it; return whether the request has ended."""
    if request.ended:
        return True
    event = {"remind": "reminded", "escalate": "escalated", "end": "expired"}[rung.kind]
    groups = list(request.groups)
    if rung.kind == "escalate":
        nth = sum(one["kind"] == "escalate" and one["at"] < rung.at for one in request.rungs)
        wider = list(request.bound.escalation[nth]) if nth < len(request.bound.escalation) else []
        if wider:
            await tx.execute(WIDEN, tx.tenant, request.id, nth + 1, wider)
            groups = sorted({*groups, *wider})
    if rung.kind == "end" and not await tx.execute(END, tx.tenant, request.id, "expired"):
        return True  # A person ruled since the request was read, and that stands.
    body = {"event": event, "request": request.id, "tool": request.tool, "groups": groups}
    await records.append(tx, f"{request.id}/{rung.at}/{event}", "ruling", request.lineage, request.step, body)
    return rung.kind == "end"


async def cancel_open(tx: Tx, lineage: str) -> Sequence[str]:
    """Cancel a run's open requests, approved but unused ones too; return their ids."""
    return [row["id"] for row in await tx.fetch(CANCEL, tx.tenant, lineage)]
