"""Reviews: what two people let through by breaking the glass has to be looked at by somebody else afterwards."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Self

from contracts.errors import BadInput
from database import Tx
from ledger import records
from ledger.wording import written

WITHIN = timedelta(hours=24)
OPEN = "INSERT INTO review (tenant, request, due_at, people) VALUES ($1, $2, now() + $3, $4) ON CONFLICT DO NOTHING"
# Who should have agreed is asked to look afterwards: the groups of all stages.
WAITING = """
SELECT r.request, r.opened_at, r.due_at, r.people, a.lineage, a.step, a.tool, a.workflow_id,
       greatest(0, ceil(extract(epoch FROM now() - r.due_at) / 86400))::int AS days_late,
       ARRAY(SELECT unnest(a.groups) UNION
             SELECT jsonb_array_elements_text(one.said -> 'groups')
               FROM jsonb_array_elements(coalesce(a.terms -> 'stages', '[]')) AS one (said) ORDER BY 1) AS groups
  FROM review r JOIN approval a ON a.tenant = r.tenant AND a.id = r.request
 WHERE r.tenant = $1 AND r.done_at IS NULL ORDER BY r.due_at, r.request
"""
CLOSE = """
UPDATE review SET done_by = $3, done_at = now(), note = $4 WHERE tenant = $1 AND request = $2 AND done_at IS NULL
"""


@dataclass(frozen=True, slots=True)
class Review:
    """One task. people: who broke the glass, and so cannot review it. groups: whose business it is. Times are UTC.

    days_late: 0 until it is due, 1 within the first day after that, and so on.
    """

    request: str
    opened_at: datetime
    due_at: datetime
    people: list[str]
    lineage: str
    step: str
    tool: str
    workflow_id: str
    days_late: int
    groups: list[str]

    @classmethod
    def from_row(cls, row: Any) -> Self:
        """Map one row."""
        return cls(**{name: row[name] for name in cls.__slots__})

    def open_to(self, person: str) -> bool:
        """Whether a person may do it: whoever broke the glass may not."""
        return person.casefold() not in (name.casefold() for name in self.people)


async def open_review(tx: Tx, request: str, lineage: str, step: str, people: Sequence[str]) -> None:
    """Have a break-glass reviewed within a day, and raise the alert at once: it is a record of its own."""
    await tx.execute(OPEN, tx.tenant, request, WITHIN, sorted(people))
    body = {"event": "alert", "request": request, "why": "the glass was broken", "people": sorted(people), "by": ", ".join(sorted(people))}
    await records.append(tx, f"{request}/alert", "ruling", lineage, step, body)


async def waiting(tx: Tx) -> list[Review]:
    """Return the reviews that nobody has done, the most urgent first."""
    return [Review.from_row(row) for row in await tx.fetch(WAITING, tx.tenant)]


async def of(tx: Tx, request: str) -> Review | None:
    """Return the review of a request that nobody has done."""
    return next((review for review in await waiting(tx) if review.request == request), None)


async def close(tx: Tx, request: str, by: str, note: str) -> None:
    """Close a review. Raises: BadInput where there is none open, its reviewer broke the glass, or nothing is said."""
    found = await of(tx, request)
    if found is None:
        raise BadInput(f"no review of {request!r} is open")
    if not found.open_to(by):
        raise BadInput(f"{by} broke this glass; somebody else reviews it")
    if not written(note):
        raise BadInput("a review says in a note what was found")
    await tx.execute(CLOSE, tx.tenant, request, by, note)
    body = {"event": "reviewed", "request": request, "by": by, "note": note[:2000]}
    await records.append(tx, f"{request}/reviewed", "ruling", found.lineage, found.step, body)
