"""`undo`: take back what a run did that has ended."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any

import typer
from temporalio.client import Client, WorkflowFailureError, WorkflowHandle

from activities.services import facts
from activities.undo_workflow import order_name, start_undo
from channels.cli import link, screen
from channels.cli.approvals import wake
from channels.cli.terminal import By, at_terminal
from contracts import names
from contracts.approvals import Pending, Wake
from contracts.effects import UndoResult, UndoStart
from contracts.errors import BadInput
from database import Database, Tx
from ledger import effects, lineage, orders, outbox, steps, testimonies
from ledger.approvals import Request
from ledger.effects import Effect
from ledger.orders import Order
from ledger.runs import RunRow
from policies.bundles import Bundle, Bundles
from settings import Settings
from tools.contract import Tool
from tools.registry import Registry

WATCHED = 60.0
"""Seconds for which the command waits; the undo itself goes on."""


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("undo")(undo)


@dataclass(frozen=True, slots=True)
class Way:
    """What undo would do about one effect. ``how`` is a sentence."""

    step: str
    tool: str
    state: str
    how: str


@dataclass(frozen=True, slots=True)
class Known:
    """One effect, and what an undo goes by. sharer: which fork shares it, if one does. last: its newest compensation.

    word: by which somebody said that it is undone already.
    """

    effect: Effect
    sharer: str
    last: Effect | None
    word: Request | None


def undo(
    run: Annotated[str, typer.Argument(metavar="RUN", help="Workflow ID or lineage of a run that has ended.")],
    since: Annotated[str | None, typer.Option("--from", metavar="STEP", help="What was done before this step stays.")] = None,
    shared: Annotated[bool, typer.Option("--shared", help="Take back what forks share too; without that word it stays.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be done, and do nothing.")] = False,
    reason: Annotated[str, typer.Option("--reason", help="Why; it is recorded.")] = "",
    by: By = None,
    tenant: link.Tenant = None,
    as_json: link.Json = False,
) -> None:
    """Undo a run that has ended, newest effect first; a person is asked about what cannot be undone by itself."""
    settings = link.settings()
    tenant = tenant or settings.tenant
    who = "" if dry_run else link.run(_who(settings, tenant, by))
    row, found = link.run(_found(settings, tenant, run, since))
    if dry_run:
        _show(link.run(_foreseen(settings, tenant, row, found, shared=shared)), as_json=as_json)
        return
    if not found:
        link.fail(f"{row.workflow_id} has nothing to undo", link.REFUSED)
    order = Order(row.lineage, order_name(), by=who, reason=reason, since=since, shared=shared)
    result, waiting = link.run(_undone(settings, tenant, order))
    if as_json:
        screen.print_json({"order": order.name, "result": result.model_dump() if result else None, "waiting": waiting})
    elif result:
        left = f"; left: {'; '.join(result.left)}" if result.left else ""
        screen.show(f"{len(result.undone)} undone{left}")
    elif waiting:
        asked = ", ".join(request.request for request in waiting)
        screen.show(f"a person is asked ({asked}): `{link.command('approvals', tenant=tenant)}` shows what about")
    else:
        screen.show(f"under way; `{link.command('show', row.workflow_id, tenant=tenant)}` tells how it is")
    if result and result.left:
        raise typer.Exit(link.REFUSED)


async def _found(settings: Settings, tenant: str, name: str, since: str | None) -> tuple[RunRow, list[Effect]]:
    async with link.database(settings) as database:
        row = await link.find_run(database, tenant, name)
        if row.status == "running":
            raise BadInput(
                f"{row.workflow_id} is under way: `{link.command('cancel', row.workflow_id, '--undo', tenant=tenant)}` undoes it"
            )
        async with database.transaction(tenant) as tx:
            planned = [step.step for step in await steps.of_run(tx, row.lineage)]
            if since is not None and since not in planned:
                raise BadInput(f"{row.workflow_id} has no step {since!r}; it has {', '.join(planned) or 'none'}")
            return row, await effects.undoable(tx, row.lineage, since)


async def _foreseen(settings: Settings, tenant: str, row: RunRow, found: list[Effect], *, shared: bool) -> list[Way]:
    tools = Registry(settings.automations).tools(row.automation)
    async with link.database(settings) as database:
        return await ways(database, tools, tenant, row, found, shared=shared)


async def ways(
    database: Database, tools: Mapping[str, Tool], tenant: str, row: RunRow, found: Sequence[Effect], *, shared: bool = False
) -> list[Way]:
    """Say what an undo of a run would do about each of these effects."""
    bundle = await Bundles(database).get(tenant, row.bundle)
    async with database.transaction(tenant) as tx:
        sharers = await lineage.sharers(tx, row.lineage)
        known = [await _known(tx, effect, sharers.get(effect.key, "")) for effect in found]
    return [_way(row, bundle, tools, one, tenant, shared=shared) for one in known]


async def _known(tx: Tx, effect: Effect, sharer: str) -> Known:
    earlier = await effects.undoes(tx, effect.key)
    word = await testimonies.of_undo(tx, effect.lineage, effect.step, effect.n)
    return Known(effect, sharer, earlier[-1] if earlier else None, word)


async def _who(settings: Settings, tenant: str, by: str | None) -> str:
    async with link.database(settings) as database:
        return await at_terminal(settings, database, tenant, "undo", by)


async def _undone(settings: Settings, tenant: str, order: Order) -> tuple[UndoResult | None, list[Pending]]:
    client = await link.temporal(settings)
    start = UndoStart(tenant=tenant, lineage=order.lineage, order=order.name)
    async with link.database(settings) as database:
        async with database.transaction(tenant) as tx:
            await orders.put(tx, order)
            # An undo that waits for people already takes this order up too.
            await outbox.put(tx, names.undo_id(order.lineage), Wake())
        while True:
            id = await start_undo(client, settings.task_queue, start)
            await wake(settings, database, tenant)
            found = await _watch(client, client.get_workflow_handle(id, result_type=UndoResult))
            # One that was just ending has not seen it: then another begins.
            if found[0] is None or not await _open(database, tenant, order):
                return found


async def _open(database: Database, tenant: str, order: Order) -> bool:
    async with database.transaction(tenant) as tx:
        return order.name in [given.name for given in await orders.open_orders(tx, order.lineage)]


async def _watch(client: Client, handle: WorkflowHandle[Any, UndoResult]) -> tuple[UndoResult | None, list[Pending]]:
    """Wait for the end, for a question, or for a minute."""
    ending = asyncio.ensure_future(handle.result())
    try:
        async with asyncio.timeout(WATCHED):
            while not ending.done():
                await asyncio.wait([ending], timeout=0.5)
                if not ending.done() and (waiting := await handle.query(names.PENDING, result_type=list[Pending])):
                    return None, waiting
        return await ending, []
    except TimeoutError:
        return None, []
    except WorkflowFailureError as error:
        raise BadInput(f"the undo failed: {error.cause}") from None
    finally:
        ending.cancel()


def _way(row: RunRow, bundle: Bundle, tools: Mapping[str, Tool], known: Known, tenant: str, *, shared: bool) -> Way:
    effect, tool = known.effect, tools.get(known.effect.tool)
    back = tools.get(effect.undo_with or (tool.compensate_with if tool else None) or "")
    if known.word:
        how = f"noted as undone, as {known.word.ruled_by} says that it is"
    elif back is None:
        how = "stays: it cannot be undone" if tool else "stays: its tool is gone"
    elif known.sharer and not shared:
        how = f"stays: {known.sharer}; `--shared` takes it back too"
    elif effect.state != "done":
        how = f"looked up or asked about first: nobody saw how it ended; then {back.name}"
    else:
        how = _taken_back(row, bundle, back, known, tenant) + (f", although {known.sharer}" if known.sharer else "")
    return Way(effect.step, effect.tool, effect.state, how)


def _taken_back(row: RunRow, bundle: Bundle, back: Tool, known: Known, tenant: str) -> str:
    """Say how what was done would be taken back, by the rules and by what became of it so far."""
    last = known.last
    if last and last.state == "done":
        return f"noted as undone: {back.name} was called"
    arguments = last.arguments if last else back.undo_arguments(known.effect.output or {})
    call = f"{back.name}({', '.join(f'{name}={value!r}' for name, value in arguments.items())})"
    if last and last.state != "failed":
        return call if last.released else f"looked up or asked about first: nobody saw how it ended; then {call}"
    about = facts(back, arguments, tenant=tenant, automation=row.automation, input=row.input, taint=[], left=0)
    judged = bundle.rules.judge(about)
    if judged.outcome == "deny":
        return f"stays: {back.name}: {judged.because}"
    asks = f"{back.name} failed: {last.detail}" if last else judged.because if judged.outcome != "allow" else ""
    return f"a person is asked first ({asks}); then {call}" if asks else call


def _show(ways: list[Way], *, as_json: bool) -> None:
    if as_json:
        screen.print_json(ways)
        return
    rows = [(way.step, way.tool, screen.colored(way.state), screen.line(way.how, 300)) for way in ways]
    screen.show(screen.table(("step", "tool", "state", "would be"), rows, whole=3) if rows else "there is nothing to undo")
