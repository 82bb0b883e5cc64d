"""How a command reaches Postgres and Temporal, and how its failure is told: one line, never a trace."""

import asyncio
import json
import sys
from collections.abc import AsyncGenerator, Coroutine
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Annotated, Any, NoReturn, TypeVar

import asyncpg
import typer
from pydantic import ValidationError
from temporalio.client import Client
from temporalio.service import RPCError, RPCStatusCode

from channels.cli import screen
from channels.cli.terminal import NotAllowed
from contracts.converter import DATA_CONVERTER
from contracts.errors import BadInput, PerdureError, StackError
from database import Database
from ledger import runs
from ledger.runs import RunRow
from settings import ROOT, Settings

Json = Annotated[bool, typer.Option("--json", help="Print data instead of a table.")]
Tenant = Annotated[str | None, typer.Option("--tenant", help="Whose; the default is PERDURE_TENANT.")]
Result = TypeVar("Result")
NO_DATABASE = "there is no database: run `starter.py up`, or set PERDURE_DATABASE_URL"
TELLS = "`starter.py status` shows the parts, `starter.py up` starts what is down"
SHOWN = 80  # characters of a run's name that is none
CONNECT_SECONDS = 10.0
REFUSED, WRONG_USE = 1, 2
"""Exit codes: what was asked was refused or failed; it was asked wrongly, or a part is down."""


def settings() -> Settings:
    """Read the settings; a wrong one ends the command with its name."""
    try:
        return Settings()
    except ValidationError as error:
        fail(_fields(error, "PERDURE_{}"))
    except (ValueError, OSError) as error:
        fail(f"the settings cannot be read: {str(error).splitlines()[0]}; `starter.py up` writes .perdure/stack.json anew")


def run(work: Coroutine[Any, Any, Result]) -> Result:
    """Run to the end; what goes wrong is one red line for each cause and exit code 2."""
    try:
        return asyncio.run(work)
    except NotAllowed as error:
        fail(str(error), REFUSED)
    except PerdureError as error:
        fail(str(error))
    except ValidationError as error:
        fail(_fields(error, "{}"))
    except RPCError as error:
        down = error.status in (RPCStatusCode.UNAVAILABLE, RPCStatusCode.DEADLINE_EXCEEDED)
        fail(f"Temporal says: {screen.line(error.message, 300)}" + (f"; {TELLS}" if down else ""))
    except (asyncpg.UndefinedTableError, asyncpg.InvalidSchemaNameError):
        fail("the database has no tables of Perdure yet: `starter.py up` lays them")
    except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
        fail(f"{_first_line(error)}; {TELLS}")


def fail(message: str, code: int = WRONG_USE) -> NoReturn:
    """Say what went wrong and end."""
    screen.complain(message)
    raise typer.Exit(code)


@asynccontextmanager
async def database(settings: Settings) -> AsyncGenerator[Database]:
    """Open the ledger. Raises: BadInput where there is none, StackError where it cannot be reached."""
    if settings.database_url is None:
        raise BadInput(NO_DATABASE)
    url = settings.database_url.get_secret_value()
    try:
        opened = await asyncio.wait_for(Database.connect(url, size=4), CONNECT_SECONDS)
    except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError, TimeoutError) as error:
        raise StackError(f"Postgres cannot be reached at {url.rpartition('@')[2]}: {_first_line(error)}; {TELLS}") from None
    try:
        yield opened
    finally:
        await opened.close()


async def temporal(settings: Settings) -> Client:
    """Connect to Temporal. Raises: StackError where it cannot be reached."""
    where = settings.temporal["target_host"]
    try:
        return await asyncio.wait_for(Client.connect(**settings.temporal, data_converter=DATA_CONVERTER), CONNECT_SECONDS)
    except (RuntimeError, RPCError, OSError, TimeoutError) as error:
        raise StackError(f"Temporal cannot be reached at {where} ({_first_line(error)}); {TELLS}") from None


async def find_run(ledger: Database, tenant: str, name: str) -> RunRow:
    """Return the newest run of a workflow ID, or the run of a lineage. Raises: BadInput where there is none."""
    async with ledger.transaction(tenant) as tx:
        found = await runs.find(tx, name)
    if found is None:
        raise BadInput(f"tenant {tenant} has no run {screen.line(name, SHOWN)!r}: `starter.py list` shows them")
    return found


def command(*words: str, tenant: str = "default") -> str:
    """Return a command line as the person at this terminal would type it."""
    python, program = Path(sys.executable), ROOT / "starter.py"
    shown = [str(path.relative_to(Path.cwd())) if path.is_relative_to(Path.cwd()) else str(path) for path in (python, program)]
    named = [] if tenant == "default" else ["--tenant", tenant]
    return " ".join([*shown, *words, *named])


def json_object(text: str, what: str) -> dict[str, Any]:
    """Read a JSON object from the command line. Raises: BadInput saying where it is wrong and what is right."""
    right = 'right is an object: \'{"name": "value"}\''
    try:
        value = json.loads(text, parse_constant=_refuse)
    except json.JSONDecodeError as error:
        near = screen.line(text[max(0, error.pos - 10) : error.pos + 10])
        raise BadInput(f"{what} is not JSON: {error.msg} at line {error.lineno}, column {error.colno} (near {near!r}); {right}") from None
    except (ValueError, RecursionError) as error:
        raise BadInput(f"{what} is not JSON: {error}; {right}") from None
    if not isinstance(value, dict):
        raise BadInput(f"{what} is a JSON {KINDS[type(value)]}; {right}")
    return value


KINDS = {list: "list", str: "string", int: "number", float: "number", bool: "truth value", type(None): "null"}


def _refuse(word: str) -> NoReturn:
    raise ValueError(f"{word} is no JSON value")


def _fields(error: ValidationError, name: str) -> str:
    return "\n".join(
        f"{name.format('.'.join(map(str, item['loc'])).upper() if 'PERDURE' in name else '.'.join(map(str, item['loc'])))}: {item['msg']}"
        for item in error.errors(include_url=False)
    )


def _first_line(error: BaseException) -> str:
    said = str(error).strip().splitlines()
    return screen.line(said[0], 200) if said else type(error).__name__
