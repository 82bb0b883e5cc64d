"""`reconcile`: compare the ledger with Temporal now, or have a Schedule do it."""

from datetime import timedelta
from typing import Annotated

import typer
from pydantic import TypeAdapter, ValidationError
from temporalio.client import (
    Client,
    Schedule,
    ScheduleActionStartWorkflow,
    ScheduleAlreadyRunningError,
    ScheduleIntervalSpec,
    ScheduleOverlapPolicy,
    SchedulePolicy,
    ScheduleSpec,
    ScheduleUpdate,
)
from temporalio.service import RPCError, RPCStatusCode

from activities.reconcile import Reconciling
from activities.services import services
from channels.cli import link, screen
from channels.cli.approvals import wake
from contracts import names
from contracts.errors import BadInput
from contracts.upkeep import ReconcileRequest, ReconcileResult
from settings import Settings

EVERY = timedelta(minutes=5)
"""How often the one-machine stack compares."""
LEAST, MOST = timedelta(seconds=10), timedelta(days=30)
SHOWN = 40


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("reconcile")(reconcile)


def reconcile(
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be done, and do nothing.")] = False,
    lost: Annotated[bool, typer.Option("--lost", help="Temporal's database was lost: close the runs it does not know.")] = False,
    restored: Annotated[bool, typer.Option("--restored", help="Postgres is from a backup: note what Temporal knows beyond it.")] = False,
    every: Annotated[str | None, typer.Option("--every", metavar="PT5M", help="Have a Schedule do it so often; `never` ends that.")] = None,
    tenant: link.Tenant = None,
    as_json: link.Json = False,
) -> None:
    """Compare what the ledger has open with Temporal, and close it, undo it, or ask a person; exits with 1 if something was refused."""
    settings = link.settings()
    tenant = tenant or settings.tenant
    if every is not None:
        given = [flag for flag, on in (("--dry-run", dry_run), ("--lost", lost), ("--restored", restored)) if on]
        if given:
            link.fail(f"--every and {given[0]} exclude each other: a Schedule compares and settles, and {given[0]} is for a person, once")
        screen.show(link.run(_scheduled(settings, tenant, every)))
        return
    request = ReconcileRequest(tenant=tenant, dry_run=dry_run, lost=lost, restored=restored)
    result = link.run(_compared(settings, request))
    if as_json:
        screen.print_json(result.model_dump())
    else:
        _show(result)
    if any(found.kind == "refused" for found in result.findings):
        raise typer.Exit(link.REFUSED)


def _show(result: ReconcileResult) -> None:
    if result.findings:
        rows = [(found.run, found.kind, screen.line(found.what, 300), screen.line(found.done, 300)) for found in result.findings]
        screen.show(screen.table(("run", "what", "found", "done"), rows, whole=3))
    rest = f", the first {len(result.findings)} of them above" if result.count > len(result.findings) else ""
    screen.show(f"{result.runs} runs under way, {result.count} findings{rest}")


async def _compared(settings: Settings, request: ReconcileRequest) -> ReconcileResult:
    client = await link.temporal(settings)
    async with link.database(settings) as database:
        result = await Reconciling(services(settings, database), client, settings.task_queue).compare(request)
        if not request.dry_run:
            await wake(settings, database, request.tenant)
    return result


async def _scheduled(settings: Settings, tenant: str, every: str) -> str:
    if every == "never":
        return await _unschedule(await link.temporal(settings), tenant)
    interval = _interval(every)
    await schedule(await link.temporal(settings), settings.task_queue, tenant, interval)
    return f"the Schedule {schedule_id(tenant)} compares every {interval}"


def _interval(every: str) -> timedelta:
    try:
        interval = TypeAdapter(timedelta).validate_python(every)
    except ValidationError:
        raise BadInput(f"--every {screen.line(every, SHOWN)!r} is no length of time; right is PT5M for five minutes, or `never`") from None
    if interval < LEAST:
        raise BadInput(f"--every {screen.line(every, SHOWN)} is too often: PT10S is the least")
    if interval > MOST:
        raise BadInput(f"--every {screen.line(every, SHOWN)} is too seldom: P30D is the most")
    return interval


def schedule_id(tenant: str) -> str:
    """Return the name of a tenant's Schedule."""
    return f"perdure-reconcile-{tenant}"


async def schedule(client: Client, task_queue: str, tenant: str, every: timedelta) -> None:
    """Make the Schedule that compares so often, or change the one there is."""
    made = Schedule(
        action=ScheduleActionStartWorkflow(
            names.RECONCILE_ALL, ReconcileRequest(tenant=tenant), id=schedule_id(tenant), task_queue=task_queue
        ),
        spec=ScheduleSpec(intervals=[ScheduleIntervalSpec(every=every)]),
        policy=SchedulePolicy(overlap=ScheduleOverlapPolicy.SKIP),
    )
    try:
        await client.create_schedule(schedule_id(tenant), made)
    except ScheduleAlreadyRunningError:
        await client.get_schedule_handle(schedule_id(tenant)).update(lambda _: ScheduleUpdate(schedule=made))


async def _unschedule(client: Client, tenant: str) -> str:
    try:
        await client.get_schedule_handle(schedule_id(tenant)).delete()
    except RPCError as error:
        if error.status != RPCStatusCode.NOT_FOUND:
            raise
        return "there was no Schedule"
    return f"the Schedule {schedule_id(tenant)} is gone"
