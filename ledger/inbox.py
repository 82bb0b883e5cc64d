"""The inbox: the requests that wait, as a person filters them, and who looked at them first."""

from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import dataclass

from database import Tx, kept
from ledger.directory import Person
from ledger.requests import COLUMNS, Request

MOST, MOST_LINES = 1001, 10_001
"""The longest lists: a page of a thousand, or of ten thousand lines, and one that tells that there are more."""
# One that is long is listed without its arguments: a list shows what a card is asked for afterwards.
BRIEF = COLUMNS.replace(
    " arguments,",
    " CASE WHEN pg_column_size(arguments) > 16000 THEN jsonb_build_object('…', 'long: see its card') ELSE arguments END AS arguments,",
).replace(" schema,", " '{}'::jsonb AS schema,")
# How much could go wrong; whoever changes it changes `channels.console.risk.risk`, which says the same of one request.
RISK = """
CASE WHEN about -> 'reversible' IS DISTINCT FROM 'true' OR coalesce(terms -> 'above', 'false') <> 'false' THEN 'high'
     WHEN about ->> 'effect' IN ('read', 'write') AND question = 'run' THEN 'low' ELSE 'medium' END
"""
DEADLINE = "coalesce(to_timestamp((rungs -> -1 ->> 'at')::bigint / 1000.0), expires_at)"
ISO = 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'
OPEN = """
 WHERE tenant = $1 AND state = 'pending' AND ($2::text IS NULL OR tool = $2) AND ($3::text IS NULL OR $3 IN (workflow_id, lineage))
   AND created_at <= now() - make_interval(secs => $4)
"""
WANTED = f"""
{OPEN} AND ($5::text[] IS NULL OR groups && $5) AND ($6::text IS NULL OR {RISK} = $6)
   AND ($7::text IS NULL OR (created_at, id) > (SELECT created_at, id FROM approval WHERE tenant = $1 AND id = $7))
 ORDER BY created_at, id LIMIT $8
"""  # noqa: S608
LISTED = f"SELECT {BRIEF} FROM approval {WANTED}"  # noqa: S608
# Postgres writes the lines: for ten thousand of them, making objects of rows only to write those would take most of the time.
LINES = f"""
SELECT row_to_json(line)::text AS line FROM (
  SELECT id AS request, tool, step, workflow_id AS run, lineage, digest, groups, reason AS because, question, state, {RISK} AS risk,
         to_char(created_at AT TIME ZONE 'UTC', '{ISO}') AS asked_at, to_char({DEADLINE} AT TIME ZONE 'UTC', '{ISO}') AS deadline,
         ruled_by, to_char(ruled_at AT TIME ZONE 'UTC', '{ISO}') AS ruled_at
    FROM approval {WANTED}) line
"""  # noqa: S608
COUNTED = f"SELECT groups, {RISK} AS risk, count(*) AS count FROM approval {OPEN} GROUP BY 1, 2"  # noqa: S608
LOOK = "INSERT INTO look (tenant, request, person, channel, role) VALUES ($1, $2, $3, $4, $5) ON CONFLICT DO NOTHING"


@dataclass(frozen=True, slots=True)
class Filters:
    """What of the open requests is wanted. run: its workflow ID or lineage. after: the id of the last one seen, to go on from.

    mine: only what the person who asks may rule on now, for themselves or for whom they stand in. risk: low, medium or high.
    """

    group: str | None = None
    tool: str | None = None
    run: str | None = None
    mine: bool = False
    older_seconds: float = 0.0
    after: str | None = None
    limit: int = 100
    risk: str | None = None


@dataclass(frozen=True, slots=True)
class Counts:
    """How many requests wait. wanted: that fit all filters. groups: whatever group and risk are wanted; risks: whatever risk is."""

    wanted: int
    groups: Mapping[str, int]
    risks: Mapping[str, int]


async def listed(tx: Tx, filters: Filters, mine: Collection[str] = ()) -> list[Request]:
    """Return the requests that wait, oldest first; long arguments and schemas are left out. mine: the groups to rule for."""
    return [Request.from_row(row) for row in await tx.fetch(LISTED, *_wanted(tx, filters, mine, MOST))]


async def lines(tx: Tx, filters: Filters, mine: Collection[str] = ()) -> list[str]:
    """Return the same, up to 10,000 and one more, each as JSON without its action: `channels.console.answers.Asked`."""
    return [row["line"] for row in await tx.fetch(LINES, *_wanted(tx, filters, mine, MOST_LINES))]


async def counts(tx: Tx, filters: Filters, mine: Collection[str] = ()) -> Counts:
    """Count the requests that wait, without listing any."""
    chosen, groups, risks = _groups(filters, mine), Counter[str](), Counter[str]()
    for row in await tx.fetch(COUNTED, *_open(tx, filters)):
        groups.update(dict.fromkeys(row["groups"], row["count"]))
        if chosen is None or set(chosen) & set(row["groups"]):
            risks[row["risk"]] += row["count"]
    return Counts(risks[filters.risk] if filters.risk else risks.total(), groups, risks)


async def look(tx: Tx, request: str, who: Person, channel: str) -> None:
    """Note when a person saw a request first."""
    await tx.execute(LOOK, tx.tenant, request, who.id, channel, who.role)


def _open(tx: Tx, filters: Filters) -> tuple[object, ...]:
    return tx.tenant, filters.tool, filters.run, filters.older_seconds


def _wanted(tx: Tx, filters: Filters, mine: Collection[str], most: int) -> tuple[object, ...]:
    return *_open(tx, filters), _groups(filters, mine), filters.risk, filters.after, min(max(filters.limit, 1), most)


def _groups(filters: Filters, mine: Collection[str]) -> list[str] | None:
    """Return the groups of which a request must have one, None for any."""
    # The connection mends single texts, but none that stand in a list.
    groups = [kept(filters.group)] if filters.group else None
    if not filters.mine:
        return groups
    return sorted(set(mine) & set(groups)) if groups else sorted(mine)
