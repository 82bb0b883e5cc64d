"""Commands that operate one run: pause, resume, cancel, retry a step, and fork it from a point in its past."""

from typing import Annotated, Any

import typer

from channels.cli import link, screen
from channels.cli.approvals import wake
from channels.cli.terminal import CHANNEL, By, at_terminal, login
from channels.operating import AlreadyRunning, Operator
from contracts.operations import Operated, StepWord, Word
from database import Database
from policies import bundles
from settings import Settings


def register(app: typer.Typer) -> None:
    """Add the commands."""
    for name, command in (("pause", pause), ("resume", resume), ("cancel", cancel), ("retry", retry), ("fork", fork)):
        app.command(name)(command)


Run = Annotated[str, typer.Argument(metavar="RUN", help="Workflow ID or lineage.")]
Step = Annotated[str, typer.Argument(metavar="STEP", help="A step's id, as `show` prints it.")]
Reason = Annotated[str, typer.Option("--reason", help="Why; the ledger keeps it.")]


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


async def _word(settings: Settings, database: Database, tenant: str, act: str, by: str | None, reason: str) -> Word:
    said = Word(by=by or login(), reason=reason)  # Looked at first: what cannot be kept is no refusal.
    return said.model_copy(update={"by": await at_terminal(settings, database, tenant, act, by)})


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
    async with link.database(settings) as database:
        word = await _word(settings, database, tenant, name, by, reason)
        row = await link.find_run(database, tenant, run)
        operated = operator(settings, database, tenant)
        return await (operated.pause(row, word) if name == "pause" else operated.resume(row, word))


async def _cancel(settings: Settings, tenant: str, run: str, by: str | None, reason: str, ending: str | None) -> Operated:
    async with link.database(settings) as database:
        word = await _word(settings, database, tenant, "cancel", by, reason)
        row = await link.find_run(database, tenant, run)
        return await operator(settings, database, tenant).cancel(row, word, ending)


async def _retry(settings: Settings, tenant: str, run: str, step: str, by: str | None, reason: str) -> Operated:
    said = StepWord(by=by or login(), reason=reason, step=step)
    async with link.database(settings) as database:
        word = said.model_copy(update={"by": await at_terminal(settings, database, tenant, "retry", by)})
        row = await link.find_run(database, tenant, run)
        return await operator(settings, database, tenant).retry(row, word)


async def _fork(
    settings: Settings, tenant: str, run: str, at: str, bundle: str | None, id: str | None, by: str | None, reason: str
) -> dict[str, Any]:
    async with link.database(settings) as database:
        # Who forks starts a run, and who starts one may be kept from approving what it does.
        word = await _word(settings, database, tenant, "fork", by, reason)
        row = await link.find_run(database, tenant, run)
        made = await operator(settings, database, tenant).fork(row, at, word, bundle=bundle, id=id)
        async with database.transaction(tenant) as tx:
            live = await bundles.live(tx, row.automation)
    if bundle is None and live not in (None, row.bundle):
        screen.warn(
            f"it runs under {row.bundle[:12]}, as its original did; new runs get {live[:12]}, and so does `fork --bundle {live[:12]}`"
        )
    named = {"workflow_id": made.workflow_id, "run_id": made.run_id, "from": made.original}
    return {**named, "kept": made.kept, "again": made.again}


def operator(settings: Settings, database: Database, tenant: str) -> Operator:
    """Return what operates a tenant's runs from the command line."""

    async def wakes(tenant: str) -> None:
        await wake(settings, database, tenant)

    return Operator(database, lambda: link.temporal(settings), wakes, settings.task_queue, tenant, CHANNEL)
