"""Tenants at the command line: one that does not exist is an error, and not everybody may make one."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from channels.cli import link
from channels.cli.terminal import at_terminal
from contracts.errors import BadInput
from database import Database, Tx
from memory import importing
from settings import Settings


@asynccontextmanager
async def reading(settings: Settings, tenant: str, *, snapshot: bool = False) -> AsyncGenerator[Tx]:
    """Open a transaction of a tenant that exists. Raises: BadInput where it does not."""
    isolation = "REPEATABLE READ" if snapshot else "READ COMMITTED"
    async with link.database(settings) as database, database.transaction(tenant, isolation=isolation) as tx:
        if not await importing.exists(tx):
            raise BadInput(f"tenant {tenant!r} does not exist")
        yield tx


async def allowed(settings: Settings, tenant: str, act: str, by: str | None) -> str:
    """Return the id of who is at this terminal, if they may do this to a tenant that exists. Raises: BadInput, NotAllowed."""
    async with reading(settings, tenant):
        pass
    async with link.database(settings) as database:
        return await at_terminal(settings, database, tenant, act, by)


def may_create(settings: Settings) -> bool:
    """Tell whether this command may make a tenant exist."""
    # Only who administers the database has the owner's login.
    return settings.one_machine or settings.owner_database_url is not None


async def ready(database: Database, tenant: str, *, may_create: bool) -> None:
    """Make sure that a tenant exists. Raises: BadInput where it does not and may not be made."""
    async with database.transaction(tenant) as tx:
        if await importing.exists(tx):
            return
        if not may_create:
            raise BadInput(f"tenant {tenant!r} does not exist, and only an admin may create it")
        await importing.create_tenant(tx)
