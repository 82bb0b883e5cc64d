"""Records: one append-only line for every decision, ruling, effect, spend and change of configuration."""

from typing import Any, Literal

from database import Tx

Kind = Literal["decision", "ruling", "effect", "spend", "conflict", "configuration", "access"]

APPEND = """
INSERT INTO record (tenant, id, kind, lineage, step, body) VALUES ($1, $2, $3, $4, $5, $6)
ON CONFLICT (tenant, id) DO NOTHING
"""
OF_RUN = "SELECT id, kind, step, at, body FROM record WHERE tenant = $1 AND lineage = $2 ORDER BY seq"


async def append(tx: Tx, id: str, kind: Kind, lineage: str | None, step: str | None, body: dict[str, Any]) -> None:
    """Append one record; the same id again (a retry, a reset) changes nothing."""
    await tx.execute(APPEND, tx.tenant, id, kind, lineage, step, body)


async def of_run(tx: Tx, lineage: str) -> list[dict[str, Any]]:
    """Return a run's records in the order they were written: id, kind, step, at (UTC), body."""
    return [dict(row) for row in await tx.fetch(OF_RUN, tx.tenant, lineage)]
