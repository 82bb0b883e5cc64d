"""`memory forget`: a subject is forgotten everywhere, histories included."""

import dataclasses
from typing import Annotated

import typer
from temporalio.service import RPCError

from channels import histories
from channels.cli import link, screen, tenants
from channels.cli.terminal import By
from contracts.errors import PerdureError
from memory import erasure
from memory.erasure import Erased
from settings import Settings

SHOWN = 100  # characters of a name or a message that is repeated


def forget(
    subject: Annotated[str, typer.Argument(metavar="SUBJECT", help="Who or what is to be forgotten.")],
    reason: Annotated[str, typer.Option("--reason", help="Why; it is recorded, without the name.")] = "",
    session: Annotated[list[str] | None, typer.Option("--session", help="A session that is the subject's own; may be repeated.")] = None,
    by: By = None,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    tenant: link.Tenant = None,
    as_json: link.Json = False,
) -> None:
    """Forget a subject in everything that is kept, for good."""
    settings = link.settings()
    tenant = tenant or settings.tenant
    if not yes and not typer.confirm(f"Forget {screen.line(subject, SHOWN)!r} of tenant {tenant}? It cannot be undone.", default=False):
        raise typer.Exit(link.REFUSED)
    erased, notes = link.run(_forgotten(settings, tenant, subject, reason, session or [], by))
    if as_json:
        screen.print_json({**dataclasses.asdict(erased), "complete": erased.complete, "notes": notes})
    else:
        for word, counts in (("deleted", erased.deleted), ("the name taken out of", erased.redacted)):
            screen.show(f"{word}: {', '.join(f'{count} {table}' for table, count in counts.items()) or 'nothing'}")
        for note in notes:
            screen.warn(note)
    if not erased.complete:
        raise typer.Exit(link.REFUSED)


async def _forgotten(
    settings: Settings, tenant: str, subject: str, reason: str, sessions: list[str], by: str | None
) -> tuple[Erased, list[str]]:
    who = await tenants.allowed(settings, tenant, "forget", by)
    async with tenants.reading(settings, tenant) as tx:
        erased = await erasure.forget(tx, subject, reason, who, sessions=sessions)
    notes = [
        f"{run.workflow_id} still runs and is left as it is: forget the subject again when it has ended"
        for run in erased.runs
        if run.running
    ]
    ended = [run for run in erased.runs if not run.running]
    try:
        client = await link.temporal(settings) if ended else None
        for run in ended:
            if client:
                await histories.delete(client, run.workflow_id, run.lineage)
    except (PerdureError, RPCError) as error:
        notes.append(f"histories of {len(ended)} runs are not deleted, and go after the server's retention: {screen.line(error, SHOWN)}")
    return erased, notes
