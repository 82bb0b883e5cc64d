"""A Postgres of its own with a memory full of generated facts, brought in the way that an import and the indexer do it."""

import asyncio
import json
import time
from collections.abc import AsyncGenerator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import asyncpg

from activities.indexer import Indexer
from bench.corpus import DIMS, Corpus
from channels.imports import Importer
from database import SEARCH_PATH, Database, migrate
from devstack import postgres
from memory import models, succession
from memory.filters import Filter, read
from memory.models import Model
from settings import ROOT

MODEL = "bench"
DEFINITION = "SELECT replace(pg_get_indexdef(($1 || '_near')::regclass), ' ON ONLY ', ' ON ')"


class Ready:
    """An embedder whose vectors are there already: what is measured is the store, and not the model."""

    name, dims = MODEL, DIMS

    def __init__(self, corpus: Corpus) -> None:
        self._corpus = corpus

    async def embed(self, texts: Sequence[str]) -> list[list[float]]:
        """Return the vector of each fact, which its last word numbers."""
        return self._corpus.vectors[[int(text.rpartition(" n")[2]) for text in texts]].tolist()


@dataclass(frozen=True)
class Memory:
    """A tenant's memory of one size. Times in seconds: until all was findable by keyword, then until all was in the index."""

    database: Database
    owner_url: str
    tenant: str
    model: Model
    corpus: Corpus
    imported: float
    indexed: float

    def filters(self, share: str, count: int) -> list[Filter]:
        """Return filters that leave this share of the facts."""
        return [read(given) for given in self.corpus.filters(share, count)]


@dataclass(frozen=True)
class Server:
    """A fresh Postgres."""

    database: Database
    owner_url: str

    async def filled(self, size: int, folder: Path, *, at_once: bool) -> Memory:
        """Import a corpus as a tenant of its own, and wait until every vector is in the index.

        at_once: the index is built over all vectors by the owner, as after a bulk load, and not row by row behind the writes.
        """
        corpus, tenant = Corpus(size), f"bench-{size}"
        file = folder / f"{tenant}.jsonl"
        await asyncio.to_thread(_write, file, corpus, tenant)
        async with self.database.transaction(tenant) as tx:
            model = await succession.adopt(tx, MODEL)
        began = time.perf_counter()
        await Importer(self.database, file, tenant, may_create=True).keep_good()
        imported = time.perf_counter()
        index = await self._owner(DEFINITION, model.table) if at_once else ""
        if index:
            await self._owner(f"DROP INDEX {model.table}_near")
        await Indexer(self.database, [Ready(corpus)], tenant).drain(tenant)
        if index:
            await self._owner(f"SET maintenance_work_mem = '512MB'; {index}")
        indexed = time.perf_counter()
        # What autovacuum does within minutes, so that no query is measured before it and another behind.
        await self._owner("VACUUM ANALYZE")
        return Memory(self.database, self.owner_url, tenant, model, corpus, imported - began, indexed - imported)

    async def _owner(self, statement: str, *arguments: str) -> str:
        connection = await asyncpg.connect(self.owner_url, server_settings=SEARCH_PATH)
        try:
            if arguments:
                return await connection.fetchval(statement, *arguments)
            return await connection.execute(statement)
        finally:
            await connection.close()


def _write(file: Path, corpus: Corpus, tenant: str) -> None:
    with file.open("w") as out:
        for row in corpus.rows():
            names = {"kind": "kinds", "speaker": "speakers", "session": "sessions", "subject": "subjects"}
            given = {name: row.values[field] for name, field in names.items()}
            out.write(json.dumps({"id": row.id, "tenant": tenant, "text": row.body, **given}) + "\n")


@asynccontextmanager
async def opened(folder: Path) -> AsyncGenerator[Server]:
    """Start the embedded Postgres with its own settings, and lay the model."""
    async with AsyncExitStack() as stack:
        # Postgres may work as another system user, who must be able to enter.
        folder.chmod(0o755)  # noqa: ASYNC240
        logins = await postgres.start(folder / "postgres", root=ROOT)
        stack.push_async_callback(postgres.stop, folder / "postgres")
        await migrate(logins.owner)
        await models.lay(logins.owner, MODEL, DIMS)
        database = await Database.connect(logins.app, size=4)
        stack.push_async_callback(database.close)
        yield Server(database, logins.owner)
