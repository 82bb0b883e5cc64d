"""Shared documents of whom we forget, and what other documents say of it."""

from collections import Counter

from database import Tx
from memory import naming
from memory.shared import replicas
from memory.sieve import Sieve

DOCUMENTS = "SELECT id, subject FROM shared_document WHERE tenant = $1 AND named(concat_ws(' ', id, subject), $2, $3)"
OF_DOCUMENTS = {
    "shared_conflict": "DELETE FROM shared_conflict WHERE tenant = $1 AND document = ANY ($2)",
    "shared_edit": "DELETE FROM shared_edit WHERE tenant = $1 AND document = ANY ($2)",
    "shared_field": "DELETE FROM shared_field WHERE tenant = $1 AND document = ANY ($2)",
    "shared_document": "DELETE FROM shared_document WHERE tenant = $1 AND id = ANY ($2)",
}
CONFLICTS = """
UPDATE shared_conflict
   SET kept = forgotten(kept, $4, 0), lost = forgotten(lost, $4, 0),
       reason = forgotten(reason, $4), part = forgotten(part, $4)
 WHERE tenant = $1 AND named(concat_ws(' ', kept::text, lost::text, reason, part), $2, $3)
   AND (kept, lost, reason, part) IS DISTINCT FROM (
        forgotten(kept, $4, 0), forgotten(lost, $4, 0),
        forgotten(reason, $4), forgotten(part, $4))
"""
# A set's tally has its elements' texts as keys, as JSON: a name within such a text is found as in any other.
FIELDS = """
UPDATE shared_field SET value = forgotten(value, $4, 0), tally = forgotten(tally, $4, 0), version = version + 1
 WHERE tenant = $1 AND named(concat_ws(' ', value::text, tally::text), $2, $3)
   AND (value, tally) IS DISTINCT FROM (forgotten(value, $4, 0), forgotten(tally, $4, 0))
RETURNING document, field
"""
# A replica and the edits that made it may hold what is no longer to be seen. Bytes as text: ASCII as it is, the rest in octal.
REPLICAS = """
WITH likes AS (
    SELECT array_agg(replace(encode(convert_to(given, 'UTF8'), 'escape'), '\\', '\\\\')) || $2 AS name FROM unnest($2::text[]) AS given
)
SELECT f.document, f.field, f.merge, f.version, f.value FROM shared_field f, likes
 WHERE f.tenant = $1 AND f.merge IN ('crdt:map', 'crdt:text') AND (
        (f.document, f.field) IN (SELECT * FROM unnest($4::text[], $5::text[]))
        OR named(encode(coalesce(f.state, '') || coalesce(f.floor_state, ''), 'escape'), likes.name, $3)
        OR EXISTS (SELECT FROM shared_edit e WHERE e.tenant = $1 AND e.document = f.document AND e.field = f.field
                      AND (named(encode(e.delta, 'escape'), likes.name, $3) OR named(e.touched::text, $2, $3))))
"""
# Nobody builds on a replica that knew the name: edits go on from here.
ANEW = """
UPDATE shared_field SET version = $4, floor = $4, state = $5, floor_state = $5 WHERE tenant = $1 AND document = $2 AND field = $3
"""
FORGET_EDITS = "UPDATE shared_edit SET delta = NULL, touched = '{}' WHERE tenant = $1 AND document = $2 AND field = $3"
WRITER = "erasure"


async def forget(tx: Tx, name: str, sieve: Sieve, deleted: Counter[str], redacted: Counter[str]) -> None:
    """Take away the documents of a subject, and its normal name out of all others; add to the counts of rows by table."""
    rows = await tx.fetch(DOCUMENTS, tx.tenant, sieve.likes, sieve.hidden)
    own = [row["id"] for row in rows if naming.goes_by(name, row["subject"]) or naming.without(row["id"], [name]) != row["id"]]
    for table, statement in OF_DOCUMENTS.items():
        deleted[table] = await tx.execute(statement, tx.tenant, own) if own else 0
    redacted["shared_conflict"] = await tx.execute(CONFLICTS, tx.tenant, *sieve)
    changed = await tx.fetch(FIELDS, tx.tenant, *sieve)
    redacted["shared_field"] = len(changed)
    columns = [[row[column] for row in changed] for column in ("document", "field")]
    for row in await tx.fetch(REPLICAS, tx.tenant, sieve.likes, sieve.hidden, *columns):
        state = replicas.anew(row["merge"], row["value"], WRITER)
        await tx.execute(ANEW, tx.tenant, row["document"], row["field"], row["version"] + 1, state)
        redacted["shared_edit"] += await tx.execute(FORGET_EDITS, tx.tenant, row["document"], row["field"])
