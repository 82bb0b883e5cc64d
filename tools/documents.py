"""What tools keep between steps: small JSON documents in Postgres, one source of truth for each kind and id."""

from dataclasses import dataclass
from typing import Any, Self

from contracts.errors import ToolFailed
from database import Database, Tx

GET = "SELECT kind, id, version, body, written_by FROM document WHERE tenant = $1 AND automation = $2 AND kind = $3 AND id = $4"
LIST = "SELECT kind, id, version, body, written_by FROM document WHERE tenant = $1 AND automation = $2 AND kind = $3 ORDER BY id"
# A retried write (same writer) changes nothing and answers with the row as it is: the first answer stands.
PUT = """
INSERT INTO document (tenant, automation, kind, id, body, written_by)
SELECT $1, $2, $3, $4, $5, $6
 WHERE coalesce($7, 0) = 0 OR EXISTS (SELECT FROM document WHERE tenant = $1 AND automation = $2 AND kind = $3 AND id = $4)
ON CONFLICT (tenant, automation, kind, id) DO UPDATE
   SET body = excluded.body, version = document.version + 1, written_by = excluded.written_by, at = now()
 WHERE document.written_by <> excluded.written_by AND ($7::bigint IS NULL OR document.version = $7)
RETURNING kind, id, version, body, written_by
"""
DELETE = "DELETE FROM document WHERE tenant = $1 AND automation = $2 AND kind = $3 AND id = $4"


@dataclass(frozen=True, slots=True)
class Document:
    """One document. ``version`` rises by one with each write, ``written_by`` is the key of the effect that wrote it."""

    kind: str
    id: str
    version: int
    body: dict[str, Any]
    written_by: str

    @classmethod
    def from_row(cls, row: Any) -> Self:
        """Map one row."""
        return cls(**dict(row))


class Documents:
    """The documents of one automation of one tenant."""

    def __init__(self, database: Database, tenant: str, automation: str) -> None:
        self._database = database
        self._tenant = tenant
        self._automation = automation

    async def get(self, kind: str, id: str) -> Document | None:
        """Return one document, or None."""
        async with self._database.transaction(self._tenant) as tx:
            return await find(tx, self._automation, kind, id)

    async def list(self, kind: str) -> list[Document]:
        """Return all documents of a kind, by id."""
        async with self._database.transaction(self._tenant) as tx:
            return await documents(tx, self._automation, kind)

    async def put(self, kind: str, id: str, body: dict[str, Any], *, writer: str, version: int | None = None) -> Document:
        """Write a document; again with the same ``writer`` (the effect's key) it changes nothing.

        version: write only over this version, 0 where there must be none yet. Raises: ToolFailed where another has been written meanwhile.
        """
        async with self._database.transaction(self._tenant) as tx:
            return await write(tx, self._automation, kind, id, body, writer=writer, version=version)

    async def delete(self, kind: str, id: str) -> bool:
        """Delete a document; return whether there was one."""
        async with self._database.transaction(self._tenant) as tx:
            return await tx.execute(DELETE, tx.tenant, self._automation, kind, id) > 0


async def find(tx: Tx, automation: str, kind: str, id: str) -> Document | None:
    """Return one document, or None."""
    row = await tx.row(GET, tx.tenant, automation, kind, id)
    return Document.from_row(row) if row else None


async def documents(tx: Tx, automation: str, kind: str) -> list[Document]:
    """Return all documents of a kind, by id."""
    return [Document.from_row(row) for row in await tx.fetch(LIST, tx.tenant, automation, kind)]


async def write(tx: Tx, automation: str, kind: str, id: str, body: dict[str, Any], *, writer: str, version: int | None = None) -> Document:
    """Write a document unless this writer already did; see `Documents.put`."""
    row = await tx.row(PUT, tx.tenant, automation, kind, id, body, writer, version)
    if row:
        return Document.from_row(row)
    found = await find(tx, automation, kind, id)
    if found is None or found.written_by != writer:
        raise ToolFailed(f"{kind} {id} has changed meanwhile: read it again and write over version {found.version if found else 0}")
    return found
