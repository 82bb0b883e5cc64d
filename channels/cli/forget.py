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
    also: Annotated[
        list[str] | None,
        typer.Option("--also", metavar="SPELLING", help="What else they are called: in other letters, by an address; may be repeated."),
    ] = None,
    reason: Annotated[str, typer.Option("--reason", help="Why; it is recorded, without the name.")] = "",
    session: Annotated[list[str] | None, typer.Option("--session", help="A session that is the subject's own; may be repeated.")] = None,
    by: By = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Count what would go, for each spelling, and change nothing.")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    tenant: link.Tenant = None,
    as_json: link.Json = False,
) -> None:
    """Forget a subject in everything that is kept, for good.

    Its words are found in any order (`Quimby, Zelda`), in any case and as URLs, HTML and JSON escape them. Another alphabet, a short form
    and an address are other spellings: give them with `--also`.
    """
    settings = link.settings()
    tenant, also, sessions = tenant or settings.tenant, also or [], session or []
    if dry_run:
        erased = link.run(_rehearsed(settings, tenant, subject, sessions, also))
        _show(erased, [subject, *also], _running(erased), as_json=as_json, dry_run=True)
        return
    whom = " or ".join(repr(screen.line(spelling, SHOWN)) for spelling in [subject, *also])
    if not yes and not typer.confirm(f"Forget {whom} of tenant {tenant}? It cannot be undone.", default=False):
        raise typer.Exit(link.REFUSED)
    erased, notes = link.run(_forgotten(settings, tenant, subject, reason, sessions, also, by))
    _show(erased, [subject, *also], notes, as_json=as_json, dry_run=False)
    if not erased.complete:
        raise typer.Exit(link.REFUSED)


def _show(erased: Erased, spellings: list[str], notes: list[str], *, as_json: bool, dry_run: bool) -> None:
    counted = list(zip(spellings, erased.spellings, strict=True))
    if as_json:
        found = [{"spelling": spelling, **dataclasses.asdict(counts)} for spelling, counts in counted]
        said = {**dataclasses.asdict(erased), "spellings": found, "complete": erased.complete, "dry_run": dry_run, "notes": notes}
        screen.print_json(said)
        return
    for word, counts in (("deleted", erased.deleted), ("the name taken out of", erased.redacted)):
        screen.show(f"{'would be ' if dry_run and word == 'deleted' else ''}{word}: {_counts(counts)}")
    for spelling, counts in counted if len(counted) > 1 or dry_run else []:
        name = screen.line(spelling, SHOWN)
        screen.show(f"  {name}: {_counts(counts.deleted)} deleted; out of {_counts(counts.redacted)}")
    for note in notes:
        screen.warn(note)


def _counts(counts: dict[str, int]) -> str:
    return ", ".join(f"{count} {table}" for table, count in counts.items()) or "nothing"


async def _rehearsed(settings: Settings, tenant: str, subject: str, sessions: list[str], also: list[str]) -> Erased:
    async with tenants.reading(settings, tenant) as tx:
        return await erasure.rehearse(tx, subject, sessions=sessions, also=also)


async def _forgotten(
    settings: Settings, tenant: str, subject: str, reason: str, sessions: list[str], also: list[str], by: str | None
) -> tuple[Erased, list[str]]:
    who = await tenants.allowed(settings, tenant, "forget", by)
    async with tenants.reading(settings, tenant) as tx:
        erased = await erasure.forget(tx, subject, reason, who, sessions=sessions, also=also)
    notes = _running(erased)
    ended = [run for run in erased.runs if not run.running]
    try:
        client = await link.temporal(settings) if ended else None
        for run in ended:
            if client:
                await histories.delete(client, run.workflow_id, run.lineage)
    except (PerdureError, RPCError) as error:
        notes.append(f"histories of {len(ended)} runs are not deleted, and go after the server's retention: {screen.line(error, SHOWN)}")
    return erased, notes


def _running(erased: Erased) -> list[str]:
    return [
        f"{run.workflow_id} still runs and is left as it is: forget the subject again when it has ended"
        for run in erased.runs
        if run.running
    ]
