"""An endpoint of embeddings that costs, as the tests serve it, and what a tenant has of it."""

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from pydantic import SecretStr
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.types import ASGIApp

from activities.embedder import embedders_of
from database import Database
from memory import allowance, backlog, models, vectors
from memory.allowance import MILLION, Standing, Terms
from memory.embedding import PACKAGED, Embedder
from settings import Settings
from tests.integration.memory import corpora
from tests.integration.memory.corpora import Row

DIMS = 8
PRICE = 1_000_000
"""One token is one micro-dollar."""
Usage = Callable[[list[str]], Any]


def quarter(texts: list[str]) -> dict[str, int]:
    """Count as a tokenizer does: four letters are a token."""
    return {"prompt_tokens": (count := sum(len(text.encode()) // 4 for text in texts)), "total_tokens": count}


@dataclass
class Endpoint:
    """What the endpoint was asked, and how it is to answer.

    billed: tokens that it has counted. most: characters of one request, of which no text may have the half. taken: what it answered.
    """

    usage: Usage = quarter
    reply: ASGIApp | None = None
    asked: list[list[str]] = field(default_factory=list[list[str]])
    billed: int = 0
    most: int | None = None
    refuses: str | None = None
    taken: list[list[str]] = field(default_factory=list[list[str]])
    hangs: asyncio.Event | None = None
    reached: asyncio.Event = field(default_factory=asyncio.Event)
    url: str = ""

    async def answer(self, request: Request) -> ASGIApp:
        texts = (await request.json())["input"]
        self.asked.append(texts)
        self.reached.set()
        if self.hangs:
            await self.hangs.wait()
        if self.reply:
            return self.reply
        if self.most is not None and (sum(map(len, texts)) > self.most or max(map(len, texts)) > self.most // 2 or self.refuses in texts):
            return JSONResponse({"error": {"message": "maximum context length"}}, status_code=400)
        self.taken.append(texts)
        usage = self.usage(texts)
        self.billed += usage["total_tokens"] if isinstance(usage, dict) and isinstance(usage.get("total_tokens"), int) else 0
        data = [{"object": "embedding", "index": nth, "embedding": letters(text)} for nth, text in enumerate(texts)]
        return JSONResponse({"object": "list", "model": "letters", "data": data, "usage": usage})


def letters(text: str) -> list[float]:
    return [1.0 + sum(ord(letter) % DIMS == kind for letter in text) for kind in range(DIMS)]


def settings(endpoint: Endpoint, cap: int | None, price: int | None = PRICE) -> Settings:
    return Settings(
        embedding_base_url=f"{endpoint.url}/v1",
        embedding_model="letters",
        embedding_api_key=SecretStr("k"),
        embedding_micros_per_million=price,
        embedding_day_micros=cap,
    )


@asynccontextmanager
async def paid(database: Database, endpoint: Endpoint, cap: int) -> AsyncGenerator[list[Embedder]]:
    async with embedders_of(settings(endpoint, cap), database) as embedders:
        assert [embedder.name for embedder in embedders] == ["letters", PACKAGED]
        yield embedders


async def day(database: Database) -> Standing:
    async with database.transaction("default") as tx:
        standing = await allowance.today(tx)
        assert standing is not None
        return standing


async def use_up(database: Database, cap: int) -> None:
    """Leave nothing of today, as calls of other processes do."""
    async with database.transaction("default") as tx:
        standing = await allowance.today(tx)
        left = cap - (standing.used if standing else 0) // MILLION
        assert await allowance.reserve(tx, Terms(PRICE, cap), left)


async def write(database: Database, count: int, size: int = 0) -> None:
    async with database.transaction("default") as tx:
        rows = [Row(f"f{nth}", f"letter {nth} about boat{nth} ".ljust(size, "x")) for nth in range(count)]
        await corpora.write(tx, rows)


async def have(database: Database) -> tuple[int, int]:
    """Return how many vectors there are, and how many wait."""
    async with database.transaction("default") as tx:
        (model,) = await models.of_tenant(tx)
        return (await vectors.counts(tx, model))[0], await backlog.waiting(tx, model)
