"""Circuit breakers: what has failed too often is not called for a while, by no worker, until one probe says that it is well again."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Literal

from pydantic import TypeAdapter

from database import Tx

Kind = Literal["tool", "model"]
EMBEDDINGS = "embeddings"
"""Stands in the place of an automation for a model that makes vectors: what it says in words may be well."""

# How a breaker stands by the database's clock, for the queries that are made anyway: a healthy call reads it on the way.
STANDING = """
jsonb_build_object(
    'kind', b.kind, 'automation', b.automation, 'name', b.name, 'state', b.state, 'failures', b.failures, 'openings', b.openings,
    'opened_until', b.opened_until, 'detail', b.detail,
    'wait', CASE b.state WHEN 'open' THEN greatest(0, extract(epoch FROM b.opened_until - now()))
                         WHEN 'half_open' THEN greatest(0, extract(epoch FROM b.probe_until - now())) ELSE 0 END
)
"""
# One more failure. It opens a closed breaker that has too many, and a half-open one whose probe it is; each opening in a row
# lasts twice as long as the one before it, up to a bound. What fails late, after others have opened it, is counted only.
FAIL = f"""
INSERT INTO breaker AS b (tenant, kind, automation, name, state, failures, openings, opened_until, detail)
VALUES ($1, $2, $3, $4, CASE WHEN $5 = 1 THEN 'open' ELSE 'closed' END, 1, ($5 = 1)::int,
        CASE WHEN $5 = 1 THEN now() + $7::interval END, $10)
ON CONFLICT (tenant, kind, automation, name) DO UPDATE
   SET (failures, since, state, openings, opened_until, probe, probe_until, detail) = (
       SELECT count, CASE WHEN count = 1 THEN now() ELSE b.since END,
              CASE WHEN opens THEN 'open' ELSE b.state END,
              b.openings + opens::int,
              CASE WHEN opens THEN now() + least($7::interval * power(2, least(b.openings, 20)), $8::interval) ELSE b.opened_until END,
              CASE WHEN NOT opens THEN b.probe END, CASE WHEN NOT opens THEN b.probe_until END, $10::text
         FROM (SELECT CASE WHEN b.state = 'closed' AND b.since + $6::interval < now() THEN 1 ELSE b.failures + 1 END AS count) AS counted,
              LATERAL (SELECT (b.state = 'closed' AND count >= $5) OR (b.state = 'half_open' AND b.probe = $9::text) AS opens) AS judged
   )
RETURNING {STANDING}
"""  # noqa: S608
# Only one may try what was closed to all: who gets the lease, and nobody else until it ends.
PROBE = """
UPDATE breaker SET state = 'half_open', probe = $5, probe_until = now() + $6
 WHERE tenant = $1 AND kind = $2 AND automation = $3 AND name = $4
   AND ((state = 'open' AND opened_until <= now()) OR (state = 'half_open' AND probe_until <= now()))
"""
# A success forgets what failed before it. Of a breaker that is not closed only the probe's own counts.
CLOSE = """
UPDATE breaker SET state = 'closed', failures = 0, openings = 0, opened_until = NULL, probe = NULL, probe_until = NULL
 WHERE tenant = $1 AND kind = $2 AND automation = $3 AND name = $4 AND (state = 'closed' OR (state = 'half_open' AND probe = $5))
"""
# A probe that came to no end proves nothing: the next may begin at once.
GIVE_BACK = """
UPDATE breaker SET probe_until = now()
 WHERE tenant = $1 AND kind = $2 AND automation = $3 AND name = $4 AND state = 'half_open' AND probe = $5
"""
READ = f"SELECT {STANDING} FROM breaker b WHERE tenant = $1 AND kind = $2 AND automation = $3 AND name = $4"  # noqa: S608
OF_TENANT = f"SELECT {STANDING} FROM breaker b WHERE tenant = $1 ORDER BY kind, automation, name"  # noqa: S608


@dataclass(frozen=True, slots=True)
class Breaker:
    """How one breaker stands. ``wait`` is how many seconds no call may begin, ``detail`` what failed last."""

    kind: Kind
    automation: str
    """Whose tool it is; empty for a model, which all automations of a tenant share, or `EMBEDDINGS`."""
    name: str
    state: Literal["closed", "open", "half_open"] = "closed"
    failures: int = 0
    openings: int = 0
    opened_until: datetime | None = None
    detail: str = ""
    wait: float = 0.0

    @property
    def key(self) -> tuple[str, str, str]:
        """Arguments 2 to 4 of every statement here."""
        return self.kind, self.automation, self.name


@dataclass(frozen=True, slots=True)
class Threshold:
    """When a breaker opens: at so many failures ``within`` a time, none succeeding between them. ``open`` and ``longest``: for how long."""

    failures: int
    within: timedelta
    open: timedelta
    longest: timedelta


BREAKER = TypeAdapter(Breaker)
BREAKERS = TypeAdapter(list[Breaker])


def standing(found: Any) -> Breaker | None:
    """Map one `STANDING`, None for one that never failed."""
    return BREAKER.validate_python(found) if found else None


def standings(found: Iterable[Any]) -> list[Breaker]:
    """Map several."""
    return BREAKERS.validate_python(list(found))


async def fail(tx: Tx, breaker: Breaker, threshold: Threshold, detail: str, *, probe: str | None = None) -> Breaker:
    """Count one failure and return how the breaker stands now. probe: the lease under which the call was made, if it was one."""
    found = await tx.value(
        FAIL, tx.tenant, *breaker.key, threshold.failures, threshold.within, threshold.open, threshold.longest, probe, detail[:300]
    )
    return BREAKER.validate_python(found)


async def probe(tx: Tx, breaker: Breaker, lease: str, seconds: float) -> bool:
    """Take the lease of the one call that may try; False where another holds it, or it is too early."""
    return await tx.execute(PROBE, tx.tenant, *breaker.key, lease, timedelta(seconds=seconds)) > 0


async def close(tx: Tx, breaker: Breaker, *, probe: str | None = None) -> None:
    """Note the first success after a failure."""
    await tx.execute(CLOSE, tx.tenant, *breaker.key, probe)


async def give_back(tx: Tx, breaker: Breaker, lease: str) -> None:
    """Let another probe begin: this one came to no end."""
    await tx.execute(GIVE_BACK, tx.tenant, *breaker.key, lease)


async def read(tx: Tx, kind: Kind, automation: str, name: str) -> Breaker:
    """Return how one breaker stands; closed where it never counted a failure."""
    return standing(await tx.value(READ, tx.tenant, kind, automation, name)) or Breaker(kind, automation, name)


async def embeddings(tx: Tx) -> list[Breaker]:
    """Return those of models that make vectors which are not asked just now."""
    return [one for one in await of_tenant(tx) if (one.kind, one.automation) == ("model", EMBEDDINGS) and one.wait > 0]


async def of_tenant(tx: Tx) -> list[Breaker]:
    """Return every breaker that ever counted a failure."""
    return standings([row[0] for row in await tx.fetch(OF_TENANT, tx.tenant)])


def told(breaker: Breaker) -> str:
    """Say why something is not called."""
    name = f"the model {breaker.name}" if breaker.kind == "model" else breaker.name
    because = f"because of {breaker.failures} failure{'s' if breaker.failures != 1 else ''}: {breaker.detail}"
    if breaker.state == "half_open":
        return f"the breaker of {name} lets one call through and the others wait for its end, {because}"
    return f"the breaker of {name} is open until {breaker.opened_until:%H:%M:%S} UTC, {because}"
