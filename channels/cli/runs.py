"""Commands about runs: start one, list them, show one, and say why."""

import asyncio
import dataclasses
import getpass
from contextlib import suppress
from datetime import UTC, datetime
from typing import Annotated, Any

import typer
from rich.markup import escape
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.table import Table
from temporalio.client import Client, WorkflowExecutionDescription, WorkflowFailureError
from temporalio.service import RPCError, RPCStatusCode

from channels import explain
from channels.cli import link
from channels.explain import Explained
from contracts import names
from contracts.errors import BadInput
from contracts.runs import StartRequest
from database import Database
from ledger import runs
from policies import bundles
from policies.automation import Automation
from settings import Settings

COLORS = {
    "done": "green",
    "completed": "green",
    "running": "cyan",
    "failed": "red",
    "denied": "red",
    "unknown": "red",
    "needs_approval": "yellow",
}


def register(app: typer.Typer) -> None:
    """Add the commands."""
    for name, command in (("run", start), ("list", list_runs), ("show", show), ("why", why)):
        app.command(name)(command)


def start(
    automation: Annotated[str, typer.Argument(help="A folder of automations/ that was applied.")],
    input: Annotated[str, typer.Option("--input", help="JSON object, as the automation's `input` wants it.")] = "{}",
    id: Annotated[str | None, typer.Option("--id", help="Workflow ID; the default is made of name and time.")] = None,
    wait: Annotated[bool, typer.Option("--wait", help="Wait for the end and show it.")] = False,
    tenant: link.Tenant = None,
    as_json: link.Json = False,
) -> None:
    """Start a run of an automation."""
    settings = Settings()
    given = link.run(start_run(settings, tenant or settings.tenant, automation, link.json_object(input, "--input"), id))
    if as_json and not wait:
        link.print_json(given)
    elif not wait:
        link.OUT.print(f"started [bold]{given['workflow_id']}[/]; `starter.py show {given['workflow_id']}` tells how it is")
    else:
        link.run(_watch(settings, tenant or settings.tenant, given["workflow_id"]))
        show(given["workflow_id"], tenant, as_json=as_json)


async def start_run(settings: Settings, tenant: str, automation: str, input: dict[str, Any], id: str | None = None) -> dict[str, Any]:
    """Start a run and return its ``workflow_id`` and ``run_id``. Raises: BadInput for an unknown automation."""
    async with link.database(settings) as database:
        kind = names.PATTERNS[(await _live(database, tenant, automation)).pattern]
    client = await link.temporal(settings)
    workflow_id = id or f"{automation}-{datetime.now(UTC):%Y%m%d-%H%M%S-%f}"[:-3]
    request = StartRequest(automation=automation, input=input, tenant=tenant, starter=getpass.getuser())
    handle = await client.start_workflow(kind, request, id=workflow_id, task_queue=settings.task_queue)
    return {"workflow_id": handle.id, "run_id": handle.first_execution_run_id}


async def _live(database: Database, tenant: str, automation: str) -> Automation:
    async with database.transaction(tenant) as tx:
        hash = await bundles.live(tx, automation)
        known = await bundles.applied(tx)
    if hash is None:
        raise BadInput(f"there is no automation {automation!r}; there are: {', '.join(known) or 'none'} (`starter.py apply NAME` adds one)")
    return (await bundles.Bundles(database).get(tenant, hash)).settings


async def _watch(settings: Settings, tenant: str, workflow_id: str) -> None:
    """Show what the run does until it has ended."""
    client = await link.temporal(settings)
    ending = asyncio.ensure_future(_ended(client, workflow_id))
    with Progress(SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn(), console=link.ERR, transient=True) as lines:
        line = lines.add_task("opening", total=None)
        async with link.database(settings) as database:
            while not ending.done():
                lines.update(line, description=await _doing(database, tenant, workflow_id))
                await asyncio.wait([ending], timeout=0.5)
    await ending


async def _ended(client: Client, workflow_id: str) -> None:
    with suppress(WorkflowFailureError):
        await client.get_workflow_handle(workflow_id).result()


async def _doing(database: Database, tenant: str, workflow_id: str) -> str:
    async with database.transaction(tenant) as tx:
        run = await runs.find(tx, workflow_id)
        if run is None:
            return "opening"
        found = await explain.explain(tx, run)
    ended = sum(step.ended_at is not None for step in found.steps)
    waits = f", {len(found.waiting)} wait for a person" if found.waiting else ""
    return f"{ended} of {len(found.steps)} steps{waits}" if found.steps else "deciding"


def list_runs(
    status: Annotated[str | None, typer.Option("--status", help="running, completed, failed or cancelled.")] = None,
    limit: Annotated[int, typer.Option("--limit", min=1, max=1000)] = 20,
    tenant: link.Tenant = None,
    as_json: link.Json = False,
) -> None:
    """List runs, newest first."""
    settings = Settings()
    found = link.run(_list(settings, tenant or settings.tenant, status, limit))
    if as_json:
        link.print_json([dataclasses.asdict(row) for row in found])
        return
    table = Table("workflow id", "automation", "status", "started", "summary", box=None)
    for row in found:
        table.add_row(
            row.workflow_id, row.automation, _colored(row.status), f"{row.started_at:%Y-%m-%d %H:%M:%S}", escape(row.summary[:80])
        )
    link.OUT.print(table)


async def _list(settings: Settings, tenant: str, status: str | None, limit: int) -> list[runs.RunRow]:
    async with link.database(settings) as database, database.transaction(tenant) as tx:
        return await runs.latest(tx, status=status, limit=limit)


Named = Annotated[str, typer.Argument(metavar="RUN", help="Workflow ID or lineage.")]


def show(run: Named, tenant: link.Tenant = None, as_json: link.Json = False) -> None:
    """Show where a run stands: steps, what waits for a person, what was refused."""
    settings = Settings()
    found, notes = link.run(_show(settings, tenant or settings.tenant, run))
    if as_json:
        link.print_json({**_data(found), "notes": notes} if found else {"run": None, "notes": notes})
    elif found:
        _print(found)
    for note in notes:
        link.OUT.print(f"[yellow]{escape(note)}[/]")


async def _show(settings: Settings, tenant: str, name: str) -> tuple[Explained | None, list[str]]:
    try:
        found = await _explained(settings, tenant, name)
    except BadInput as missing:
        # One that Temporal knows and the ledger does not never opened: Temporal has the reason.
        if notes := await _temporal_notes(settings, name):
            return None, notes
        raise missing from None
    return found, await _temporal_notes(settings, found.run.workflow_id) if found.run.status == "running" else []


async def _temporal_notes(settings: Settings, workflow_id: str) -> list[str]:
    """Return what only Temporal knows: why a run did not open, and which calls are being tried again."""
    handle = (await link.temporal(settings)).get_workflow_handle(workflow_id)
    try:
        description = await handle.describe()
        return _retries(description) if description.close_time is None else [await _end(handle, description)]
    except RPCError as error:
        if error.status != RPCStatusCode.NOT_FOUND:
            raise
        return []


async def _end(handle: Any, description: WorkflowExecutionDescription) -> str:
    ended = description.status.name.lower() if description.status else "ended"
    try:
        await handle.result()
    except Exception as error:
        return f"{description.id} {ended}: {getattr(error, 'cause', None) or error}"
    return f"{description.id} {ended}"


def _retries(description: WorkflowExecutionDescription) -> list[str]:
    waiting = [item for item in description.raw_description.pending_activities if item.attempt > 1 and item.last_failure.message]
    return [f"{item.activity_type.name} is at attempt {item.attempt}; the last one said: {item.last_failure.message}" for item in waiting]


def why(run: Named, tenant: link.Tenant = None, as_json: link.Json = False) -> None:
    """Print a run as a timeline: who and what decided, read, allowed, approved, did, and what it cost."""
    settings = Settings()
    found = link.run(_explained(settings, tenant or settings.tenant, run))
    if as_json:
        link.print_json(_data(found))
        return
    link.OUT.print(_headline(found))
    for moment in found.timeline:
        link.OUT.print(f"{moment.at:%H:%M:%S.%f}"[:-3] + f"  [bold]{escape(moment.step or ''):16}[/] {escape(moment.text)}")


async def _explained(settings: Settings, tenant: str, name: str) -> Explained:
    async with link.database(settings) as database:
        run = await link.find_run(database, tenant, name)
        async with database.transaction(tenant) as tx:
            return await explain.explain(tx, run)


def _data(found: Explained) -> dict[str, Any]:
    money = {"limit_micros": found.limit, "reserved_micros": found.reserved, "spent_micros": found.spent}
    rows = {"steps": found.steps, "requests": found.requests, "timeline": found.timeline}
    return {
        "run": dataclasses.asdict(found.run),
        **money,
        **{name: [dataclasses.asdict(row) for row in group] for name, group in rows.items()},
    }


def _headline(found: Explained) -> str:
    run = found.run
    spent = f"{explain.dollars(found.spent)} of {explain.dollars(found.limit)}"
    head = f"[bold]{run.workflow_id}[/] {_colored(run.status)}  {run.automation} {run.bundle[:12]}  spent {spent}"
    return f"{head}\n{escape(run.summary)}".rstrip()


def _print(found: Explained) -> None:
    link.OUT.print(_headline(found))
    table = Table("step", "tool", "status", "detail", box=None)
    for step in found.steps:
        table.add_row(step.step, step.tool, _colored(step.status), escape(step.detail[:120]))
    link.OUT.print(table)
    for request in found.waiting:
        link.OUT.print(f"[yellow]waits[/] {request.id}: {escape(request.tool)} for {', '.join(request.groups)}, {escape(request.reason)}")
    for refusal in found.refusals:
        link.OUT.print(f"[red]{escape(refusal.text)}[/] at {refusal.at:%H:%M:%S}")


def _colored(status: str) -> str:
    return f"[{COLORS.get(status, 'dim')}]{status}[/]"
