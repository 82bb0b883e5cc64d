"""An endpoint of embeddings and the table of its model."""

from collections.abc import AsyncGenerator
from typing import Any

import asyncpg
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.routing import Route

from database import SEARCH_PATH
from devstack import web_server
from memory import models
from tests.integration.activities.endpoints import DIMS, Endpoint


@pytest.fixture
async def endpoint() -> AsyncGenerator[Endpoint]:
    served = Endpoint()

    async def embeddings(request: Request) -> Any:
        return await served.answer(request)

    async with web_server.listening(Starlette(routes=[Route("/v1/embeddings", embeddings, methods=["POST"])])) as served.url:
        yield served


@pytest.fixture
async def owner(owner_database_url: str) -> AsyncGenerator[Any]:
    await models.lay(owner_database_url, "letters", DIMS)
    connection = await asyncpg.connect(owner_database_url, server_settings=SEARCH_PATH)
    yield connection
    await connection.close()
