"""What is wrong with this machine's stack, and the mend for each."""

import asyncio
import shutil
import time
from collections.abc import AsyncGenerator
from dataclasses import dataclass

import asyncpg
import psutil
from temporalio.api.workflowservice.v1 import GetSystemInfoRequest
from temporalio.client import Client
from temporalio.service import RPCError

from contracts.errors import BadInput, PerdureError
from database import Database
from devstack import postgres, temporal_server
from devstack.part import Part
from devstack.parts import CONSOLE, PARTS, TEMPORAL, WORKER, supplied
from devstack.processes import port_free
from devstack.slack_parts import APP, OPTIONAL, WORKSPACE, page
from devstack.stack import may_serve
from ledger import breakers
from memory import allowance
from memory.allowance import Standing
from settings import Settings

CLOCK_APART = 2.0  # seconds
DISK_FREE = 1 << 30  # bytes
UP = "run `starter.py up`"


@dataclass(frozen=True)
class Check:
    """One thing looked at."""

    name: str
    ok: bool
    detail: str
    fix: str = ""
    """What mends it, in one line; empty where nothing is to mend."""


async def doctor(settings: Settings) -> list[Check]:
    """Look at every part and return what was found, in a fixed order."""
    found = await asyncio.gather(
        _collected(_temporal(settings)),
        _collected(_database(settings)),
        _collected(_model(settings)),
        _collected(_embeddings(settings)),
        _collected(_desk(settings)),
        _collected(_worker(settings)),
        _collected(_console(settings)),
        _collected(_slack(settings)),
    )
    return [check for checks in found for check in checks] + _ports(settings) + [_disk(settings)]


async def _collected(checks: AsyncGenerator[Check]) -> list[Check]:
    return [check async for check in checks]


async def _temporal(settings: Settings) -> AsyncGenerator[Check]:
    address = settings.temporal["target_host"]
    try:
        async with asyncio.timeout(5):
            client = await Client.connect(**settings.temporal)
            system = await client.workflow_service.get_system_info(GetSystemInfoRequest())
            await client.count_workflows()
    except (RPCError, RuntimeError, TimeoutError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        ours = supplied(TEMPORAL, settings) is None
        yield Check("temporal", False, f"{address}: {reason}", UP if ours else "start that server, or correct TEMPORAL_ADDRESS")
        return
    yield Check("temporal", True, f"{address}, server {system.server_version}, namespace {client.namespace}")
    pid = TEMPORAL.pid(settings)
    if pid is None or supplied(TEMPORAL, settings):
        yield Check("temporal settings", True, "not ours to see: see docs for the dynamic configuration that makes runs fast")
        return
    missing = temporal_server.untuned(psutil.Process(pid).cmdline())
    detail = f"without {', '.join(missing)}" if missing else "tuned"
    yield Check("temporal settings", not missing, detail, "run `starter.py down` and `up`" if missing else "")


async def _database(settings: Settings) -> AsyncGenerator[Check]:
    fix = UP if supplied(PARTS["postgres"], settings) is None else "start that server, or correct PERDURE_DATABASE_URL"
    if settings.database_url is None:
        yield Check("postgres", False, "there is none yet", fix)
        return
    url = settings.database_url.get_secret_value()
    try:
        connection = await asyncpg.connect(url, timeout=5)
    except (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError, ValueError) as error:
        yield Check("postgres", False, str(error) or type(error).__name__, fix)
        return
    try:
        yield Check("postgres", True, str(await connection.fetchval("SHOW server_version")))
        yield await _clock(connection)
        yield await _role(connection)
    finally:
        await connection.close()
    vector = await postgres.vector_version(url)
    enough = vector is not None and vector >= postgres.OLDEST_VECTOR
    oldest = postgres.dotted(postgres.OLDEST_VECTOR)
    yield Check("pgvector", enough, postgres.dotted(vector), "" if enough else f"install pgvector {oldest} or newer on the server")


async def _clock(connection: "asyncpg.Connection[asyncpg.Record]") -> Check:
    asked = time.time()
    theirs = float(await connection.fetchval("SELECT extract(epoch FROM clock_timestamp())"))
    # The reply was made somewhere between question and answer.
    apart = abs(theirs - (asked + time.time()) / 2)
    ok = apart < CLOCK_APART
    return Check("clock", ok, f"{apart:.1f} s from Postgres", "" if ok else "let both machines keep time (NTP)")


async def _role(connection: "asyncpg.Connection[asyncpg.Record]") -> Check:
    """See that row-level security holds for the program: it does for no superuser."""
    row = await connection.fetchrow("SELECT rolname, rolsuper OR rolbypassrls AS above FROM pg_roles WHERE rolname = 'perdure_app'")
    if row is None:
        return Check("role", False, "perdure_app is missing", UP)
    fix = "ALTER ROLE perdure_app NOSUPERUSER NOBYPASSRLS" if row["above"] else ""
    return Check("role", not row["above"], "perdure_app is above row-level security" if row["above"] else "perdure_app is bound", fix)


async def _model(settings: Settings) -> AsyncGenerator[Check]:
    ours = supplied(PARTS["model"], settings) is None
    if ours and settings.openai_base_url is None:
        yield Check("model", False, "there is none yet", f"{UP}, or set OPENAI_BASE_URL and OPENAI_API_KEY")
        return
    # Imported here: the SDK takes a third of a command's start.
    import openai

    key = settings.openai_api_key.get_secret_value() if settings.openai_api_key else "none"
    async with openai.AsyncOpenAI(base_url=settings.openai_base_url, api_key=key, max_retries=0, timeout=10) as client:
        where = str(client.base_url)
        try:
            names = [model.id async for model in client.models.list()]
        except openai.APIError as error:
            fix = UP if ours else "check OPENAI_BASE_URL and OPENAI_API_KEY"
            yield Check("model", False, f"{where}: {error.message.splitlines()[0]}", fix)
            return
    yield Check("model", True, f"{where}: {', '.join(names[:3])}{', …' if len(names) > 3 else ''}")


async def _embeddings(settings: Settings) -> AsyncGenerator[Check]:
    """Say who makes embeddings, and what is left of today's allowance where that costs."""
    try:
        agreed = allowance.terms(settings)
    except BadInput as error:
        yield Check("embeddings", False, "what they may cost is not certain", str(error))
        return
    where = settings.embedding_base_url or "the packaged model"
    if agreed is None:
        yield Check("embeddings", True, f"{where}, for nothing")
        return
    day, left_alone = await _today(settings)
    said = f"{where}, {day or 'nothing spent today'}"
    if left_alone:
        yield Check("embeddings", False, f"{said}; {breakers.told(left_alone[0])}", "check PERDURE_EMBEDDING_BASE_URL")
        return
    # Nothing is broken: words are found, and what waits goes on tomorrow.
    yield Check("embeddings", True, f"{said}{', which had no room left' if day and day.stopped_at else ''}")


async def _today(settings: Settings) -> tuple[Standing | None, list[breakers.Breaker]]:
    if settings.database_url is None:
        return None, []
    try:
        database = await Database.connect(settings.database_url.get_secret_value(), size=2)
    except (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError, ValueError, PerdureError):
        # That has a line of its own.
        return None, []
    try:
        async with database.transaction(settings.tenant) as tx:
            return await allowance.today(tx), await breakers.embeddings(tx)
    except asyncpg.PostgresError:
        return None, []
    finally:
        await database.close()


async def _desk(settings: Settings) -> AsyncGenerator[Check]:
    """Look at the stand-ins for mail and a social network, where they are ours."""
    for part in (PARTS["mail"], PARTS["social"]):
        if address := supplied(part, settings):
            yield Check(part.name, True, f"supplied: {address}")
        else:
            yield await _ours(part, settings)


async def _worker(settings: Settings) -> AsyncGenerator[Check]:
    yield await _ours(WORKER, settings)


async def _console(settings: Settings) -> AsyncGenerator[Check]:
    ours = supplied(TEMPORAL, settings) is None and supplied(PARTS["postgres"], settings) is None
    if not (ours or may_serve(settings)) and CONSOLE.pid(settings) is None:
        yield Check("console", True, f"is not served here: that takes PERDURE_SECRET_{settings.console_key}")
        return
    found = await _ours(CONSOLE, settings)
    yield Check("console", found.ok, f"{settings.console_address} answers", "") if found.ok else found


async def _slack(settings: Settings) -> AsyncGenerator[Check]:
    """Say whether Slack is set up, and whether the fake one is; that a real one takes the tokens is for `slack check` to see."""
    if any(part.pid(settings) is not None for part in OPTIONAL):
        well = await WORKSPACE.running(settings) and await APP.running(settings)
        away = f"read {APP.log(settings)}, then run `starter.py up --slack`"
        yield Check("slack", well, f"fake, {page(settings)}{'' if well else ': the app has not connected'}", "" if well else away)
    elif settings.secret(settings.slack_bot_token) is None:
        yield Check("slack", True, "not set up; `starter.py up --slack` shows it with a fake workspace")
    else:
        ways = [way for way, name in _ways_in(settings) if settings.secret(name)]
        channels = [settings.slack_channel, *settings.slack_channels.values()]
        lacks = ["no way in"] * (not ways) + ["no channel"] * (not any(channels))
        yield Check("slack", not lacks, ", ".join([*lacks, *ways]), "`starter.py slack check` says what is missing" if lacks else "")


def _ways_in(settings: Settings) -> list[tuple[str, str]]:
    over_http = f"HTTP on {settings.slack_host}:{settings.slack_port}"
    return [("socket mode", settings.slack_app_token), (over_http, settings.slack_signing_secret)]


async def _ours(part: Part, settings: Settings) -> Check:
    if await part.running(settings):
        return Check(part.name, True, part.where(settings))
    if part.pid(settings) is None:
        return Check(part.name, False, "is not running", UP)
    return Check(part.name, False, "runs but does not answer", f"read {part.log(settings)}, then {UP}")


def _ports(settings: Settings) -> list[Check]:
    """Look whether what is not running could have its ports."""
    idle = [part for part in PARTS.values() if part.pid(settings) is None and supplied(part, settings) is None]
    wanted = {port: getattr(settings, port) for part in idle for port in part.ports}
    taken = {port: number for port, number in wanted.items() if not port_free(number)}
    if not taken:
        return [Check("ports", True, "those of all stopped parts are free" if wanted else "held by our own parts")]
    return [
        Check("ports", False, f"{number} is taken", f"stop what listens there, or set PERDURE_{port.upper()}")
        for port, number in taken.items()
    ]


def _disk(settings: Settings) -> Check:
    folder = next(parent for parent in (settings.state, *settings.state.parents) if parent.exists())
    free = shutil.disk_usage(folder).free
    ok = free >= DISK_FREE
    return Check("disk", ok, f"{free / (1 << 30):.1f} GiB free in {folder}", "" if ok else "free some space, or set PERDURE_STATE")
