"""Commands about runs: start one, wait for it, and list them."""

import asyncio
from contextlib import suppress
from datetime import UTC, datetime
from typing import Annotated, Any, Literal

import typer
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from temporalio.client import Client, WorkflowFailureError
from temporalio.exceptions import WorkflowAlreadyStartedError

from channels import explain
from channels.cli import automations, link, screen, terminal
from channels.cli.show import show
from contracts import names
from contracts.errors import BadInput
from contracts.runs import StartRequest
from database import Database
from ledger import operations, runs
from policies import bundles
from policies.bundles import Bundle
from settings import Settings


def register(app: typer.Typer) -> None:
    """Add the commands."""
    for name, command in (("run", start), ("list", list_runs)):
        app.command(name)(command)


def start(
    automation: Annotated[str, typer.Argument(help="A folder of automations/ that was applied.")],
    input: Annotated[str, typer.Option("--input", help="JSON object, as the automation's `input` wants it.")] = "{}",
    id: Annotated[str | None, typer.Option("--id", help="Workflow ID; the default is made of name and time.")] = None,
    wait: Annotated[bool, typer.Option("--wait", help="Wait for the end and show it; exits with 1 unless it completed.")] = False,
    tenant: link.Tenant = None,
    as_json: link.Json = False,
) -> None:
    """Start a run of an automation."""
    settings = link.settings()
    tenant = tenant or settings.tenant
    try:
        given = link.run(_start(settings, tenant, automation, input, id))
    except AlreadyRunning as error:
        link.fail(str(error), link.REFUSED)
    if wait:
        status = link.run(_watch(settings, tenant, given["workflow_id"]))
        show(given["workflow_id"], tenant, as_json=as_json)
        if status != "completed":
            raise typer.Exit(link.REFUSED)
    elif as_json:
        screen.print_json(given)
    else:
        look = link.command("show", given["workflow_id"], tenant=tenant)
        screen.show(f"started {given['workflow_id']}; `{look}` tells how it is")


class AlreadyRunning(Exception):
    """A run of this workflow ID is under way."""


async def _start(settings: Settings, tenant: str, automation: str, input: str, id: str | None) -> dict[str, Any]:
    given = link.json_object(input, "--input")
    try:
        return await start_run(settings, tenant, automation, given, id)
    except WorkflowAlreadyStartedError:
        look = link.command("show", id or "", tenant=tenant)
        raise AlreadyRunning(f"{id} is running already: `{look}` tells how it is; another --id starts another run") from None


async def start_run(settings: Settings, tenant: str, automation: str, input: dict[str, Any], id: str | None = None) -> dict[str, Any]:
    """Start a run and return its ``workflow_id`` and ``run_id``.

    Raises: BadInput for an unknown automation or an input that does not fit it.
    """
    async with link.database(settings) as database:
        live = await _live(database, tenant, automation)
        starter = await terminal.named(settings, database, tenant)
    live.check_input(input)
    client = await link.temporal(settings)
    workflow_id = id or f"{automation}-{datetime.now(UTC):%Y%m%d-%H%M%S-%f}"[:-3]
    request = StartRequest(automation=automation, input=input, tenant=tenant, starter=starter)
    kind = names.PATTERNS[live.settings.pattern]
    handle = await client.start_workflow(kind, request, id=workflow_id, task_queue=settings.task_queue)
    if hint := automations.hint(settings, live):
        screen.warn(hint)
    return {"workflow_id": handle.id, "run_id": handle.first_execution_run_id}


async def _live(database: Database, tenant: str, automation: str) -> Bundle:
    if bundle := await automations.live(database, tenant, automation):
        return bundle
    async with database.transaction(tenant) as tx:
        known = await bundles.applied(tx)
    raise BadInput(f"there is no automation {automation!r}; there are: {', '.join(known) or 'none'} (`starter.py apply NAME` adds one)")


async def _watch(settings: Settings, tenant: str, workflow_id: str) -> str:
    """Tell what the run does until it has ended, and return how it did."""
    client = await link.temporal(settings)
    ending = asyncio.ensure_future(_ended(client, workflow_id))
    columns = (SpinnerColumn(), TextColumn("{task.description}", markup=False), TimeElapsedColumn())
    with Progress(*columns, console=screen.ERR, transient=True, disable=not screen.ERR.is_terminal) as lines:
        line, said = lines.add_task("opening", total=None), ""
        async with link.database(settings) as database:
            while not ending.done():
                doing = await _doing(database, tenant, workflow_id)
                lines.update(line, description=doing)
                if doing != said and not screen.ERR.is_terminal:
                    screen.ERR.print(f"{datetime.now(UTC):%H:%M:%S} {doing}")
                said = doing
                await asyncio.wait([ending], timeout=0.5)
    return await ending


async def _ended(client: Client, workflow_id: str) -> str:
    with suppress(WorkflowFailureError):
        # No type of result is asked for: how it ended is told by the ledger.
        await client.get_workflow_handle(workflow_id).result()
        return "completed"
    return "failed"


async def _doing(database: Database, tenant: str, workflow_id: str) -> str:
    async with database.transaction(tenant) as tx:
        run = await runs.find(tx, workflow_id)
        if run is None:
            return "opening"
        found = await explain.explain(tx, run)
    ended = sum(step.ended_at is not None for step in found.steps)
    slots = [step.step for step in found.steps if step.status == "waiting" and step.detail.startswith("for its slot")]
    turns = [step.step for step in found.steps if step.status == "waiting" and step.step not in slots]
    if held := operations.held(run):
        return f"{held}; `{link.command('resume', workflow_id, tenant=tenant)}` lets it go on"
    parts = [f"{ended} of {len(found.steps)} steps have ended" if found.steps else "deciding"]
    parts += [f"{len(found.waiting)} wait for a person (`{link.command('approvals', tenant=tenant)}`)"] if found.waiting else []
    parts += [f"{', '.join(slots)} wait{'s' if len(slots) == 1 else ''} for a slot"] if slots else []
    parts += [f"{', '.join(turns)} wait{'s' if len(turns) == 1 else ''} for a breaker"] if turns else []
    return ", ".join(parts)


Status = Literal["running", "completed", "failed", "cancelled"]


def list_runs(
    status: Annotated[Status | None, typer.Option("--status")] = None,
    limit: Annotated[int, typer.Option("--limit", min=1, max=1000)] = 20,
    tenant: link.Tenant = None,
    as_json: link.Json = False,
) -> None:
    """List runs, newest first."""
    settings = link.settings()
    found = link.run(_list(settings, tenant or settings.tenant, status, limit))
    if as_json:
        screen.print_json(found)
        return
    rows = [
        (
            row.workflow_id,
            screen.colored("paused" if row.paused_at and row.status == "running" else row.status),
            f"{row.started_at:%Y-%m-%d %H:%M:%S}",
            screen.line(_words(row), 200),
        )
        for row in found
    ]
    screen.show(screen.table(("workflow id", "status", "started (UTC)", "automation"), rows, whole=3) if rows else "no runs yet")


def _words(row: runs.RunRow) -> str:
    if held := operations.held(row):
        return f"{row.automation}: {held}"
    return f"{row.automation}: {row.summary}" if row.summary else row.automation


async def _list(settings: Settings, tenant: str, status: str | None, limit: int) -> list[runs.RunRow]:
    async with link.database(settings) as database, database.transaction(tenant) as tx:
        return await runs.latest(tx, status=status, limit=limit)
