"""Commands that operate one run: pause, resume, cancel, retry a step, and fork it from a point in its past."""

import getpass
import secrets
from typing import Annotated, Any

import typer
from temporalio.exceptions import WorkflowAlreadyStartedError
from temporalio.service import RPCError, RPCStatusCode

from activities.operations import at_once
from channels.cli import link, screen
from channels.cli.approvals import CHANNEL, wake
from channels.cli.runs import AlreadyRunning
from contracts import names
from contracts.errors import PerdureError
from contracts.operations import Operated, StepWord, Word
from contracts.runs import Fork, StartRequest
from database import Database
from ledger import lineage, operations, records
from ledger.lineage import Point
from ledger.runs import RunRow
from policies import bundles
from policies.bundles import Bundles
from settings import Settings


def register(app: typer.Typer) -> None:
    """Add the commands."""
    for name, command in (("pause", pause), ("resume", resume), ("cancel", cancel), ("retry", retry), ("fork", fork)):
        app.command(name)(command)


Run = Annotated[str, typer.Argument(metavar="RUN", help="Workflow ID or lineage.")]
Step = Annotated[str, typer.Argument(metavar="STEP", help="A step's id, as `show` prints it.")]
Reason = Annotated[str, typer.Option("--reason", help="Why; the ledger keeps it.")]
By = Annotated[str | None, typer.Option("--by", help="Who says so; the default is the login name.")]


def pause(run: Run, reason: Reason = "", by: By = None, tenant: link.Tenant = None, as_json: link.Json = False) -> None:
    """Let nothing new begin in a run until it is resumed; what runs comes to its end."""
    _say(_changed("pause", run, by, reason, tenant), as_json=as_json)


def resume(run: Run, reason: Reason = "", by: By = None, tenant: link.Tenant = None, as_json: link.Json = False) -> None:
    """Let a paused run go on."""
    _say(_changed("resume", run, by, reason, tenant), as_json=as_json)


def cancel(
    run: Run,
    undo: Annotated[bool, typer.Option("--undo", help="Undo what it did, whatever its bundle says.")] = False,
    leave: Annotated[bool, typer.Option("--leave", help="Leave what it did, whatever its bundle says.")] = False,
    reason: Reason = "",
    by: By = None,
    tenant: link.Tenant = None,
    as_json: link.Json = False,
) -> None:
    """End a run; without a flag its bundle's `on_failure` says whether what it did is undone."""
    if undo and leave:
        link.fail("--undo and --leave exclude each other: give one, or neither to do as the bundle says")
    ending = "undo" if undo else "keep" if leave else None
    settings = link.settings()
    _say(link.run(_cancel(settings, tenant or settings.tenant, run, by, reason, ending)), as_json=as_json)


def retry(run: Run, step: Step, reason: Reason = "", by: By = None, tenant: link.Tenant = None, as_json: link.Json = False) -> None:
    """Try a step again: at once where its next attempt is waited for, and anew where it ended badly in a run under way."""
    settings = link.settings()
    _say(link.run(_retry(settings, tenant or settings.tenant, run, step, by, reason)), as_json=as_json)


def fork(
    run: Run,
    at: Annotated[str, typer.Option("--from", metavar="STEP", help="A step that is to be run again, or a decision (d2) to be made anew.")],
    bundle: Annotated[str | None, typer.Option("--bundle", help="Hash of another bundle of the automation; it may be cut short.")] = None,
    id: Annotated[str | None, typer.Option("--id", help="Workflow ID of the fork; the default is made of the old one.")] = None,
    reason: Reason = "",
    by: By = None,
    tenant: link.Tenant = None,
    as_json: link.Json = False,
) -> None:
    """Begin a new run at a point of one that has ended; the old one and what it did stay untouched."""
    settings = link.settings()
    tenant = tenant or settings.tenant
    try:
        given = link.run(_fork(settings, tenant, run, at, bundle, id, by, reason))
    except AlreadyRunning as error:
        link.fail(str(error), link.REFUSED)
    if as_json:
        screen.print_json(given)
        return
    kept = f"{', '.join(given['kept'])} {'is' if len(given['kept']) == 1 else 'are'} kept" if given["kept"] else "nothing is kept"
    look = link.command("show", given["workflow_id"], tenant=tenant)
    screen.show(f"forked {given['from']} at {at} as {given['workflow_id']}; {kept}; `{look}` tells how it is")


def _word(by: str | None, reason: str) -> Word:
    return Word(by=by or getpass.getuser(), reason=reason)


def _say(result: Operated, *, as_json: bool) -> None:
    if as_json:
        screen.print_json(result.model_dump(include={"accepted", "changed", "message"}))
    elif result.accepted:
        screen.show(screen.styled(result.message, "green" if result.changed else ""))
    if not result.accepted:
        link.fail(result.message, link.REFUSED)


def _changed(name: str, run: str, by: str | None, reason: str, tenant: str | None) -> Operated:
    settings = link.settings()
    return link.run(_change(settings, tenant or settings.tenant, name, run, by, reason))


async def _change(settings: Settings, tenant: str, name: str, run: str, by: str | None, reason: str) -> Operated:
    change, word = operations.pause if name == "pause" else operations.resume, _word(by, reason)
    async with link.database(settings) as database:
        row = await link.find_run(database, tenant, run)
        async with database.transaction(tenant) as tx:
            result = await change(tx, row.lineage, word, channel=CHANNEL)
        await _settled(settings, database, tenant, row, name, word, result)
    return result


async def _settled(settings: Settings, database: Database, tenant: str, run: RunRow, name: str, word: Word, result: Operated) -> None:
    """Wake the run at once, or put a refusal on record."""
    if result.accepted:
        await wake(settings, database, tenant)
        return
    async with database.transaction(tenant) as tx:
        body = {"event": "refused", "signal": name, "why": result.message, "channel": CHANNEL, **word.model_dump()}
        await records.append(tx, f"{run.lineage}/refused/{secrets.token_hex(8)}", "access", run.lineage, None, body)


async def _cancel(settings: Settings, tenant: str, run: str, by: str | None, reason: str, ending: str | None) -> Operated:
    word = _word(by, reason)
    async with link.database(settings) as database:
        row = await link.find_run(database, tenant, run)
        client = await link.temporal(settings)
        async with database.transaction(tenant) as tx:
            result = await operations.cancel(tx, row.lineage, word, channel=CHANNEL, ending=ending)
        await _settled(settings, database, tenant, row, "cancel", word, result)
    if result.accepted:
        try:
            # A second time too: should the first have ended between the row and this, the run still waits for it. It is for this
            # run only, and not for a later one of the same workflow ID.
            await client.get_workflow_handle(row.workflow_id, first_execution_run_id=row.lineage).cancel()
        except RPCError as error:
            if error.status != RPCStatusCode.NOT_FOUND:
                raise
            raise PerdureError(f"Temporal has no {row.workflow_id} under way (any more): `starter.py reconcile` settles its row") from None
    return result


async def _retry(settings: Settings, tenant: str, run: str, step: str, by: str | None, reason: str) -> Operated:
    word, claim = StepWord(by=by or getpass.getuser(), reason=reason, step=step), secrets.token_hex(8)
    async with link.database(settings) as database:
        row = await link.find_run(database, tenant, run)
        async with database.transaction(tenant) as tx:
            result = await operations.retry(tx, row.lineage, word, channel=CHANNEL, claim=claim)
        if result.open:
            client = await link.temporal(settings)
            result = await at_once(database, client, tenant, row, word, result, channel=CHANNEL, claim=claim)
        await _settled(settings, database, tenant, row, "retry", word, result)
    return result


async def _fork(
    settings: Settings, tenant: str, run: str, at: str, bundle: str | None, id: str | None, by: str | None, reason: str
) -> dict[str, Any]:
    word = _word(by, reason)
    async with link.database(settings) as database:
        row = await link.find_run(database, tenant, run)
        point, hash = await _point(database, tenant, row, at, bundle)
        kind = names.PATTERNS[(await Bundles(database).get(tenant, hash or row.bundle)).settings.pattern]
    fork = Fork(lineage=row.lineage, step=at, bundle=hash, reason=word.reason)
    request = StartRequest(automation=row.automation, tenant=tenant, starter=word.by, fork=fork)
    workflow_id = id or f"{row.workflow_id}-fork-{secrets.token_hex(3)}"
    client = await link.temporal(settings)
    try:
        handle = await client.start_workflow(kind, request, id=workflow_id, task_queue=settings.task_queue)
    except WorkflowAlreadyStartedError:
        raise AlreadyRunning(f"{workflow_id} is running already; another --id starts another fork") from None
    named = {"workflow_id": handle.id, "run_id": handle.first_execution_run_id, "from": row.workflow_id}
    return {**named, "kept": point.kept, "again": point.again}


async def _point(database: Database, tenant: str, row: RunRow, at: str, bundle: str | None) -> tuple[Point, str | None]:
    """Look at what the start will ask for, so that a wrong step or bundle is told at once. Raises: BadInput."""
    async with database.transaction(tenant) as tx:
        point = await lineage.point(tx, row, at)
        hash = await bundles.named(tx, row.automation, bundle) if bundle else None
    if hash is not None:
        (await Bundles(database).get(tenant, hash)).check_input(row.input)
    return point, hash
