"""Planner settings for a part of a transaction.

A prepared statement may move to a generic plan that was made for another tenant's row counts, and a setting changed later does not
reach it; so every query of a search is planned anew, with its values in sight. What has one good plan is told to run as it is written:
the statistics of a partition that was just filled are wrong, and those that were made before a tenant came say that it has no row.

What is looked up one by one is therefore asked for between its key and its key, in the order of that key, in a subquery of its own:
only one index has that order, and without sorts no other is taken, whatever statistics say. An equality would leave the choice, and the
wrong one reads all that a tenant has for each row.
"""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress

import asyncpg

from database import Tx
from memory.knobs import Knobs

# A compiled plan, or one with several workers, pays for rows by the million.
ANEW = "SET LOCAL plan_cache_mode = force_custom_plan; SET LOCAL jit = off; SET LOCAL max_parallel_workers_per_gather = 0;"
AS_WRITTEN = f"""{ANEW} SET LOCAL join_collapse_limit = 1; SET LOCAL from_collapse_limit = 1; SET LOCAL enable_hashjoin = off;
SET LOCAL enable_mergejoin = off; SET LOCAL enable_bitmapscan = off; SET LOCAL enable_seqscan = off; SET LOCAL enable_sort = off"""
BY_INDEX = f"""{AS_WRITTEN}; SET LOCAL hnsw.iterative_scan = relaxed_order; SET LOCAL hnsw.ef_search = %d;
SET LOCAL hnsw.max_scan_tuples = %d; SET LOCAL hnsw.scan_mem_multiplier = 4"""
LOOK = "SELECT analyze_memory()"
BACK = "ROLLBACK TO SAVEPOINT aside; RELEASE SAVEPOINT aside"


def by_index(knobs: Knobs) -> str:
    """Return the settings under which vectors are asked of the HNSW index."""
    return BY_INDEX % (knobs.ef_search, knobs.max_scan_tuples)


async def look(tx: Tx) -> None:
    """Have the statistics of the tenant's partitions made anew, as when many of its rows came in at once."""
    await tx.execute(LOOK)


@asynccontextmanager
async def aside(tx: Tx, settings: str) -> AsyncGenerator[None]:
    """Read under settings that end with the block. Nothing that is written inside stays; an error leaves the transaction whole."""
    await tx.execute(f"SAVEPOINT aside; {settings}")
    try:
        yield
    except BaseException:
        # A connection that died must not hide the error that matters.
        with suppress(asyncpg.InterfaceError, asyncpg.PostgresError, OSError):
            await tx.execute(BACK)
        raise
    await tx.execute(BACK)
