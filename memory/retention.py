"""How long what is kept: each tenant's policy in days, what is over it, and the room that this leaves in the tables."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Literal, get_args

import asyncpg

from contracts.errors import BadInput
from database import SEARCH_PATH, Tx
from memory import postings, vectors

What = Literal["turns", "episodes", "superseded", "expired", "summaries", "writes"]
"""Turns of sessions that no run works in; episodes no fact stands on; facts that were replaced, or no longer hold, so long ago;
summaries; and the answers of writes, which cannot be repeated safely any longer then."""
WHATS: tuple[What, ...] = get_args(What)
LONGEST = 36_500

SET = """
INSERT INTO retention (tenant, what, days) VALUES ($1, $2, $3) ON CONFLICT (tenant, what) DO UPDATE SET days = excluded.days
"""
UNSET = "DELETE FROM retention WHERE tenant = $1 AND what = $2"
POLICY = "SELECT what, days FROM retention WHERE tenant = $1"
# Named by what they find. $2: days.
OVER: dict[What, str] = {
    "turns": """
SELECT FROM turn t WHERE t.tenant = $1 AND t.at < now() - make_interval(days => $2)
   AND NOT EXISTS (SELECT FROM run r WHERE r.tenant = $1 AND r.lineage = t.session AND r.status = 'running')
""",
    "episodes": """
SELECT id FROM episode e WHERE e.tenant = $1 AND e.recorded_at < now() - make_interval(days => $2)
   AND NOT EXISTS (SELECT FROM fact_source s WHERE s.tenant = $1 AND s.episode = e.id)
""",
    "superseded": "SELECT id, num FROM fact WHERE tenant = $1 AND superseded_at < now() - make_interval(days => $2)",
    "expired": "SELECT id, num FROM fact WHERE tenant = $1 AND valid_to < now() - make_interval(days => $2)",
    "summaries": "SELECT session, first, last FROM summary WHERE tenant = $1 AND at < now() - make_interval(days => $2)",
    "writes": "SELECT lineage, step, idx FROM memory_write WHERE tenant = $1 AND at < now() - make_interval(days => $2)",
}
DROP: dict[What, str] = {
    "episodes": "DELETE FROM episode WHERE tenant = $1 AND id IN ({over} LIMIT $3)",
    "summaries": "DELETE FROM summary WHERE tenant = $1 AND (session, first, last) IN ({over} LIMIT $3)",
    "writes": "DELETE FROM memory_write WHERE tenant = $1 AND (lineage, step, idx) IN ({over} LIMIT $3)",
}
DROP_FACTS = "DELETE FROM fact WHERE tenant = $1 AND id = ANY ($2)"
DROP_SOURCES = "DELETE FROM fact_source WHERE tenant = $1 AND fact = ANY ($2)"
# Partitions are vacuumed each by itself: those that nobody wrote to cost nothing.
DEAD = """
SELECT relname AS name, n_live_tup AS live, n_dead_tup AS dead FROM pg_stat_user_tables
 WHERE schemaname = 'perdure' AND n_dead_tup >= $1 AND n_dead_tup > $2 * (n_live_tup + n_dead_tup) ORDER BY n_dead_tup DESC, relname
"""


@dataclass(frozen=True, slots=True)
class Bloated:
    """A table, or a partition of one, with rows that are dead and still take room."""

    name: str
    live: int
    dead: int


async def keep(tx: Tx, what: str, days: int | None) -> None:
    """Set for how many days the tenant keeps something; None: for good. Raises: BadInput."""
    if what not in WHATS:
        raise BadInput(f"there is no policy for {what[:40]!r}; there are {', '.join(WHATS)}")
    if days is None:
        await tx.execute(UNSET, tx.tenant, what)
        return
    if not 1 <= days <= LONGEST:
        raise BadInput(f"{what} cannot be kept for {days} days: 1 to {LONGEST:,} are right")
    await tx.execute(SET, tx.tenant, what, days)


async def policy(tx: Tx) -> dict[What, int]:
    """Return for how many days the tenant keeps what; what is not in it is kept for good."""
    return {row["what"]: row["days"] for row in await tx.fetch(POLICY, tx.tenant)}


async def due(tx: Tx) -> dict[What, int]:
    """Return how many rows are over the policy now, and change nothing."""
    return {
        what: await tx.value(f"SELECT count(*) FROM ({OVER[what]}) AS over", tx.tenant, days)  # noqa: S608
        for what, days in (await policy(tx)).items()
    }


async def expire(tx: Tx, *, most: int = 5_000) -> dict[What, int]:
    """Take away what is over the policy, at most so many rows of each, and return how many; all 0 once nothing is left.

    A caller goes on in another transaction, so that writers never wait for long.
    """
    return {what: await _DROPS.get(what, _rows)(tx, what, days, most) for what, days in (await policy(tx)).items()}


async def bloated(connection: asyncpg.Connection, *, share: float = 0.1, least: int = 1_000) -> list[Bloated]:
    """Return the tables in which more than ``share`` of the rows, and at least so many, are dead, the worst first."""
    return [Bloated(**dict(row)) for row in await connection.fetch(DEAD, least, share)]


async def vacuum(owner_url: str, *, share: float = 0.1, least: int = 1_000, dry_run: bool = False) -> list[Bloated]:
    """Vacuum and analyse the tables that need it, and return them. Only an owner may.

    Autovacuum does the same in time; after much was erased or expired at once, this need not be waited for.
    """
    connection = await asyncpg.connect(owner_url, server_settings=SEARCH_PATH)
    try:
        await connection.execute("SET ROLE perdure_owner")
        found = await bloated(connection, share=share, least=least)
        for table in [] if dry_run else found:
            name = await connection.fetchval("SELECT format('perdure.%I', $1::text)", table.name)
            await connection.execute(f"VACUUM (ANALYZE) {name}")
        return found
    finally:
        await connection.close()


async def _rows(tx: Tx, what: What, days: int, most: int) -> int:
    return await tx.execute(DROP[what].format(over=OVER[what]), tx.tenant, days, most)


async def _turns(tx: Tx, what: What, days: int, most: int) -> int:
    return await tx.value("SELECT expire_turns($1, $2)", days, most)


async def _facts(tx: Tx, what: What, days: int, most: int) -> int:
    rows = await tx.fetch(f"{OVER[what]} LIMIT $3", tx.tenant, days, most)
    ids, nums = [row["id"] for row in rows], [row["num"] for row in rows]
    if not rows:
        return 0
    await postings.remove(tx, nums)
    await vectors.remove(tx, nums)
    await tx.execute(DROP_SOURCES, tx.tenant, ids)
    return await tx.execute(DROP_FACTS, tx.tenant, ids)


_DROPS: dict[What, Callable[[Tx, What, int, int], Awaitable[int]]] = {"turns": _turns, "superseded": _facts, "expired": _facts}
