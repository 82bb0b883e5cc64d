"""Effects: one row for each execution of a writing tool. Claimed before the call, recorded after it."""

from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any, Self

from database import Tx
from ledger.runs import scope

READ = "SELECT * FROM effect WHERE tenant = $1 AND key = $2"
# A claim is taken anew only after the deadline of the one before it: the executor starts nothing later than that. The deadline is
# reckoned by the database's clock alone, and an attempt reckons its own time from before it claimed: no two clocks are compared.
CLAIM = """
INSERT INTO effect (tenant, key, lineage, step, n, tool, tool_version, guarantee, digest, arguments, state, deadline, undoes, undo_with)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, 'claimed', clock_timestamp() + make_interval(secs => $11), $12, $13)
ON CONFLICT (tenant, key) DO UPDATE
   SET deadline = excluded.deadline, attempts = effect.attempts + 1, state = 'claimed', tool_version = excluded.tool_version,
       ended_at = NULL
 WHERE effect.digest = excluded.digest AND effect.state IN ('claimed', 'unknown') AND effect.deadline <= clock_timestamp()
RETURNING attempts
"""
# Only the attempt that holds the claim may record: a later one has another number.
RECORD = """
UPDATE effect SET state = $4, output = $5, detail = $6, ended_at = now()
 WHERE tenant = $1 AND key = $2 AND attempts = $3 AND state = 'claimed'
"""
RELEASE = """
UPDATE effect SET state = $5, deadline = now(), ended_at = now(), detail = $4
 WHERE tenant = $1 AND key = $2 AND attempts = $3 AND state = 'claimed'
"""
# The end of a step's effect, the step's own and the record, in one round trip and only for who holds the claim.
FINISH = """
WITH held AS (
    UPDATE effect SET state = $4, output = $5, detail = $6, ended_at = now()
     WHERE tenant = $1 AND key = $2 AND attempts = $3 AND state = 'claimed'
    RETURNING lineage, step
), ended AS (
    UPDATE plan_step SET status = $4, output = $5, detail = $6, ended_at = now() FROM held
     WHERE plan_step.tenant = $1 AND plan_step.lineage = held.lineage AND plan_step.step = held.step AND plan_step.ended_at IS NULL
), noted AS (
    INSERT INTO record (tenant, id, kind, lineage, step, body)
    SELECT $1, concat_ws('/', $2, $4), 'effect', lineage, step, $7 FROM held
    ON CONFLICT (tenant, id) DO NOTHING
)
SELECT count(*) FROM held
"""
# Of the attempt that was looked at, and of no later one.
RESOLVE = """
UPDATE effect SET state = $3, output = $4, detail = $5, ended_at = now()
 WHERE tenant = $1 AND key = $2 AND state IN ('claimed', 'unknown') AND ($6::integer IS NULL OR attempts = $6)
"""
WAIT = "SELECT extract(epoch FROM deadline - clock_timestamp())::float8 FROM effect WHERE tenant = $1 AND key = $2"
COMPENSATED = "UPDATE effect SET state = 'compensated', ended_at = now() WHERE tenant = $1 AND key = $2 AND state = 'done'"
OF_RUN = "SELECT * FROM effect WHERE tenant = $1 AND lineage = $2 ORDER BY claimed_at, key"
# What undo looks at: what was done, and what may have been. `since` bounds it to what was claimed with that step or after it.
UNDOABLE = """
SELECT * FROM effect
 WHERE tenant = $1 AND lineage = $2 AND undoes IS NULL AND state IN ('done', 'claimed', 'unknown')
   AND ($3::text IS NULL
        OR claimed_at >= coalesce(
            (SELECT min(claimed_at) FROM effect WHERE tenant = $1 AND lineage = $2 AND step = $3 AND undoes IS NULL),
            -- A step without an effect of its own stands for those that were planned after it.
            (SELECT min(later.claimed_at) FROM effect later JOIN plan_step USING (tenant, lineage, step)
              WHERE tenant = $1 AND lineage = $2 AND later.undoes IS NULL AND position >= (
                SELECT position FROM plan_step WHERE tenant = $1 AND lineage = $2 AND step = $3))))
 ORDER BY coalesce(ended_at, claimed_at) DESC, key
"""
UNDOES = "SELECT * FROM effect WHERE tenant = $1 AND undoes = $2 ORDER BY claimed_at, key"
# What may have been done counts like what was; a claim that was given back surely did nothing.
SAME = """
SELECT key, state FROM effect
 WHERE tenant = $1 AND lineage = $2 AND tool = $3 AND digest = $4 AND key <> $5 AND undoes IS NULL
   AND (state IN ('done', 'unknown') OR state = 'claimed' AND ended_at IS NULL)
 ORDER BY state = 'done' DESC LIMIT 1
"""
COUNTS = "SELECT state, count(*) AS count FROM effect WHERE tenant = $1 GROUP BY state"
SPEND = """
UPDATE budget SET spent = spent + $3 WHERE tenant = $1 AND scope = $2 AND ($4 OR spent + reserved + $3 <= limit_micros)
RETURNING limit_micros - spent - reserved
"""


@dataclass(frozen=True, slots=True)
class Effect:
    """One effect. ``deadline`` is when the newest attempt must have ended, UTC."""

    key: str
    lineage: str
    step: str
    n: int
    tool: str
    tool_version: str
    guarantee: str
    digest: str
    arguments: dict[str, Any]
    state: str
    deadline: datetime
    attempts: int
    output: dict[str, Any] | None
    detail: str
    undoes: str | None
    undo_with: str | None
    claimed_at: datetime
    ended_at: datetime | None

    @classmethod
    def from_row(cls, row: Any) -> Self:
        """Map one row."""
        return cls(**{name: row[name] for name in cls.__slots__})

    @property
    def released(self) -> bool:
        """Whether its last attempt surely did nothing."""
        return self.state == "claimed" and self.ended_at is not None


@dataclass(frozen=True, slots=True)
class Claim:
    """What an attempt is about to do. ``digest`` is of the arguments as they will run.

    until: when its call must have ended, UTC, by this worker's clock; nobody else may begin before. attempt: 0 until it is claimed.
    """

    key: str
    lineage: str
    step: str
    n: int
    tool: str
    tool_version: str
    guarantee: str
    digest: str
    arguments: dict[str, Any]
    until: datetime
    undoes: str | None = None
    undo_with: str | None = None
    """The tool that would take it back: named before the call, so that a crash in its middle leaves the way back."""
    attempt: int = 0


def key(lineage: str, step: str, n: int) -> str:
    """Return an effect's key: the same over retries, resets and continue-as-new, another for every other action."""
    return f"{lineage}/{step}/{n}"


async def read(tx: Tx, key: str) -> Effect | None:
    """Return one effect."""
    row = await tx.row(READ, tx.tenant, key)
    return Effect.from_row(row) if row else None


async def claim(tx: Tx, claim: Claim) -> Claim | None:
    """Claim an effect and return the claim as it is held, with the number of this attempt (1 for the first).

    None: the row is done, holds other arguments, or another attempt may still be at work until its deadline.
    """
    seconds = max(0.0, (claim.until - datetime.now(UTC)).total_seconds())
    attempt = await tx.value(
        CLAIM, tx.tenant, claim.key, claim.lineage, claim.step, claim.n, claim.tool, claim.tool_version,
        claim.guarantee, claim.digest, claim.arguments, seconds, claim.undoes,
        claim.undo_with,
    )  # fmt: skip
    return replace(claim, attempt=attempt) if attempt else None


async def record(tx: Tx, claim: Claim, state: str, *, output: dict[str, Any] | None = None, detail: str = "") -> bool:
    """Record how the call ended; False where a later attempt holds the claim, which changes nothing."""
    return await tx.execute(RECORD, tx.tenant, claim.key, claim.attempt, state, output, detail[:500]) > 0


async def finish(tx: Tx, claim: Claim, state: str, body: dict[str, Any], *, output: dict[str, Any] | None = None, detail: str = "") -> bool:
    """Record how a step's call ended (`done` or `failed`) on the effect, the step and the ledger; False as for `record`."""
    return await tx.value(FINISH, tx.tenant, claim.key, claim.attempt, state, output, detail[:500], body) > 0


async def release(tx: Tx, claim: Claim, detail: str, *, doubt: bool = False) -> None:
    """Let the next attempt start at once: this one surely did nothing. doubt: an attempt before it may have acted."""
    await tx.execute(RELEASE, tx.tenant, claim.key, claim.attempt, detail[:500], "unknown" if doubt else "claimed")


async def wait(tx: Tx, key: str) -> float:
    """Return the seconds for which an attempt may still be at work; 0 or less where its time is over."""
    return await tx.value(WAIT, tx.tenant, key) or 0.0


async def resolve(
    tx: Tx, key: str, state: str, *, output: dict[str, Any] | None = None, detail: str = "", attempt: int | None = None
) -> bool:
    """Settle an effect whose end nobody saw, by what a look-up or a person found; False where there is none to settle.

    attempt: of which this was found; a later one, which may be at work, is left alone.
    """
    return await tx.execute(RESOLVE, tx.tenant, key, state, output, detail[:500], attempt) > 0


async def compensated(tx: Tx, key: str) -> None:
    """Note that an effect was undone."""
    await tx.execute(COMPENSATED, tx.tenant, key)


async def of_run(tx: Tx, lineage: str) -> list[Effect]:
    """Return a run's effects, oldest first."""
    return [Effect.from_row(row) for row in await tx.fetch(OF_RUN, tx.tenant, lineage)]


async def undoable(tx: Tx, lineage: str, since: str | None = None) -> list[Effect]:
    """Return the effects that undo would look at, newest first: done ones, and those whose end nobody saw.

    since: a step; what was claimed before it is left out.
    """
    return [Effect.from_row(row) for row in await tx.fetch(UNDOABLE, tx.tenant, lineage, since)]


async def undoes(tx: Tx, key: str) -> list[Effect]:
    """Return the compensations of an effect, oldest first."""
    return [Effect.from_row(row) for row in await tx.fetch(UNDOES, tx.tenant, key)]


async def same(tx: Tx, lineage: str, tool: str, digest: str, but: str) -> tuple[str, bool] | None:
    """Return the key of another effect of this run with the same tool and arguments, and whether it surely was done."""
    row = await tx.row(SAME, tx.tenant, lineage, tool, digest, but)
    return (row["key"], row["state"] == "done") if row else None


async def counts(tx: Tx) -> dict[str, int]:
    """Return how many effects are in each state."""
    return {row["state"]: row["count"] for row in await tx.fetch(COUNTS, tx.tenant)}


async def spend(tx: Tx, lineage: str, micros: int, *, anyway: bool = False) -> int | None:
    """Book a tool's price and return what is left, or None where the budget cannot hold it. anyway: it is spent already."""
    return await tx.value(SPEND, tx.tenant, scope(lineage), micros, anyway)
