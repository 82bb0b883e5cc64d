"""The session: what was said to and by the model, append-only, by ``seq``."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from database import Tx, kept

LATEST = """
SELECT seq, role, origin, body FROM turn
 WHERE tenant = $1 AND session = $2 AND seq <= $3 ORDER BY seq DESC LIMIT $4
"""
APPEND = """
INSERT INTO turn (tenant, session, seq, role, origin, body)
SELECT $1, $2, $3 + position, role, origin, body
  FROM unnest($4::text[], $5::text[], $6::text[]) WITH ORDINALITY AS given (role, origin, body, position)
ON CONFLICT (tenant, session, seq) DO NOTHING
"""
COPY = """
INSERT INTO turn (tenant, session, seq, role, origin, body, at)
SELECT tenant, $3, seq, role, origin, body, at FROM turn WHERE tenant = $1 AND session = $2 AND seq <= $4
ON CONFLICT (tenant, session, seq) DO NOTHING
"""


@dataclass(frozen=True, slots=True)
class Turn:
    """One thing said. ``origin`` is who said it: user, agent, tool or system."""

    role: Literal["system", "user", "assistant", "tool"]
    origin: str
    body: str


async def latest(tx: Tx, session: str, upto: int, *, limit: int) -> list[Turn]:
    """Return the last ``limit`` turns up to and with ``upto``, oldest first."""
    if upto == 0 or limit == 0:
        return []
    rows = await tx.fetch(LATEST, tx.tenant, session, upto, limit)
    return [Turn(row["role"], row["origin"], row["body"]) for row in reversed(rows)]


async def copy(tx: Tx, session: str, into: str, upto: int) -> None:
    """Begin another session with the turns of this one up to and with ``upto``; a repeated copy changes nothing."""
    await tx.execute(COPY, tx.tenant, session, into, upto)


async def append(tx: Tx, session: str, after: int, turns: Sequence[Turn]) -> int:
    """Append turns behind ``after`` and return the seq of the last one.

    The caller holds the decision's fence, so nobody else appends to this session; a repeated append changes nothing.
    """
    roles, origins, bodies = ([kept(getattr(turn, name)) for turn in turns] for name in ("role", "origin", "body"))
    await tx.execute(APPEND, tx.tenant, session, after, roles, origins, bodies)
    return after + len(turns)
