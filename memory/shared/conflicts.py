"""Conflicts: the losing side of every merge with both values and the reason, and what a person decided."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Literal, Self

from contracts.errors import BadInput
from database import Tx
from memory import tombstones
from memory.shared import fields
from memory.writes import WriteKey

COLUMNS = """id, document, field, part, merge, state, kept, kept_by, lost, lost_by, reason, version, lineage, step, idx, request, at,
             settled_at"""
INSERT = """
INSERT INTO shared_conflict (tenant, id, document, field, part, merge, state, kept, kept_by, lost, lost_by, reason, version,
                             lineage, step, idx, request)
VALUES ($1, $2, $3, $4, $5, $6, $7, coalesce($8::jsonb, 'null'), $9, coalesce($10::jsonb, 'null'), $11, $12, $13, $14, $15, $16, $17)
"""
READ = f"SELECT {COLUMNS} FROM shared_conflict WHERE tenant = $1 AND id = $2"  # noqa: S608
NAMED = f"SELECT {COLUMNS} FROM shared_conflict WHERE tenant = $1 AND id = ANY ($2) ORDER BY array_position($2, id)"  # noqa: S608
OPEN = f"SELECT {COLUMNS} FROM shared_conflict WHERE tenant = $1 AND state = 'open' ORDER BY at, id LIMIT $2"  # noqa: S608
ASKED = "UPDATE shared_conflict SET request = $3 WHERE tenant = $1 AND id = $2 AND state = 'open'"
LOCK_FIELD = "SELECT version, value, writer, waits FROM shared_field WHERE tenant = $1 AND document = $2 AND field = $3 FOR UPDATE"
SETTLE = """
UPDATE shared_conflict SET state = 'settled', kept = coalesce($3::jsonb, 'null'), kept_by = $4, lost = coalesce($5::jsonb, 'null'),
       lost_by = $6, reason = $7, settled_at = now()
 WHERE tenant = $1 AND id = $2 AND state = 'open'
"""
FREE = "UPDATE shared_field SET waits = NULL WHERE tenant = $1 AND document = $2 AND field = $3"
PUT = """
UPDATE shared_field SET value = coalesce($4::jsonb, 'null'), writer = $5, version = version + 1, at = now()
 WHERE tenant = $1 AND document = $2 AND field = $3
"""


@dataclass(frozen=True, slots=True)
class Conflict:
    """One conflict. state: `recorded`, `both` (both stand), `open` (a person is asked; ``lost`` is what is proposed), `settled`.

    part: the key or element, if one. version: the field's, behind the edit. request: the approval request, where one was made.
    """

    id: str
    document: str
    field: str
    part: str
    merge: str
    state: str
    kept: Any
    kept_by: str
    lost: Any
    lost_by: str
    reason: str
    version: int
    lineage: str
    step: str
    idx: int
    request: str | None = None
    at: datetime | None = None
    settled_at: datetime | None = None

    @classmethod
    def from_row(cls, row: Any) -> Self:
        """Map one row."""
        return cls(**{name: row[name] for name in cls.__slots__})


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a person, or silence, decided: that what stands stays (`standing`), or that ``value`` is to stand (`other`)."""

    word: Literal["standing", "other"]
    by: str
    reason: str
    value: Any = None


def conflict_id(tenant: str, key: WriteKey, nth: int) -> str:
    """Return a conflict's id: the same for a repeated edit."""
    return f"cfl-{key.id(tenant, f'conflict {nth}')}"


async def insert(tx: Tx, conflicts: Sequence[Conflict]) -> None:
    """Record conflicts."""
    if not conflicts:
        return
    rows = [
        (
            tx.tenant, one.id, one.document, one.field, one.part, one.merge, one.state, one.kept, one.kept_by, one.lost, one.lost_by,
            one.reason, one.version, one.lineage, one.step, one.idx, one.request,
        )
        for one in conflicts
    ]  # fmt: skip
    await tx.many(INSERT, rows)


async def read(tx: Tx, id: str) -> Conflict | None:
    """Return one conflict."""
    row = await tx.row(READ, tx.tenant, id)
    return Conflict.from_row(row) if row else None


async def named(tx: Tx, ids: Sequence[str]) -> list[Conflict]:
    """Return conflicts in the order of their ids."""
    return [Conflict.from_row(row) for row in await tx.fetch(NAMED, tx.tenant, list(ids))] if ids else []


async def open_ones(tx: Tx, *, limit: int = 200) -> list[Conflict]:
    """Return the conflicts that wait for a person, oldest first."""
    return [Conflict.from_row(row) for row in await tx.fetch(OPEN, tx.tenant, limit)]


async def asked(tx: Tx, id: str, request: str) -> None:
    """Note by which request a person is asked about an open conflict."""
    await tx.execute(ASKED, tx.tenant, id, request)


async def settle(tx: Tx, id: str, verdict: Verdict) -> list[Conflict]:
    """Let what was decided stand, and record what lost; return what changed. One that is settled already stays as it is: nothing.

    Raises: BadInput for an unknown conflict, or a value that cannot be kept.
    """
    await tombstones.buried(tx, [])
    found = await read(tx, id)
    if found is None:
        raise BadInput(f"there is no conflict {id[:80]!r}")
    # The field first, as an edit does: the conflict cannot be settled by two.
    field = await tx.row(LOCK_FIELD, tx.tenant, found.document, found.field)
    found = await read(tx, id)
    if field is None or found is None or found.state != "open":
        return []
    settled = _settled(found, verdict)
    winner = settled[0]
    if not fields.same(winner.kept, field["value"]):
        await tx.execute(PUT, tx.tenant, found.document, found.field, winner.kept, winner.kept_by)
    await tx.execute(FREE, tx.tenant, found.document, found.field)
    await tx.execute(SETTLE, tx.tenant, id, winner.kept, winner.kept_by, winner.lost, winner.lost_by, winner.reason)
    await insert(tx, settled[1:])
    return settled


def _settled(found: Conflict, verdict: Verdict) -> list[Conflict]:
    """Return the conflict as it ends, and, where a third value stands, one more for the side that stood before."""
    reason = f"{found.reason}; {verdict.by}: {verdict.reason}"[:2000]
    ended = replace(found, state="settled", reason=reason)
    if verdict.word == "standing":
        return [ended]
    value = verdict.value
    fields.canonical(f"the value for {found.field!r}", value)
    if fields.same(value, found.kept):
        return [ended]
    if fields.same(value, found.lost):
        return [replace(ended, kept=found.lost, kept_by=found.lost_by, lost=found.kept, lost_by=found.kept_by)]
    both = replace(ended, kept=value, kept_by=verdict.by)
    return [both, replace(both, id=f"{found.id}-standing", state="recorded", lost=found.kept, lost_by=found.kept_by)]
