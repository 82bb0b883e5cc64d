"""The inbox: the requests that wait, as a person filters them, and who looked at them first."""

from collections.abc import Collection
from dataclasses import dataclass

from database import Tx, kept
from ledger.directory import Person
from ledger.requests import COLUMNS, Request

# One that is long is listed without its arguments: a list shows what a card is asked for afterwards.
BRIEF = COLUMNS.replace(
    " arguments,",
    " CASE WHEN pg_column_size(arguments) > 16000 THEN jsonb_build_object('…', 'long: see its card') ELSE arguments END AS arguments,",
).replace(" schema,", " '{}'::jsonb AS schema,")
LISTED = f"""
SELECT {BRIEF} FROM approval
 WHERE tenant = $1 AND state = 'pending'
   AND ($2::text[] IS NULL OR groups && $2) AND ($3::text IS NULL OR tool = $3) AND ($4::text IS NULL OR $4 IN (workflow_id, lineage))
   AND created_at <= now() - make_interval(secs => $5)
   AND ($6::text IS NULL OR (created_at, id) > (SELECT created_at, id FROM approval WHERE tenant = $1 AND id = $6))
 ORDER BY created_at, id LIMIT $7
"""  # noqa: S608
COUNT = "SELECT count(*) FROM approval WHERE tenant = $1 AND state = 'pending' AND ($2::text[] IS NULL OR groups && $2)"
LOOK = "INSERT INTO look (tenant, request, person, channel, role) VALUES ($1, $2, $3, $4, $5) ON CONFLICT DO NOTHING"


@dataclass(frozen=True, slots=True)
class Filters:
    """What of the open requests is wanted. run: its workflow ID or lineage. after: the id of the last one seen, to go on from.

    mine: only what the person who asks may rule on now, for themselves or for whom they stand in.
    """

    group: str | None = None
    tool: str | None = None
    run: str | None = None
    mine: bool = False
    older_seconds: float = 0.0
    after: str | None = None
    limit: int = 100


async def listed(tx: Tx, filters: Filters, mine: Collection[str] = ()) -> list[Request]:
    """Return the requests that wait, oldest first; long arguments and schemas are left out. mine: the groups to rule for."""
    # The connection mends single texts, but none that stand in a list.
    groups = [kept(filters.group)] if filters.group else None
    if filters.mine:
        groups = sorted(set(mine) & set(groups)) if groups else sorted(mine)
    given = (filters.tool, filters.run, filters.older_seconds, filters.after, min(max(filters.limit, 1), 1000))
    return [Request.from_row(row) for row in await tx.fetch(LISTED, tx.tenant, groups, *given)]


async def count(tx: Tx, groups: Collection[str] | None = None) -> int:
    """Count the requests that wait, all or those of some groups."""
    return await tx.value(COUNT, tx.tenant, None if groups is None else sorted(groups))


async def look(tx: Tx, request: str, who: Person, channel: str) -> None:
    """Note when a person saw a request first."""
    await tx.execute(LOOK, tx.tenant, request, who.id, channel, who.role)
