"""Houses whose probe is another than the usual one."""

from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from temporalio.client import Client

from contracts.converter import DATA_CONVERTER
from database import SEARCH_PATH, Database
from tests import servers
from tests.house import House, opened
from tests.probes import copied

HouseOf = Callable[..., AbstractAsyncContextManager[House]]
QUICK = {"seconds=2)": "seconds=0.5)"}
"""Tools whose claims run out soon, where a test waits for that."""


@pytest.fixture
def house_of(database: Database, temporal_address: str, tmp_path: Path) -> HouseOf:
    """Open a house: ``worker`` changes its worker's settings, ``alone`` leaves it out, the rest is for `tests.probes.copied`."""

    @asynccontextmanager
    async def open(*, worker: dict[str, Any] | None = None, alone: bool = False, **changes: Any) -> AsyncGenerator[House]:
        folder = copied(tmp_path / "automations", **changes)
        async with opened(database, temporal_address, tmp_path, folder=folder) as made:
            if alone:
                yield made
                return
            async with made.worker(**(worker or {})):
                yield made

    return open


@pytest.fixture(scope="module")
async def shared_house(
    postgres_url: str, _template: str, temporal_address: str, tmp_path_factory: pytest.TempPathFactory
) -> AsyncGenerator[House]:
    """One house for all tests of a module whose runs have nothing to do with each other."""
    async with servers.scratch_database(postgres_url, _template) as url:
        database = await Database.connect(servers.as_app(url), size=10)
        async with database.transaction("default") as tx:
            await tx.execute("INSERT INTO tenant (tenant) VALUES ('default')")
        async with opened(database, temporal_address, tmp_path_factory.mktemp("house")) as made, made.worker():
            yield made
        await database.close()


@pytest.fixture
async def client(temporal_address: str) -> Client:
    """A client for runs on `tests.fake_activities`."""
    return await Client.connect(temporal_address, data_converter=DATA_CONVERTER)


@pytest.fixture
def behind(owner_database_url: str) -> Callable[..., Awaitable[None]]:
    """Run statements on the house's database behind everybody's back, as the owner of its tables."""

    async def change(*statements: str) -> None:
        connection = await asyncpg.connect(owner_database_url, server_settings=SEARCH_PATH)
        try:
            for statement in ("SELECT set_config('app.tenant', 'default', false)", *statements):
                await connection.execute(statement)
        finally:
            await connection.close()

    return change
