"""The real servers that tests run against: embedded ones, or containers where `PERDURE_TEST_STACK=containers`."""

import asyncio
import os
import secrets
import shutil
import socket
import tempfile
from collections.abc import AsyncGenerator, Awaitable, Callable, Generator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import asyncpg

from database import migrate
from devstack import postgres, temporal_server
from settings import ROOT

POSTGRES_IMAGE = "pgvector/pgvector:pg18"
TEMPORAL_IMAGE = "temporalio/temporal:latest"
# A trusting server ignores it; one that asks for passwords knows the role without one.
APP_PASSWORD = "perdure_app"


def in_containers() -> bool:
    """Tell whether the servers are to be containers."""
    return os.environ.get("PERDURE_TEST_STACK") == "containers"


def free_port() -> int:
    """Return a port that nothing listens on."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


@contextmanager
def short_folder() -> Generator[Path]:
    """Make a folder that servers of another system user may enter: pytest's own are closed to them."""
    folder = Path(tempfile.mkdtemp(prefix="perdure-test-")).resolve()
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@asynccontextmanager
async def embedded_postgres() -> AsyncGenerator[str]:
    """Run the embedded Postgres and yield its owner's address."""
    with short_folder() as folder:
        try:
            logins = await postgres.start(folder / "postgres", root=ROOT)
            await _hasten(logins.owner)
            yield logins.owner
        finally:
            await postgres.stop(folder / "postgres")


@contextmanager
def contained_postgres() -> Generator[str]:
    """Run Postgres in a container and yield its owner's address."""
    with _container(POSTGRES_IMAGE, 5432, POSTGRES_PASSWORD="postgres") as (host, port):
        yield f"postgresql://postgres:postgres@{host}:{port}/postgres"


@asynccontextmanager
async def embedded_temporal(program: Path) -> AsyncGenerator[str]:
    """Run the tuned Temporal dev server and yield its address."""
    with short_folder() as folder:
        process = await temporal_server.serve(program, folder, port := free_port())
        try:
            yield f"127.0.0.1:{port}"
        finally:
            # Its data is thrown away, so it need not say goodbye, which takes it seconds.
            process.kill()


@asynccontextmanager
async def contained_temporal() -> AsyncGenerator[str]:
    """Run the tuned Temporal dev server in a container and yield its address."""
    words = temporal_server.command(Path("temporal"), Path("/tmp"), 7233)[1:]
    words[words.index("--ip") + 1] = "0.0.0.0"
    with _container(TEMPORAL_IMAGE, 7233, *words) as (host, port):
        await until(lambda: temporal_server.answers(port))
        yield f"{host}:{port}"


@contextmanager
def _container(image: str, inner: int, *command: str, **environment: str) -> Generator[tuple[str, int]]:
    # Imported here: only those who ask for containers need the package's idea of a Docker client.
    from testcontainers.core.container import DockerContainer

    container: Any = DockerContainer(image).with_exposed_ports(inner)
    for name, value in environment.items():
        container.with_env(name, value)
    if command:
        container.with_command(list(command))
    with container:
        yield container.get_container_host_ip(), int(container.get_exposed_port(inner))


async def until(holds: Callable[[], Awaitable[bool]], seconds: float = 60.0) -> None:
    """Wait until something holds.

    Raises: TimeoutError if it does not in time.
    """
    deadline = asyncio.get_running_loop().time() + seconds
    while not await holds():
        if asyncio.get_running_loop().time() > deadline:
            raise TimeoutError(f"it did not come to hold within {seconds:g} s")
        await asyncio.sleep(0.05)


async def _hasten(owner_url: str) -> None:
    # The data is thrown away, so it need not survive a power cut; a killed server still loses nothing.
    await run(owner_url, "ALTER SYSTEM SET fsync = off", "ALTER SYSTEM SET full_page_writes = off", "SELECT pg_reload_conf()")


async def run(url: str, *statements: str) -> None:
    """Run statements, each by itself."""
    connection = await asyncpg.connect(url)
    try:
        for statement in statements:
            await connection.execute(statement)
    finally:
        await connection.close()


@asynccontextmanager
async def scratch_database(owner_url: str, template: str = "template1") -> AsyncGenerator[str]:
    """Make a database for as long as the block runs, and yield its owner's address."""
    name = f"perdure_test_{secrets.token_hex(6)}"
    await run(owner_url, f"CREATE DATABASE {name} TEMPLATE {template}")
    try:
        yield database_of(owner_url, name)
    finally:
        await run(owner_url, f"DROP DATABASE {name} WITH (FORCE)")


@asynccontextmanager
async def migrated_template(owner_url: str) -> AsyncGenerator[str]:
    """Make a database with all tables, and yield its name for `scratch_database`."""
    async with scratch_database(owner_url) as url:
        await migrate(url)
        await run(owner_url, f"ALTER ROLE perdure_app PASSWORD '{APP_PASSWORD}'")
        yield urlsplit(url).path.lstrip("/")


def database_of(url: str, name: str) -> str:
    """Return the address of another database of the same server."""
    return urlsplit(url)._replace(path=f"/{name}").geturl()


def as_app(url: str) -> str:
    """Return the same address with the program's login."""
    address = urlsplit(url)
    where = address.netloc.rpartition("@")[2]
    return address._replace(netloc=f"perdure_app:{APP_PASSWORD}@{where}").geturl()
