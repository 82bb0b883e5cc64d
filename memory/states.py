"""The state of a session: one small document, changed by compare-and-set."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from contracts.errors import BadInput
from database import Tx
from memory import writes
from memory.writes import WriteKey

MOST_BYTES = 65_536
"""What a state may have at most, as JSON: it is read with every decision."""

READ = "SELECT version, value FROM session_state WHERE tenant = $1 AND session = $2"
BEGIN = """
INSERT INTO session_state (tenant, session, version, value) VALUES ($1, $2, 1, $3)
ON CONFLICT (tenant, session) DO NOTHING
"""
SWAP = """
UPDATE session_state SET version = version + 1, value = $4, at = now() WHERE tenant = $1 AND session = $2 AND version = $3
"""
COPY = """
INSERT INTO session_state (tenant, session, version, value)
SELECT tenant, $3, 1, value FROM session_state WHERE tenant = $1 AND session = $2
ON CONFLICT (tenant, session) DO NOTHING
"""


@dataclass(frozen=True, slots=True)
class State:
    """A session's state; version 0 is that of a session which has none yet."""

    version: int
    value: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Swap:
    """How a compare-and-set ended. state: what stands now, whoever won; the loser makes its change anew on top of it."""

    won: bool
    state: State


async def read(tx: Tx, session: str) -> State:
    """Return a session's state."""
    row = await tx.row(READ, tx.tenant, session)
    return State(row["version"], row["value"]) if row else State(0, {})


async def swap(tx: Tx, key: WriteKey, session: str, expected: int, value: Mapping[str, Any]) -> Swap:
    """Put ``value`` in the place of version ``expected`` (0: there is none yet), where that is still what stands.

    A repetition with the same key is told what its first time was told, though others have written since.
    Raises: BadInput for a value that is too large or is not JSON, or a key that was used for another write.
    """
    document = _checked(value)
    first = await writes.begin(tx, key, writes.digest("state", session, expected, document))
    if first is not None:
        return Swap(first["won"], await read(tx, session))
    if expected:
        won = await tx.execute(SWAP, tx.tenant, session, expected, document) > 0
    else:
        won = await tx.execute(BEGIN, tx.tenant, session, document) > 0
    await writes.settle(tx, key, {"won": won})
    return Swap(won, await read(tx, session))


async def copy(tx: Tx, session: str, into: str) -> None:
    """Begin another session with this one's state; a repeated copy changes nothing."""
    await tx.execute(COPY, tx.tenant, session, into)


def _checked(value: Mapping[str, Any]) -> dict[str, Any]:
    try:
        size = len(json.dumps(value, allow_nan=False).encode())
    except (TypeError, ValueError, RecursionError) as error:
        raise BadInput(f"the state is not JSON: {error}") from None
    if size > MOST_BYTES:
        raise BadInput(f"the state has {size:,} bytes; {MOST_BYTES:,} is the most: keep what is long as facts or documents")
    return dict(value)
