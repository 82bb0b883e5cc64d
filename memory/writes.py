"""A write's key and its first answer: whoever repeats a write is told what the first one was told."""

import hashlib
import json
import uuid
from dataclasses import asdict, dataclass, is_dataclass
from typing import Any

from contracts.errors import BadInput
from database import Tx

CLAIM = """
INSERT INTO memory_write (tenant, lineage, step, idx, digest, result) VALUES ($1, $2, $3, $4, $5, 'null')
ON CONFLICT (tenant, lineage, step, idx) DO NOTHING
"""
FIRST = "SELECT digest, result FROM memory_write WHERE tenant = $1 AND lineage = $2 AND step = $3 AND idx = $4"
SETTLE = "UPDATE memory_write SET result = $5 WHERE tenant = $1 AND lineage = $2 AND step = $3 AND idx = $4"
IDS = uuid.UUID("6b1f3a52-6c0e-4d0f-9a55-2c5d3f7f4e11")
"""The name space of the ids that are made here; another one would make other ids of the same keys."""


def _plain(value: Any) -> Any:
    return asdict(value) if is_dataclass(value) and not isinstance(value, type) else str(value)


ENCODER = json.JSONEncoder(default=_plain, separators=(",", ":"))


@dataclass(frozen=True, slots=True)
class WriteKey:
    """Which write of which step: the same over retries, resets and continue-as-new, so never the attempt or the run id."""

    lineage: str
    step: str
    index: int = 0

    def id(self, tenant: str, part: str) -> str:
        """Return the id of what this write makes under the name ``part``; the same at each repetition."""
        return str(uuid.uuid5(IDS, json.dumps([tenant, self.lineage, self.step, self.index, part])))

    def reused(self) -> BadInput:
        """Return the error of a key that came before, with another content."""
        return BadInput(f"write {self.lineage}/{self.step}/{self.index} was made before with another content: each has a key of its own")


def digest(*parts: Any) -> bytes:
    """Return 32 bytes that name what is written."""
    return hashlib.sha256(ENCODER.encode(parts).encode()).digest()


async def begin(tx: Tx, key: WriteKey, content: bytes) -> Any:
    """Claim a write, or return what its first time answered; None means: write, then `settle` in this transaction.

    A concurrent writer of the same key waits here until the first has committed, then reads its answer.
    Raises: BadInput where the key has been used for another content.
    """
    if await tx.execute(CLAIM, tx.tenant, key.lineage, key.step, key.index, content):
        return None
    row = await tx.row(FIRST, tx.tenant, key.lineage, key.step, key.index)
    if row is None or row["digest"] != content:
        raise key.reused()
    return row["result"]


async def settle(tx: Tx, key: WriteKey, result: Any) -> None:
    """Keep the answer of a write that was claimed in this transaction."""
    await tx.execute(SETTLE, tx.tenant, key.lineage, key.step, key.index, result)
