"""How a command reaches Postgres and Temporal, and how its failure is told: one line, never a trace."""

import asyncio
import json
from collections.abc import AsyncGenerator, Coroutine
from contextlib import asynccontextmanager
from typing import Annotated, Any, TypeVar

import asyncpg
import typer
from pydantic import ValidationError
from rich.console import Console
from temporalio.client import Client
from temporalio.service import RPCError

from contracts.converter import DATA_CONVERTER
from contracts.errors import BadInput, PerdureError
from database import Database
from ledger import runs
from ledger.runs import RunRow
from settings import Settings

Json = Annotated[bool, typer.Option("--json", help="Print data instead of a table.")]
Tenant = Annotated[str | None, typer.Option("--tenant", help="Whose; the default is PERDURE_TENANT.")]
Result = TypeVar("Result")
OUT, ERR = Console(), Console(stderr=True, soft_wrap=True)


def run(work: Coroutine[Any, Any, Result]) -> Result:
    """Run to the end; what goes wrong is one red line for each cause and exit code 2."""
    try:
        return asyncio.run(work)
    except PerdureError as error:
        message = str(error)
    except ValidationError as error:
        message = "\n".join(f"{'.'.join(map(str, item['loc']))}: {item['msg']}" for item in error.errors(include_url=False))
    except RPCError as error:
        message = f"Temporal says: {error.message}"
    except (OSError, RuntimeError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
        message = f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}\nIs the stack up? `starter.py doctor` tells"
    ERR.print(message, style="red", markup=False, highlight=False)
    raise typer.Exit(2)


@asynccontextmanager
async def database(settings: Settings) -> AsyncGenerator[Database]:
    """Open the ledger. Raises: BadInput where there is none."""
    if settings.database_url is None:
        raise BadInput("there is no database: run `starter.py up`, or set PERDURE_DATABASE_URL")
    opened = await Database.connect(settings.database_url.get_secret_value(), size=4)
    try:
        yield opened
    finally:
        await opened.close()


async def temporal(settings: Settings) -> Client:
    """Connect to Temporal."""
    return await Client.connect(**settings.temporal, data_converter=DATA_CONVERTER)


async def find_run(ledger: Database, tenant: str, name: str) -> RunRow:
    """Return the newest run of a workflow ID, or the run of a lineage. Raises: BadInput where there is none."""
    async with ledger.transaction(tenant) as tx:
        found = await runs.find(tx, name)
    if found is None:
        raise BadInput(f"tenant {tenant} has no run {name!r}: `starter.py list` shows them")
    return found


def json_object(text: str, what: str) -> dict[str, Any]:
    """Read a JSON object from the command line. Raises: BadInput saying what is right."""
    try:
        value = json.loads(text)
    except json.JSONDecodeError as error:
        raise BadInput(f'{what} is not JSON: {error.msg} at character {error.pos}; right is \'{{"name": "value"}}\'') from None
    if not isinstance(value, dict):
        raise BadInput(f'{what} is a JSON {type(value).__name__}; right is an object: \'{{"name": "value"}}\'')
    return value


def print_json(value: Any) -> None:
    """Print data for a program."""
    typer.echo(json.dumps(value, default=str, ensure_ascii=False))
