"""What every test stands on: an environment of its own, and real servers that are started when the first test asks."""

import gc
import os
import signal
from collections.abc import AsyncGenerator, Generator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import NoReturn

import pytest

from database import Database
from devstack import postgres
from devstack import temporal_program as program
from devstack.progress import to_stderr
from settings import Settings
from tests import servers

OURS = ("PERDURE_", "TEMPORAL_", "OPENAI_")
KEPT = ("PERDURE_TEST_", "PERDURE_CACHE")


def pytest_configure(config: pytest.Config) -> None:
    # Who ends the run from outside (a CI's time-out) gets the same clean end as Ctrl-C, so no server outlives it.
    signal.signal(signal.SIGTERM, _interrupt)


def _interrupt(number: int, frame: object) -> NoReturn:
    raise KeyboardInterrupt


@pytest.fixture(scope="session", autouse=True)
def _own_environment(tmp_path_factory: pytest.TempPathFactory) -> Generator[None]:
    """Keep the developer's settings, and the stack that may be up beside the tests, out of every test."""
    with pytest.MonkeyPatch.context() as patch:
        for name in list(os.environ):
            if name.startswith(OURS) and not name.startswith(KEPT):
                patch.delenv(name)
        patch.setenv("PERDURE_STATE", str(tmp_path_factory.mktemp("state")))
        patch.setenv("TEMPORAL_CONFIG_FILE", os.devnull)
        yield


@pytest.fixture(scope="module", autouse=True)
def _short_collections() -> Generator[None]:
    """Leave what modules before made out of later collections: one over all of it takes seconds, and Temporal takes it for a deadlock."""
    yield
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="session")
async def postgres_url(_own_environment: None) -> AsyncGenerator[str]:
    """The owner's address of a real Postgres with pgvector."""
    async with AsyncExitStack() as stack:
        if not (url := os.environ.get("PERDURE_TEST_DATABASE_URL", "")):
            if servers.in_containers():
                url = stack.enter_context(servers.contained_postgres())
            else:
                url = await stack.enter_async_context(servers.embedded_postgres())
        # A container's server answers only some time after it was started.
        await servers.until(lambda: postgres.answers(url))
        yield url


@pytest.fixture(scope="session")
async def _template(postgres_url: str) -> AsyncGenerator[str]:
    async with servers.migrated_template(postgres_url) as name:
        yield name


@pytest.fixture
async def owner_database_url(postgres_url: str, _template: str) -> AsyncGenerator[str]:
    """The owner's address of a fresh database with all tables."""
    async with servers.scratch_database(postgres_url, _template) as url:
        yield url


@pytest.fixture
def database_url(owner_database_url: str) -> str:
    """The program's address of the same database: the login perdure_app."""
    return servers.as_app(owner_database_url)


@pytest.fixture
async def database(database_url: str) -> AsyncGenerator[Database]:
    """The program's pool on a fresh database, with the tenant `default`."""
    connected = await Database.connect(database_url, size=10)
    try:
        async with connected.transaction("default") as tx:
            await tx.execute("INSERT INTO tenant (tenant) VALUES ('default')")
        yield connected
    finally:
        await connected.close()


@pytest.fixture(scope="session")
async def temporal_program(_own_environment: None) -> Path:
    """The program `temporal`; the first time on a machine this may download or build it."""
    return await program.find(Settings().cache, to_stderr)


@pytest.fixture(scope="session")
async def temporal_address(temporal_program: Path) -> AsyncGenerator[str]:
    """The address of a real, tuned Temporal dev server."""
    server = servers.contained_temporal() if servers.in_containers() else servers.embedded_temporal(temporal_program)
    async with server as address:
        yield address
