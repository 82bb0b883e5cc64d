"""Refused attempts of anybody's: the first of each minute are records, the rest is counted, so that nobody fills the ledger."""

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from database import Tx
from ledger import records

SOURCES = 1000
"""Sources that are told apart within a minute; all others are one."""
OTHERS = "others"
SEEN = """
SELECT count(*) AS sources, coalesce(bool_or(source = $3), false) AS known, coalesce(sum(told), 0)::bigint AS told FROM refusal
 WHERE tenant = $1 AND channel = $2 AND minute = date_trunc('minute', now())
"""
BEGIN = """
INSERT INTO refusal (tenant, channel, source, minute) VALUES ($1, $2, $3, date_trunc('minute', now())) ON CONFLICT DO NOTHING
"""
TOLD = "SELECT told FROM refusal WHERE tenant = $1 AND channel = $2 AND source = $3 AND minute = date_trunc('minute', now()) FOR UPDATE"
COUNT = """
UPDATE refusal SET count = count + $4, told = told + $5
 WHERE tenant = $1 AND channel = $2 AND source = $3 AND minute = date_trunc('minute', now())
"""
# One that somebody still counts in is left for the next time.
OVER = """
DELETE FROM refusal r
 USING (SELECT channel, source, minute FROM refusal WHERE tenant = $1 AND minute < date_trunc('minute', now()) FOR UPDATE SKIP LOCKED) o
 WHERE r.tenant = $1 AND (r.channel, r.source, r.minute) = (o.channel, o.source, o.minute)
RETURNING r.channel, r.source, r.minute, r.count - r.told AS more,
          (SELECT lineage FROM run WHERE tenant = $1 AND lineage = r.source) AS lineage
"""
KNOWN = "SELECT id FROM record WHERE tenant = $1 AND id = ANY ($2)"


@dataclass(frozen=True, slots=True)
class Refused:
    """One attempt. body: what its record says; about: what the record's id begins with; lineage: of the run that it was on.

    id: the record's, where an attempt may be added again. One that is on record is not counted again; one that is only counted is.
    """

    body: dict[str, Any]
    about: str = ""
    lineage: str | None = None
    id: str = ""


@dataclass(frozen=True, slots=True)
class Room:
    """Records a minute: of one source, and of one channel."""

    source: int
    channel: int


ATTEMPTS = Room(100, 1_000)
RULINGS = Room(2_500, 5_000)
"""A ruling that was refused is evidence, so there is room for a whole attack."""


async def add(tx: Tx, channel: str, attempts: Mapping[str, Sequence[Refused]], room: Room = ATTEMPTS) -> None:
    """Count attempts that were refused, and put the first of each source on record.

    attempts: by source, such as an address, a person, or the lineage of a run, which then has the count of those left out on its page.
    """
    await close(tx)
    attempts = await _unknown(tx, attempts)
    # In one order, so that two who count at once wait for each other and never both.
    for source in sorted(attempts):
        those = attempts[source]
        seen = await tx.row(SEEN, tx.tenant, channel, source)
        assert seen is not None
        name = source if seen["known"] or seen["sources"] < SOURCES else OTHERS
        # Locked before it is changed; should somebody have closed it meanwhile, it begins anew.
        while (told := await tx.value(TOLD, tx.tenant, channel, name)) is None:
            await tx.execute(BEGIN, tx.tenant, channel, name)
        first = max(0, min(len(those), room.source - told, room.channel - seen["told"]))
        await tx.execute(COUNT, tx.tenant, channel, name, len(those), first)
        for one in those[:first]:
            id = one.id or f"{one.about or channel}/refused/{uuid.uuid4()}"
            await records.append(tx, id, "access", one.lineage, None, one.body)


async def _unknown(tx: Tx, attempts: Mapping[str, Sequence[Refused]]) -> Mapping[str, Sequence[Refused]]:
    """Return those that are not on record yet."""
    ids = [one.id for those in attempts.values() for one in those if one.id]
    known = {row["id"] for row in await tx.fetch(KNOWN, tx.tenant, ids)} if ids else set[str]()
    left = {source: [one for one in those if one.id not in known] for source, those in attempts.items()} if known else attempts
    return {source: those for source, those in left.items() if those}


async def close(tx: Tx) -> None:
    """Put on record how many more there were in the minutes that are over, in one line for each source."""
    for row in await tx.fetch(OVER, tx.tenant):
        if row["more"]:
            why = f"{row['more']} more of {row['source']} in the minute from {row['minute']:%Y-%m-%d %H:%M} UTC"
            body = {"event": "refused more", "signal": "attempts", "why": why, "channel": row["channel"], "by": "", "count": row["more"]}
            await records.append(tx, f"{row['channel']}/refused/{uuid.uuid4()}", "access", row["lineage"], None, body)
