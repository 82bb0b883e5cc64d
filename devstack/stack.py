"""The one-machine stack as a whole: up, down, status."""

import asyncio
from collections.abc import Awaitable, Callable, Collection, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from contracts.errors import StackError
from database import migrate
from devstack import postgres, stack_file
from devstack.part import Part
from devstack.parts import CONSOLE, PARTS, POSTGRES, PROGRAMS, SERVERS, TEMPORAL, WORKER, supplied
from devstack.progress import Progress, silent
from devstack.slack_parts import APP, OPTIONAL
from settings import Settings

Prepare = Callable[[Settings], Awaitable[None]]


async def up(
    settings: Settings,
    progress: Progress = silent,
    *,
    parts: Collection[str] = tuple(PARTS),
    prepare: Prepare | None = None,
    slack: bool = False,
) -> Settings:
    """Start what is not running, and return the settings with what runs now; again it changes nothing.

    prepare: called when the database has its tables and before the worker starts. slack: start a fake workspace and the app in it too;
    where they run already, they are kept up.
    Raises: StackError if a part could not be started; those that could stay up.
    """
    with stack_file.alone(settings):
        before = stack_file.read(settings)
        slack = slack or any(part.pid(settings) is not None for part in OPTIONAL)
        await _start_servers(settings, [part for part in SERVERS if part.name in parts], progress)
        said = stack_file.read(settings)
        if said != before:
            # They hold connections to what they were told when they started.
            await asyncio.gather(*(program.stop(settings) for program in (*PROGRAMS, APP)))
        settings = stack_file.reread(settings, before)
        if "postgres" in parts:
            await _lay_tables(settings, progress)
        if prepare:
            await prepare(settings)
        if "worker" in parts:
            await start_worker(settings, progress)
        if "console" in parts and may_serve(settings):
            await start_console(settings, progress)
        if slack:
            await start_slack(settings, progress)
        return settings


async def start_worker(settings: Settings, progress: Progress = silent) -> None:
    """Start the worker if it is not running today's code, and wait until it polls."""
    await WORKER.start(settings, progress)
    progress(WORKER.name, "")


async def start_console(settings: Settings, progress: Progress = silent) -> None:
    """Start the console if it is not running today's code, and wait until it answers."""
    await CONSOLE.start(settings, progress)
    progress(CONSOLE.name, "")


async def start_slack(settings: Settings, progress: Progress = silent) -> None:
    """Start the fake workspace and the app in it, if they are not running today's code, and wait until the app has connected."""
    for part in OPTIONAL:
        await _start(part, settings, progress)


def may_serve(settings: Settings) -> bool:
    """Whether a console can sign its cookies: on one machine it makes itself a key, elsewhere somebody has to set one."""
    return settings.one_machine or settings.secret(settings.console_key) is not None


async def down(settings: Settings, progress: Progress = silent) -> list[str]:
    """Stop every part that we started, the programs first, and return their names; what they hold on disk stays."""
    with stack_file.alone(settings):
        programs = (*PROGRAMS, *OPTIONAL)
        stopped = [part.name for part in (*PARTS.values(), *OPTIONAL) if part.pid(settings) is not None]
        await asyncio.gather(*(_stop(program, settings, progress) for program in programs))
        await asyncio.gather(*(_stop(part, settings, progress) for part in SERVERS))
        stack_file.write(settings, {})
    return stopped


@dataclass(frozen=True)
class Condition:
    """How one part is."""

    name: str
    state: str
    """`running`, `stopped`, `not answering`, or `supplied` by the environment."""
    where: str
    pid: int | None = None
    log: Path | None = None


async def status(settings: Settings) -> list[Condition]:
    """Return how each part is; those that `up` starts on demand only where they run."""
    parts = [*PARTS.values(), *(part for part in OPTIONAL if part.pid(settings) is not None)]
    return list(await asyncio.gather(*(_condition(part, settings) for part in parts)))


async def _condition(part: Part, settings: Settings) -> Condition:
    if address := supplied(part, settings):
        return Condition(part.name, "supplied", address)
    pid = part.pid(settings)
    if pid is None:
        return Condition(part.name, "stopped", part.where(settings))
    state = "running" if await part.running(settings) else "not answering"
    return Condition(part.name, state, part.where(settings), pid, part.log(settings))


async def _start_servers(settings: Settings, chosen: Iterable[Part], progress: Progress) -> None:
    """Start the chosen ones that are ours and do not run, all at once, and write what stack.json says."""
    ours = {part.name for part in SERVERS if supplied(part, settings) is None}
    for part in SERVERS:
        if part.name not in ours:
            # The environment has taken over what an earlier `up` started.
            await _stop(part, settings, progress)
    idle = [part for part in chosen if part.name in ours and not await part.running(settings)]
    # Before anything starts: who has to mend something learns all of it at once.
    _raise_all([error for part in idle if (error := _obstacle(part, settings))])
    outcomes = await asyncio.gather(*(_start(part, settings, progress) for part in idle), return_exceptions=True)
    stack_file.write(settings, _said(settings, [part for part in SERVERS if part.name in ours and part.pid(settings) is not None]))
    _raise_all([outcome for outcome in outcomes if outcome is not None])


def _said(settings: Settings, running: list[Part]) -> dict[str, Any]:
    said: dict[str, Any] = {}
    for part in running:
        said |= part.says(settings)
    # Unsigned rulings are believed only where nobody else can reach the history or the tables.
    return said | {"one_machine": True} if TEMPORAL in running and POSTGRES in running else said


async def _start(part: Part, settings: Settings, progress: Progress) -> None:
    await part.start(settings, progress)
    progress(part.name, "")


async def _stop(part: Part, settings: Settings, progress: Progress) -> None:
    if part.pid(settings) is not None:
        progress(part.name, "stopping")
        await part.stop(settings)
        progress(part.name, "")


async def _lay_tables(settings: Settings, progress: Progress) -> None:
    login = settings.owner_database_url or settings.database_url
    if login is None:
        raise StackError("there is no database: unset PERDURE_DATABASE_URL for the embedded one, or set it to a server's address")
    await postgres.require_vector(login.get_secret_value())
    progress("tables", "migrating")
    await migrate(login.get_secret_value())
    progress("tables", "")


def _obstacle(part: Part, settings: Settings) -> StackError | None:
    try:
        part.check(settings)
    except StackError as error:
        return error
    return None


def _raise_all(errors: list[BaseException]) -> None:
    if any(not isinstance(error, StackError) for error in errors):
        raise next(error for error in errors if not isinstance(error, StackError))
    if errors:
        raise StackError("\n".join(map(str, errors)))
