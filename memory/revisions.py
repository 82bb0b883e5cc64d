"""Revisions: a fact is replaced for the time its replacement holds, and what was believed before stays readable."""

from dataclasses import asdict, replace
from datetime import UTC, datetime

from contracts.errors import BadInput
from database import Tx
from memory import bounds, facts, storing, writes
from memory.facts import Fact
from memory.storing import NewFact, Written
from memory.writes import WriteKey, digest

LOCK = f"SELECT {facts.COLUMNS} FROM fact WHERE tenant = $1 AND id = $2 FOR UPDATE"  # noqa: S608
NOW = "SELECT greatest(clock_timestamp(), $1::timestamptz + interval '1 microsecond')"
SOURCES = "SELECT episode FROM fact_source WHERE tenant = $1 AND fact = $2 ORDER BY episode"
CLOSE = "UPDATE fact SET superseded_at = $3 WHERE tenant = $1 AND id = $2"
REPLACE = "UPDATE fact SET superseded_by = $3 WHERE tenant = $1 AND id = $2"
WITHDRAW = """
UPDATE fact SET superseded_at = greatest(clock_timestamp(), recorded_at + interval '1 microsecond')
 WHERE tenant = $1 AND superseded_at IS NULL AND id IN (
    SELECT one ->> 'id' FROM memory_write w
     CROSS JOIN LATERAL jsonb_array_elements(CASE jsonb_typeof(w.result) WHEN 'array' THEN w.result ELSE '[]' END) AS one
     WHERE w.tenant = $1 AND w.lineage = $2 AND w.step = $3 AND one ->> 'outcome' = 'new'
)
"""
ALWAYS = datetime.max.replace(tzinfo=UTC)
NEVER = datetime.min.replace(tzinfo=UTC)


async def supersede(tx: Tx, key: WriteKey, id: str, fact: NewFact) -> Written:
    """Replace a fact for as long as the new one holds; idempotent as `facts.write` is.

    Where the new one begins later or ends earlier than the old, the rest of the old stays believed, as a row of its own: so what holds
    at any time is one thing, and `as_of` still finds what was believed before.
    Raises: BadInput where there is no such fact, it has been replaced already, or the two never hold at the same time.
    """
    if (first := await writes.begin(tx, key, digest("supersede", id, fact))) is not None:
        return facts.answer(first)
    old = await _current(tx, id)
    begin, end = bounds.period(fact.valid_from, fact.valid_to, "the new fact")
    rests = _rests(old, begin, end)
    if refused := await storing.refusals(tx, [fact]):
        stored = [refused[0]]
    else:
        moment = await tx.value(NOW, old.recorded_at)
        await tx.execute(CLOSE, tx.tenant, id, moment)
        stored = await storing.put(tx, key, [fact], recorded_at=moment, revises=id)
        await tx.execute(REPLACE, tx.tenant, id, stored[0].id)
        if rests:
            sources = tuple(row["episode"] for row in await tx.fetch(SOURCES, tx.tenant, id))
            kept = [replace(rest, sources=sources) for rest in rests]
            await storing.put(tx, replace(key, step=f"{key.step}/rest"), kept, recorded_at=moment, revises=id)
    await writes.settle(tx, key, [asdict(one) for one in stored])
    return Written(tuple(stored))


async def withdraw(tx: Tx, lineage: str, step: str) -> int:
    """Believe no longer what was learnt from a step whose work was taken back, and return how many facts that were.

    A repetition finds none; what others had written before stays, and `as_of` still finds what was believed until now.
    """
    return await tx.execute(WITHDRAW, tx.tenant, lineage, step)


async def _current(tx: Tx, id: str) -> Fact:
    row = await tx.row(LOCK, tx.tenant, id)
    if row is None:
        raise BadInput(f"there is no fact {id[: bounds.SHOWN]!r} to replace")
    if row["superseded_at"] is not None:
        raise BadInput(f"fact {id!r} has been replaced already, by {row['superseded_by']!r}: replace that one")
    return Fact.from_row(row)


def _rests(old: Fact, begin: datetime | None, end: datetime | None) -> list[NewFact]:
    """Return what is left of a fact before and after the time that another holds instead."""
    since, until = old.valid_from or NEVER, old.valid_to or ALWAYS
    if (begin or NEVER) >= until or (end or ALWAYS) <= since:
        raise BadInput(f"the new fact never holds while {old.id!r} does: write it as a fact beside it")
    same = NewFact(
        old.body, scope=old.scope, kind=old.kind, subject=old.subject, session=old.session, speaker=old.speaker, at=old.at,
        confidence=old.confidence,
    )  # fmt: skip
    before = [replace(same, valid_from=old.valid_from, valid_to=begin)] if begin and begin > since else []
    after = [replace(same, valid_from=end, valid_to=old.valid_to)] if end and end < until else []
    return before + after
