"""What models are saying in decisions that are not recorded yet: for eyes only, and gone with the decision's record."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Self

from database import Tx
from ledger.decisions import Hold

State = Literal["saying", "done", "superseded"]
Key = tuple[str, str, int, int]
"""Lineage, step, fence and place in the journal: one call of one attempt."""
LONGEST = 65_536
"""Characters that are kept of one answer: its end."""
NEWEST = 20  # calls of one run that are shown

# An attempt that lost its hold, or whose decision is recorded, has nothing more to say.
WRITE = """
INSERT INTO said_so_far (tenant, lineage, step, fence, idx, state, said, text)
SELECT $1, $2, $3, $4, $5, $6, $7, $8 FROM decision
 WHERE tenant = $1 AND lineage = $2 AND step = $3 AND fence = $4 AND result IS NULL
ON CONFLICT (tenant, lineage, step, fence, idx)
DO UPDATE SET state = excluded.state, said = excluded.said, text = excluded.text, at = excluded.at
"""
# What a later attempt says anew is superseded, and so is what an earlier one never said to its end. Of a text only what is new.
SHOWN = f"""
SELECT s.*, CASE WHEN k.said IS NULL THEN body WHEN s.said > k.said THEN right(body, (s.said - k.said)::int) ELSE '' END AS text
  FROM unnest($2::text[]) AS watched (lineage)
 CROSS JOIN LATERAL (
       SELECT s.lineage, s.step, s.fence, s.idx, s.said, s.text AS body,
              CASE WHEN s.fence < max(s.fence) OVER (PARTITION BY s.step, s.idx) OR s.state = 'saying' AND s.fence < d.fence
                   THEN 'superseded' ELSE s.state END AS state
         FROM said_so_far s JOIN decision d ON d.tenant = s.tenant AND d.lineage = s.lineage AND d.step = s.step
        WHERE s.tenant = $1 AND s.lineage = watched.lineage AND d.result IS NULL ORDER BY s.at DESC LIMIT {NEWEST}) s
  LEFT JOIN unnest($3::text[], $4::text[], $5::int[], $6::int[], $7::bigint[]) AS k (lineage, step, fence, idx, said)
         ON k.lineage = s.lineage AND k.step = s.step AND k.fence = s.fence AND k.idx = s.idx
 ORDER BY s.lineage, s.step, s.idx, s.fence
"""  # noqa: S608
CLEAR = "DELETE FROM said_so_far WHERE tenant = $1 AND lineage = $2 AND step = $3"
# Of decisions that were recorded, or never will be: their worker died before it could clear up.
SWEEP = """
DELETE FROM said_so_far s
 WHERE s.tenant = $1
   AND (s.at < clock_timestamp() - interval '1 hour'
        OR NOT EXISTS (SELECT FROM decision d JOIN run r ON r.tenant = d.tenant AND r.lineage = d.lineage
                        WHERE d.tenant = $1 AND d.lineage = s.lineage AND d.step = s.step AND d.result IS NULL AND r.status = 'running'))
"""


@dataclass(frozen=True, slots=True)
class Saying:
    """What one call has said. said: characters in all; text: the end of it, or where it is not ``anew`` only what was added."""

    lineage: str
    step: str
    fence: int
    idx: int
    state: State
    said: int
    text: str
    anew: bool = True

    @classmethod
    def from_row(cls, row: Any) -> Self:
        """Map one row."""
        return cls(row["lineage"], row["step"], row["fence"], row["idx"], row["state"], row["said"], row["text"])

    @property
    def key(self) -> Key:
        """Which call it is."""
        return self.lineage, self.step, self.fence, self.idx


async def write(tx: Tx, hold: Hold, idx: int, state: State, said: int, text: str) -> None:
    """Write down what a call has said so far; nothing where the decision is recorded or another attempt holds it."""
    await tx.execute(WRITE, tx.tenant, *hold.key, idx, state, said, text[-LONGEST:])


async def clear(tx: Tx, lineage: str, step: str) -> None:
    """Forget what was said in a decision, by every attempt."""
    await tx.execute(CLEAR, tx.tenant, lineage, step)


async def shown(tx: Tx, lineages: Sequence[str], known: Mapping[Key, int] | None = None) -> list[Saying]:
    """Return what is being said in these runs, the newest calls of each in the order of the asking.

    known: characters that were read of a call; its text is then only what came since.
    """
    given = [(*key, said) for key, said in (known or {}).items()]
    columns = [list(column) for column in zip(*given, strict=True)] or [[], [], [], [], []]
    return [Saying.from_row(row) for row in await tx.fetch(SHOWN, tx.tenant, list(lineages), *columns)]


async def sweep(tx: Tx) -> int:
    """Forget what is of no use to anybody any more, and return how many calls that was."""
    return await tx.execute(SWEEP, tx.tenant)
