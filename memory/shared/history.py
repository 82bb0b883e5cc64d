"""The history of a map or a text: the versions that an edit may still be written on, and the edits since then."""

from dataclasses import dataclass
from typing import Any

from database import Tx
from memory.shared import joins, replicas
from memory.shared.edits import Edit, Write
from memory.shared.merges import Clash, Merged, Since, Standing, touches

FLOOR = "SELECT floor_state FROM shared_field WHERE tenant = $1 AND document = $2 AND field = $3"
DELTAS = """
SELECT version, writer, touched, delta FROM shared_edit
 WHERE tenant = $1 AND document = $2 AND field = $3 AND version > $4 AND delta IS NOT NULL ORDER BY version
"""
RAISE_FLOOR = "UPDATE shared_field SET floor = $4, floor_state = $5 WHERE tenant = $1 AND document = $2 AND field = $3"
FORGET_DELTAS = """
UPDATE shared_edit SET delta = NULL WHERE tenant = $1 AND document = $2 AND field = $3 AND version <= $4 AND delta IS NOT NULL
"""
KEPT_EDITS = 256
"""Edits of a map or a text whose base versions are kept; when there are twice as many, the older half is let go."""
MOST_STALE = 4096
"""Characters of a text that an edit on a version no longer kept is recorded with."""


@dataclass(frozen=True, slots=True)
class Changed:
    """A field after an edit. floor: the state at which its history begins anew, where it does."""

    merged: Merged
    state: bytes | None = None
    delta: bytes | None = None
    floor: bytes | None = None


async def joined(tx: Tx, edit: Edit, row: Any, standing: Standing) -> Changed:
    """Join an edit of a map or a text with what was written since its base version. row: the locked field. Raises: BadInput."""
    state: bytes = row["state"] or b""
    current, base, since = None, state, []
    if edit.base < standing.version:
        deltas = await tx.fetch(DELTAS, tx.tenant, edit.document, edit.field, row["floor"])
        # What retention has taken from the middle leaves no older version to build on.
        if edit.base < row["floor"] or len(deltas) < standing.version - row["floor"]:
            return Changed(_stale(standing, edit, row["floor"]))
        floor = await tx.value(FLOOR, tx.tenant, edit.document, edit.field) or b""
        base = replicas.advanced(standing.merge, floor, [one["delta"] for one in deltas if one["version"] <= edit.base])
        since = [Since(one["version"], one["writer"], one["touched"]) for one in deltas if one["version"] > edit.base]
        current = state
    joined = joins.join(standing.merge, edit, base, current, since)
    merged = Merged(joined.value, bool(joined.delta), joined.clashes, writer=edit.writer, touched=joined.touched)
    if not joined.delta:
        return Changed(merged, state or None)
    return Changed(merged, joined.state, joined.delta, joined.state if joined.squashed else None)


def _stale(standing: Standing, edit: Edit, floor: int) -> Merged:
    reason = f"written on version {edit.base}, while versions before {floor} are no longer kept: read it and write again"
    kept: Any = standing.value
    if isinstance(kept, str):
        kept = kept[:MOST_STALE]
    elif isinstance(edit.operation, Write):
        kept = {key: kept[key] for key in touches(edit) if key in kept}
    clash = Clash(kept, standing.writer, edit.said(standing.merge), edit.writer, reason)
    return Merged(standing.value, False, (clash,))


async def let_go(tx: Tx, edit: Edit, merge: str, floor: int, until: int) -> None:
    """Let go of the versions up to ``until``: nothing is built on them any more."""
    deltas = await tx.fetch(DELTAS, tx.tenant, edit.document, edit.field, floor)
    state = await tx.value(FLOOR, tx.tenant, edit.document, edit.field) or b""
    await raise_floor(tx, edit, until, replicas.advanced(merge, state, [one["delta"] for one in deltas if one["version"] <= until]))


async def raise_floor(tx: Tx, edit: Edit, floor: int, state: bytes) -> None:
    """Begin the history at a version, at which the replica had this state."""
    await tx.execute(RAISE_FLOOR, tx.tenant, edit.document, edit.field, floor, state)
    await tx.execute(FORGET_DELTAS, tx.tenant, edit.document, edit.field, floor)
