"""Commands for people who rule: what waits, approve, reject."""

import dataclasses
import getpass
import json
import uuid
from typing import Annotated

import typer
from rich.markup import escape
from rich.panel import Panel
from rich.table import Table

from activities.sweeper import sender
from channels.cli import link
from contracts.approvals import RuleResult, Ruling, Verdict
from ledger import approvals, outbox, records
from ledger.approvals import Request
from settings import Settings

CHANNEL = "cli"
SHOWN = 1500  # characters of one argument


def register(app: typer.Typer) -> None:
    """Add the commands."""
    for name, command in (("approvals", list_open), ("approve", approve), ("reject", reject)):
        app.command(name)(command)


def list_open(tenant: link.Tenant = None, as_json: link.Json = False) -> None:
    """List what waits for a person, oldest first."""
    settings = Settings()
    found = link.run(_open(settings, tenant or settings.tenant))
    if as_json:
        link.print_json([dataclasses.asdict(request) for request in found])
        return
    table = Table("request", "run", "step", "tool", "groups", "because", "until", box=None)
    for request in found:
        until = f"{request.deadline:%Y-%m-%d %H:%M} UTC"
        table.add_row(request.id, request.workflow_id, request.step, request.tool, ", ".join(request.groups), escape(request.reason), until)
    link.OUT.print(table if found else "nothing waits for a person")


async def _open(settings: Settings, tenant: str) -> list[Request]:
    async with link.database(settings) as database, database.transaction(tenant) as tx:
        return await approvals.open_requests(tx)


Id = Annotated[str, typer.Argument(metavar="ID", help="The request, as `approvals` shows it.")]
By = Annotated[str | None, typer.Option("--by", help="Who rules; the default is the login name.")]


def approve(
    id: Id,
    reason: Annotated[str, typer.Option("--reason")] = "",
    arguments: Annotated[str | None, typer.Option("--arguments", help="JSON: run these instead; the whole arguments.")] = None,
    by: By = None,
    tenant: link.Tenant = None,
) -> None:
    """Approve one request, as it is or with other arguments."""
    _say(id, "edit" if arguments else "approve", reason, by, tenant, arguments)


def reject(
    id: Id, reason: Annotated[str, typer.Option("--reason", help="Why; required.")], by: By = None, tenant: link.Tenant = None
) -> None:
    """Reject one request."""
    _say(id, "reject", reason, by, tenant, None)


def _say(id: str, verdict: Verdict, reason: str, by: str | None, tenant: str | None, arguments: str | None) -> None:
    settings = Settings()
    result = link.run(_rule(settings, tenant or settings.tenant, id, verdict, reason, by or getpass.getuser(), arguments))
    (link.OUT if result.accepted else link.ERR).print(escape(result.message), style="green" if result.accepted else "red")
    if not result.accepted:
        raise typer.Exit(1)


async def _rule(settings: Settings, tenant: str, id: str, verdict: Verdict, reason: str, by: str, arguments: str | None) -> RuleResult:
    edited = None if arguments is None else link.json_object(arguments, "--arguments")
    ruling = Ruling(request=id, verdict=verdict, by=by, reason=reason, arguments=edited)
    return await rule(settings, tenant, ruling)


async def rule(settings: Settings, tenant: str, ruling: Ruling) -> RuleResult:
    """Rule on the approval's row, record a refusal, and wake the run at once."""
    async with link.database(settings) as database:
        async with database.transaction(tenant) as tx:
            found = await approvals.read(tx, ruling.request)
            trusted = settings.one_machine and found is not None and found.unsigned
            result = await approvals.rule(tx, ruling, channel=CHANNEL, trusted=trusted)
            if not result.accepted:
                said = ruling.model_dump(mode="json", exclude={"token", "arguments"})
                body = {"event": "refused", "signal": "ruling", "why": result.message, "channel": CHANNEL, **said}
                await records.append(tx, f"{ruling.request}/refused/{uuid.uuid4()}", "access", found.lineage if found else None, None, body)
        if result.accepted:
            # The worker sweeps the outbox too; delivering now saves the person a second of waiting.
            await outbox.deliver(database, tenant, sender(await link.temporal(settings)))
    return result


def card(request: Request) -> Panel:
    """Show what would happen, rendered from the action itself and never from the model's words."""
    lines = [f"[bold]{escape(name)}[/]: {escape(_short(value))}" for name, value in request.arguments.items()]
    foot = f"because {request.reason} · digest {request.digest[:12]} · silence until {request.deadline:%Y-%m-%d %H:%M} UTC refuses"
    return Panel("\n".join(lines), title=f"{escape(request.tool)} — {request.step}", subtitle=escape(foot), title_align="left")


def _short(value: object) -> str:
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return text if len(text) <= SHOWN else f"{text[:SHOWN]}… ({len(text)} characters)"
