"""Shared documents: what stands in each field, and the one way to change it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Self

from contracts.errors import BadInput, TransientError
from database import Tx
from memory import tombstones
from memory.shared import conflicts, fields, history, replicas
from memory.shared.conflicts import Conflict
from memory.shared.edits import Change, Edit
from memory.shared.history import Changed
from memory.shared.merges import Clash, Merged, Since, Standing, plain, touches
from memory.writes import WriteKey

DECLARE = """
INSERT INTO shared_document (tenant, id, subject, declared_by) VALUES ($1, $2, $3, $4) ON CONFLICT (tenant, id) DO NOTHING
"""
DECLARED = """
SELECT d.subject, f.field, f.merge FROM shared_document d LEFT JOIN shared_field f ON f.tenant = d.tenant AND f.document = d.id
 WHERE d.tenant = $1 AND d.id = $2
"""
DECLARE_FIELDS = """
INSERT INTO shared_field (tenant, document, field, merge, value)
SELECT $1, $2, key, given.value ->> 0, given.value -> 1 FROM jsonb_each($3) AS given
ON CONFLICT (tenant, document, field) DO NOTHING
"""
COLUMNS = "field, merge, version, value, writer, clock, waits, at"
READ = f"SELECT {COLUMNS} FROM shared_field WHERE tenant = $1 AND document = $2 ORDER BY field"  # noqa: S608
LOCK = f"""
SELECT {COLUMNS}, tally, state, floor, (extract(epoch FROM clock_timestamp()) * 1000)::bigint AS now
  FROM shared_field WHERE tenant = $1 AND document = $2 AND field = $3 FOR UPDATE
"""  # noqa: S608
REPLICA = "SELECT merge, version, state FROM shared_field WHERE tenant = $1 AND document = $2 AND field = $3"
FIRST = """
SELECT digest, document, field, outcome, version, conflicts FROM shared_edit
 WHERE tenant = $1 AND lineage = $2 AND step = $3 AND idx = $4
"""
TAKEN_OUT = """
SELECT version, writer, touched FROM shared_edit
 WHERE tenant = $1 AND document = $2 AND field = $3 AND version > $4 AND touched && $5 ORDER BY version
"""
STORE = """
UPDATE shared_field SET version = $4, value = coalesce($5::jsonb, 'null'), tally = $6, clock = $7, state = $8, writer = $9, at = now()
 WHERE tenant = $1 AND document = $2 AND field = $3
"""
WAIT = "UPDATE shared_field SET waits = $4 WHERE tenant = $1 AND document = $2 AND field = $3"
NOTE = """
INSERT INTO shared_edit (tenant, lineage, step, idx, document, field, writer, digest, base, outcome, version, conflicts, touched, delta)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14) ON CONFLICT (tenant, lineage, step, idx) DO NOTHING
"""


@dataclass(frozen=True, slots=True)
class Field:
    """What stands in one field. ``waits``: the conflict that a person is asked about."""

    field: str
    merge: str
    version: int
    value: Any
    writer: str
    clock: int
    waits: str | None
    at: datetime

    @classmethod
    def from_row(cls, row: Any) -> Self:
        """Map one row."""
        return cls(**{name: row[name] for name in cls.__slots__})


@dataclass(frozen=True, slots=True)
class Answer:
    """What became of an edit; repeated, it is the first answer, with the value as it stands now, which counts as seen.

    outcome: `applied`; `merged` (it stands, and a side of it or of another lost); `same`; `lost` (it does not stand); `escalated`
    (a person is asked); `held` (it does not stand, while a person is asked about another). version: the field's, of ``value`` or older.
    """

    outcome: str
    version: int
    value: Any
    conflicts: tuple[Conflict, ...] = ()


async def declare(tx: Tx, document: str, declaration: Mapping[str, str], *, by: str, subject: str = "") -> None:
    """Make a document with fields and their merges, or add fields to it; the same again changes nothing.

    subject: whom it is about, for an erasure. Raises: BadInput where it has a field with another merge, or another subject.
    """
    wanted = fields.declared(document, declaration)
    if await tombstones.buried(tx, [subject] if subject else []):
        raise BadInput(f"document {document!r} is about somebody whom we were told to forget")
    await tx.execute(DECLARE, tx.tenant, document, subject, fields.named("a writer", by))
    rows = await tx.fetch(DECLARED, tx.tenant, document)
    there = {row["field"]: row["merge"] for row in rows if row["field"]}
    if rows and rows[0]["subject"] != subject:
        raise BadInput(f"document {document!r} is about another subject already")
    if len({**there, **wanted}) > fields.MOST_FIELDS:
        raise BadInput(f"document {document!r} would have more than {fields.MOST_FIELDS} fields")
    for field, merge in wanted.items():
        if there.get(field, merge) != merge:
            raise BadInput(f"field {field!r} of document {document!r} is {there[field]}: a merge never changes, name another field")
    new = sorted(set(wanted) - set(there))
    given = {field: [wanted[field], fields.EMPTY.get(wanted[field])] for field in new}
    if await tx.execute(DECLARE_FIELDS, tx.tenant, document, given) < len(new):
        raise TransientError(f"somebody else declares fields of document {document!r} at this moment")


async def read(tx: Tx, document: str) -> dict[str, Field]:
    """Return a document's fields by their names; nothing where there is no such document."""
    return {row["field"]: Field.from_row(row) for row in await tx.fetch(READ, tx.tenant, document)}


async def replica(tx: Tx, document: str, field: str, vector: bytes | None = None) -> tuple[int, bytes]:
    """Return the version of a map or a text, and the update that brings a replica as far as ``vector`` up to it. Raises: BadInput."""
    row = await tx.row(REPLICA, tx.tenant, document, field)
    if row is None or row["merge"] not in fields.REPLICATED:
        raise BadInput(f"document {document!r} has no map and no text {field!r}")
    return row["version"], replicas.missing(row["merge"], row["state"] or b"", vector)


async def edit(tx: Tx, key: WriteKey, edit: Edit) -> Answer:
    """Change one field by its own merge, and record every side that lost. The same key again gives the first answer.

    Raises: BadInput, with nothing changed: no such field, an operation that does not fit it, a base version that is still to come,
    what is too large or malformed, what names somebody forgotten, or a key that was used for another edit.
    """
    # Before the field is locked: an erasure, which keeps writers out, goes through the fields too.
    await tombstones.buried(tx, [])
    row = await tx.row(LOCK, tx.tenant, edit.document, edit.field)
    if row is None:
        there = ", ".join(await read(tx, edit.document)) or "no fields, or there is no such document"
        raise BadInput(f"document {edit.document[:80]!r} has no field {edit.field[:80]!r}; it has {there[:500]}")
    digest = edit.checked(row["merge"])
    if first := await tx.row(FIRST, tx.tenant, key.lineage, key.step, key.index):
        return await _first(tx, key, edit, digest, first, row["value"])
    if edit.base > row["version"]:
        raise BadInput(f"{edit.field!r} of {edit.document!r} is at version {row['version']}: nobody has read version {edit.base}")
    texts = edit.texts(row["merge"])
    if await tombstones.scrubbed(tx, texts) != texts:
        raise BadInput(f"the edit of {edit.field!r} names somebody whom we were told to forget: leave the name out")
    changed = await _changed(tx, edit, row)
    version = row["version"] + changed.merged.applied
    found = [_conflict(tx.tenant, key, edit, row["merge"], version, nth, clash) for nth, clash in enumerate(changed.merged.clashes)]
    outcome = _outcome(changed.merged)
    noted = await tx.execute(
        NOTE, tx.tenant, key.lineage, key.step, key.index, edit.document, edit.field, edit.writer, digest, edit.base, outcome, version,
        [conflict.id for conflict in found], list(changed.merged.touched), changed.delta,
    )  # fmt: skip
    if not noted:
        raise _taken(key)
    await conflicts.insert(tx, found)
    await _store(tx, edit, row, version, changed, found)
    return Answer(outcome, version, changed.merged.value, tuple(found))


async def _first(tx: Tx, key: WriteKey, edit: Edit, digest: str, first: Any, value: Any) -> Answer:
    if (first["digest"], first["document"], first["field"]) != (digest, edit.document, edit.field):
        raise _taken(key)
    found = await conflicts.named(tx, first["conflicts"])
    return Answer(first["outcome"], first["version"], value, tuple(found))


def _taken(key: WriteKey) -> BadInput:
    return BadInput(f"the key {key.lineage}/{key.step}/{key.index} was used for another edit: each edit has a key of its own")


def _outcome(merged: Merged) -> str:
    if merged.applied:
        return "merged" if merged.clashes else "applied"
    if not merged.clashes:
        return "same"
    return {"open": "escalated", "held": "held"}.get(merged.clashes[0].kind, "lost")


async def _changed(tx: Tx, edit: Edit, row: Any) -> Changed:
    standing = Standing(**{name: row[name] for name in Standing.__slots__})
    if standing.merge in fields.REPLICATED:
        return await history.joined(tx, edit, row, standing)
    since: list[Since] = []
    if isinstance(edit.operation, Change) and edit.base < standing.version:
        rows = await tx.fetch(TAKEN_OUT, tx.tenant, edit.document, edit.field, edit.base, touches(edit))
        since = [Since(one["version"], one["writer"], one["touched"]) for one in rows]
    return Changed(plain(standing, edit, row["now"], since))


def _conflict(tenant: str, key: WriteKey, edit: Edit, merge: str, version: int, nth: int, clash: Clash) -> Conflict:
    return Conflict(
        id=conflicts.conflict_id(tenant, key, nth),
        document=edit.document,
        field=edit.field,
        part=clash.part,
        merge=merge,
        state={"lost": "recorded", "held": "recorded"}.get(clash.kind, clash.kind),
        kept=clash.kept,
        kept_by=clash.kept_by,
        lost=clash.lost,
        lost_by=clash.lost_by,
        reason=clash.reason,
        version=version,
        lineage=key.lineage,
        step=key.step,
        idx=key.index,
    )


async def _store(tx: Tx, edit: Edit, row: Any, version: int, changed: Changed, found: Sequence[Conflict]) -> None:
    where = (tx.tenant, edit.document, edit.field)
    merged = changed.merged
    if merged.applied:
        await tx.execute(STORE, *where, version, merged.value, dict(merged.tally), merged.clock, changed.state, merged.writer)
    if opened := next((conflict for conflict in found if conflict.state == "open"), None):
        await tx.execute(WAIT, *where, opened.id)
    if changed.floor is not None:
        await history.raise_floor(tx, edit, version, changed.floor)
    elif changed.delta and version - row["floor"] >= 2 * history.KEPT_EDITS:
        await history.let_go(tx, edit, row["merge"], row["floor"], version - history.KEPT_EDITS)
