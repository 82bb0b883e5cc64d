"""How hard the vector arm searches: defaults, and what the recall monitor has raised for one tenant and model."""

from dataclasses import asdict, dataclass, replace
from typing import Any

from database import Tx

MAX_EF_SEARCH = 1000
"""pgvector's own bound. Source: pgvector README, HNSW query options."""
MAX_SCAN_TUPLES = 320_000
CODED = 3
"""Times as many rows as are compared one by one may be told apart by their codes: beyond that the index is quicker."""
COMPARED = 4
"""Vectors that are compared after their codes for each one that a search of the index keeps in view: so one setting raises both."""
READ = "SELECT ef_search, max_scan_tuples, exact_below, exact_only, sampled FROM recall_knob WHERE tenant = $1 AND model = $2"
# Settings only ever rise, so a monitor that worked on an older reading takes nothing back.
RAISE = """
INSERT INTO recall_knob AS held (tenant, model, ef_search, max_scan_tuples, exact_below, exact_only, sampled, because)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
ON CONFLICT (tenant, model) DO UPDATE SET
    ef_search = greatest(held.ef_search, excluded.ef_search),
    max_scan_tuples = greatest(held.max_scan_tuples, excluded.max_scan_tuples),
    exact_below = greatest(held.exact_below, excluded.exact_below),
    exact_only = held.exact_only OR excluded.exact_only,
    sampled = excluded.sampled, because = excluded.because, at = now()
"""


@dataclass(frozen=True, slots=True)
class Knobs:
    """Settings of the vector arm.

    exact_below: rows that match at or under which every one of them is compared. sampled: the share of queries to keep as samples.
    """

    ef_search: int = 100
    max_scan_tuples: int = 20_000
    exact_below: int = 4_000
    exact_only: bool = False
    sampled: float = 0.1

    @property
    def coded_below(self) -> int:
        """Rows that match at or under which codes are compared, and then the vectors of the nearest codes."""
        return CODED * self.exact_below

    @property
    def compared(self) -> int:
        """Vectors that are compared after their codes."""
        return COMPARED * self.ef_search

    def raised(self) -> "Knobs | None":
        """Return the next rung: more of the index, then longer scans, then no index. None where there is no higher one."""
        if self.exact_only:
            return None
        if self.ef_search < MAX_EF_SEARCH:
            return replace(self, ef_search=min(self.ef_search * 2, MAX_EF_SEARCH))
        if self.max_scan_tuples < MAX_SCAN_TUPLES:
            return replace(self, max_scan_tuples=min(self.max_scan_tuples * 4, MAX_SCAN_TUPLES))
        return replace(self, exact_only=True)

    def told(self) -> dict[str, Any]:
        """Return the settings as JSON keeps them."""
        return asdict(self)


async def knobs(tx: Tx, model: int) -> Knobs:
    """Return how the vectors of a model are searched for this tenant."""
    row = await tx.row(READ, tx.tenant, model)
    return Knobs(**dict(row)) if row else Knobs()


async def raise_to(tx: Tx, model: int, higher: Knobs, because: str) -> None:
    """Keep higher settings. None falls by this, where a higher one stands already; the share of samples is taken as given."""
    settings = (higher.ef_search, higher.max_scan_tuples, higher.exact_below, higher.exact_only, higher.sampled)
    await tx.execute(RAISE, tx.tenant, model, *settings, because)
