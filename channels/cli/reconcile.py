"""`reconcile`: compare the ledger with Temporal now, or have a Schedule do it."""

from datetime import timedelta
from typing import Annotated

import typer
from temporalio.client import Client

from activities.reconcile import Reconciling
from activities.services import services
from channels.cli import link, schedules, screen
from channels.cli.approvals import wake
from channels.cli.terminal import By, at_terminal
from contracts import names
from contracts.upkeep import ReconcileRequest, ReconcileResult
from settings import Settings

EVERY = timedelta(minutes=5)
"""How often the one-machine stack compares."""


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("reconcile")(reconcile)


def reconcile(
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be done, and do nothing.")] = False,
    lost: Annotated[bool, typer.Option("--lost", help="Temporal's database was lost: close the runs it does not know.")] = False,
    restored: Annotated[bool, typer.Option("--restored", help="Postgres is from a backup: note what Temporal knows beyond it.")] = False,
    every: Annotated[str | None, typer.Option("--every", metavar="PT5M", help="Have a Schedule do it so often; `never` ends that.")] = None,
    by: By = None,
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
        screen.show(link.run(_scheduled(settings, tenant, every, by)))
        return
    request = ReconcileRequest(tenant=tenant, dry_run=dry_run, lost=lost, restored=restored)
    result = link.run(_compared(settings, request, by))
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


async def _compared(settings: Settings, request: ReconcileRequest, by: str | None) -> ReconcileResult:
    client = await link.temporal(settings)
    async with link.database(settings) as database:
        if not request.dry_run:
            await at_terminal(settings, database, request.tenant, "reconcile", by)
        result = await Reconciling(services(settings, database), client, settings.task_queue).compare(request)
        if not request.dry_run:
            await wake(settings, database, request.tenant)
    return result


async def _scheduled(settings: Settings, tenant: str, every: str, by: str | None) -> str:
    interval = None if every == schedules.NEVER else schedules.interval(every)
    async with link.database(settings) as database:
        await at_terminal(settings, database, tenant, "reconcile", by)
    client, id = await link.temporal(settings), schedule_id(tenant)
    if interval is None:
        return f"the Schedule {id} is gone" if await schedules.remove(client, id) else "there was no Schedule"
    await schedule(client, settings.task_queue, tenant, interval)
    return f"the Schedule {id} compares every {interval}"


def schedule_id(tenant: str) -> str:
    """Return the name of a tenant's Schedule."""
    return f"perdure-reconcile-{tenant}"


async def schedule(client: Client, task_queue: str, tenant: str, every: timedelta) -> None:
    """Make the Schedule that compares so often, or change the one there is."""
    await schedules.put(client, schedule_id(tenant), names.RECONCILE_ALL, ReconcileRequest(tenant=tenant), task_queue, every)
