"""Numbers about people: how long they take from request to first look to decision, and who reads what they approve."""

from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Literal

from database import Tx

# A word counts from the request, and from when that person saw it: who never looked there has no second time.
TIMES = """
SELECT {by} AS name, count(*) AS count,
       percentile_cont(ARRAY[0.5, 0.95]) WITHIN GROUP (ORDER BY extract(epoch FROM v.at - a.created_at)::float8) AS decided,
       percentile_cont(ARRAY[0.5, 0.95]) WITHIN GROUP (ORDER BY extract(epoch FROM f.at - a.created_at)::float8) AS looked,
       percentile_cont(ARRAY[0.5, 0.95]) WITHIN GROUP (ORDER BY extract(epoch FROM v.at - l.at)::float8) AS considered
  FROM vote v
  JOIN approval a ON a.tenant = v.tenant AND a.id = v.request
  JOIN run ON run.tenant = a.tenant AND run.lineage = a.lineage
  LEFT JOIN look l ON l.tenant = v.tenant AND l.request = v.request AND l.person = v.person AND l.at <= v.at
  LEFT JOIN LATERAL (SELECT min(o.at) AS at FROM look o WHERE o.tenant = v.tenant AND o.request = v.request) f ON true
 WHERE v.tenant = $1 AND v.at > now() - $2::interval
 GROUP BY 1 ORDER BY 2 DESC, 1
"""
BY = {"channel": "v.channel", "role": "coalesce(nullif(v.role, ''), 'unnamed')", "automation": "run.automation", "person": "v.person"}
REVIEWERS = """
SELECT v.person, run.automation, count(*) AS count, count(*) FILTER (WHERE v.verdict = 'approve') AS approved,
       percentile_cont(0.5) WITHIN GROUP (ORDER BY extract(epoch FROM v.at - l.at)::float8) AS median
  FROM (SELECT *, row_number() OVER (PARTITION BY person ORDER BY at DESC) AS nth FROM vote WHERE tenant = $1) v
  JOIN approval a ON a.tenant = v.tenant AND a.id = v.request
  JOIN run ON run.tenant = a.tenant AND run.lineage = a.lineage
  LEFT JOIN look l ON l.tenant = v.tenant AND l.request = v.request AND l.person = v.person AND l.at <= v.at
 WHERE v.nth <= $2
 GROUP BY 1, 2 ORDER BY 1, 2
"""
LAST = 50
"""How many of a reviewer's last words are looked at."""
HASTY_SECONDS, ALWAYS = 3.0, 0.95
FEWEST_HASTY = 5
"""Words of which a median says something."""
By = Literal["channel", "role", "automation", "person"]


@dataclass(frozen=True, slots=True)
class Times:
    """Seconds, each as median and 95th percentile; None where nobody's look is known.

    decided: from request to word. looked: from request to the first look. considered: from a person's look to their word.
    """

    name: str
    count: int
    decided: tuple[float, float] | None
    looked: tuple[float, float] | None
    considered: tuple[float, float] | None


@dataclass(frozen=True, slots=True)
class Reviewer:
    """One person whose approvals may not mean much. median: seconds from look to word, None where no look is known."""

    person: str
    automations: tuple[str, ...]
    count: int
    approved: int
    median: float | None
    why: tuple[str, ...]


async def times(tx: Tx, by: By, within: timedelta = timedelta(days=30)) -> list[Times]:
    """Return how long people took, by channel, role, automation or person, the most words first."""
    rows = await tx.fetch(TIMES.format(by=BY[by]), tx.tenant, within)
    return [Times(row["name"], row["count"], _pair(row["decided"]), _pair(row["looked"]), _pair(row["considered"])) for row in rows]


async def doubtful(tx: Tx) -> list[Reviewer]:
    """Return who decides in under 3 s (median), or approved more than 95 % of their last 50: the policy's owner should know."""
    people: dict[str, list[Any]] = {}
    for row in await tx.fetch(REVIEWERS, tx.tenant, LAST):
        people.setdefault(row["person"], []).append(row)
    found = (_reviewer(name, rows) for name, rows in people.items())
    return [reviewer for reviewer in found if reviewer.why]


def _reviewer(name: str, rows: list[Any]) -> Reviewer:
    count, approved = sum(row["count"] for row in rows), sum(row["approved"] for row in rows)
    known = [row["median"] for row in rows if row["median"] is not None]
    median = min(known, default=None)
    why: list[str] = []
    if median is not None and median < HASTY_SECONDS and count >= FEWEST_HASTY:
        why.append(f"decides within {median:.1f} s of looking (median)")
    if count >= LAST and approved > ALWAYS * count:
        why.append(f"approved {approved} of the last {count}")
    return Reviewer(name, tuple(row["automation"] for row in rows), count, approved, median, tuple(why))


def _pair(values: Any) -> tuple[float, float] | None:
    return (values[0], values[1]) if values and values[0] is not None else None
