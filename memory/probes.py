"""What the recall monitor found, as it is kept: one line for each group of samples of each comparison."""

from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import asyncpg

from database import Tx
from memory.models import Model
from memory.monitor import Report

EVERY = timedelta(hours=1)
KEPT = timedelta(days=90)
GROWN = 1.2
"""A store that has grown by more than this since it was looked at is looked at again: a bulk load changes an index's recall."""
ALONE = "SELECT pg_try_advisory_xact_lock(hashtextextended($1, 0))"
DUE = """
SELECT NOT EXISTS (SELECT FROM recall_probe WHERE tenant = $1 AND model = $2 AND at > now() - $3::interval AND rows * $4::real >= (
    SELECT count(*) FROM {table} WHERE tenant = $1))
"""
KEEP = """
INSERT INTO recall_probe (
    tenant, model, size, selectivity, rows, queries, approximate, refused, recall, low, high, target, cause, plans, settings)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15)
"""
FORGET = "DELETE FROM recall_probe WHERE tenant = $1 AND model = $2 AND at <= now() - $3::interval"
LATEST = """
SELECT DISTINCT ON (model, selectivity)
       model, size, selectivity, rows, queries, approximate, refused, recall, low, high, target, cause, plans, settings, at
  FROM recall_probe WHERE tenant = $1 AND cause <> 'self-test' ORDER BY model, selectivity, at DESC, id DESC
"""


@dataclass(frozen=True, slots=True)
class Line:
    """One group of one comparison, as it is kept."""

    model: int
    size: str
    selectivity: str
    rows: int
    queries: int
    approximate: int
    refused: int
    recall: float | None
    low: float
    high: float
    target: float
    cause: str
    plans: dict[str, int]
    settings: dict[str, Any]
    at: Any

    @classmethod
    def from_row(cls, row: asyncpg.Record) -> "Line":
        """Return the line that a row holds."""
        return cls(**dict(row))


async def alone(tx: Tx, model: Model) -> bool:
    """Tell whether nobody else compares this tenant and model now; until the transaction ends nobody else will."""
    return await tx.value(ALONE, f"recall/{tx.tenant}/{model.id}")


async def due(tx: Tx, model: Model) -> bool:
    """Tell whether a comparison is due: an hour has passed, or the store has grown by a fifth."""
    return await tx.value(DUE.format(table=model.table), tx.tenant, model.id, EVERY, GROWN)


async def keep(tx: Tx, report: Report) -> None:
    """Keep what a comparison found, and forget what is older than three months."""
    for group in report.groups:
        guess = group.estimate
        counts = (report.rows, guess.queries, group.approximate, group.refused)
        found = (guess.recall, guess.low, guess.high, report.target, report.cause, group.plans, report.knobs.told())
        await tx.execute(KEEP, tx.tenant, report.model, report.size, group.selectivity, *counts, *found)
    await tx.execute(FORGET, tx.tenant, report.model, KEPT)


async def latest(tx: Tx) -> list[Line]:
    """Return the newest line of each model and selectivity, self-tests left out."""
    return [Line.from_row(row) for row in await tx.fetch(LATEST, tx.tenant)]
