"""What people do to a run, for every channel: the ledger first, then Temporal; a refusal is put on record."""

import secrets
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from temporalio.client import Client
from temporalio.exceptions import WorkflowAlreadyStartedError
from temporalio.service import RPCError, RPCStatusCode

from activities.operations import at_once
from activities.undo_workflow import order_name, start_undo
from contracts import names
from contracts.approvals import Wake
from contracts.effects import UndoStart
from contracts.errors import BadInput, PerdureError
from contracts.operations import Operated, StepWord, Word
from contracts.runs import Fork, StartRequest
from database import Database
from ledger import effects, lineage, operations, orders, outbox, refusals, steps
from ledger.effects import Effect
from ledger.lineage import Point
from ledger.orders import Order
from ledger.refusals import Refused
from ledger.runs import RunRow
from policies import bundles
from policies.bundles import Bundles

Connect = Callable[[], Awaitable[Client]]
"""Raises: StackError where Temporal cannot be reached."""
WakeUp = Callable[[str], Awaitable[None]]
"""Deliver what waits in a tenant's outbox, now or soon."""


class AlreadyRunning(Exception):
    """A run of this workflow ID is under way."""


@dataclass(frozen=True, slots=True)
class Forked:
    """A fork that was started. kept: steps it shares as done; again: steps of those windows that are open in it."""

    workflow_id: str
    run_id: str
    original: str
    kept: tuple[str, ...]
    again: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Operator:
    """One tenant's runs, as one channel operates them."""

    database: Database
    connect: Connect
    wake: WakeUp
    task_queue: str
    tenant: str
    channel: str

    async def pause(self, run: RunRow, word: Word) -> Operated:
        """Let nothing new begin in a run until it is resumed."""
        async with self.database.transaction(self.tenant) as tx:
            result = await operations.pause(tx, run.lineage, word, channel=self.channel)
        return await self._settled(run, "pause", word, result)

    async def resume(self, run: RunRow, word: Word) -> Operated:
        """Let a paused run go on."""
        async with self.database.transaction(self.tenant) as tx:
            result = await operations.resume(tx, run.lineage, word, channel=self.channel)
        return await self._settled(run, "resume", word, result)

    async def cancel(self, run: RunRow, word: Word, ending: str | None) -> Operated:
        """End a run. ending: undo or keep what it did; None leaves that to its bundle."""
        client = await self.connect()
        async with self.database.transaction(self.tenant) as tx:
            result = await operations.cancel(tx, run.lineage, word, channel=self.channel, ending=ending)
        await self._settled(run, "cancel", word, result)
        if result.accepted:
            await self._end(client, run)
        return result

    async def _end(self, client: Client, run: RunRow) -> None:
        try:
            # A second time too: should the first have ended between the row and this, the run still waits for it. It is for this
            # run only, and not for a later one of the same workflow ID.
            await client.get_workflow_handle(run.workflow_id, first_execution_run_id=run.lineage).cancel()
        except RPCError as error:
            if error.status != RPCStatusCode.NOT_FOUND:
                raise
            raise PerdureError(f"Temporal has no {run.workflow_id} under way (any more): `starter.py reconcile` settles its row") from None

    async def retry(self, run: RunRow, word: StepWord) -> Operated:
        """Try a step again: at once where its next attempt is waited for, and anew where it ended badly."""
        claim = secrets.token_hex(8)
        async with self.database.transaction(self.tenant) as tx:
            result = await operations.retry(tx, run.lineage, word, channel=self.channel, claim=claim)
        if result.open:
            client = await self.connect()
            result = await at_once(self.database, client, self.tenant, run, word, result, channel=self.channel, claim=claim)
        return await self._settled(run, "retry", word, result)

    async def fork(self, run: RunRow, at: str, word: Word, *, bundle: str | None = None, id: str | None = None) -> Forked:
        """Begin a new run at a point of one that has ended. bundle: another one's hash, which may be cut short.

        Raises: BadInput for a wrong point or bundle, AlreadyRunning where ``id`` is taken.
        """
        point, hash = await self._point(run, at, bundle)
        kind = names.PATTERNS[(await Bundles(self.database).get(self.tenant, hash or run.bundle)).settings.pattern]
        fork = Fork(lineage=run.lineage, step=at, bundle=hash, reason=word.reason)
        request = StartRequest(automation=run.automation, tenant=self.tenant, starter=word.by, fork=fork)
        workflow_id = id or f"{run.workflow_id}-fork-{secrets.token_hex(3)}"
        client = await self.connect()
        try:
            handle = await client.start_workflow(kind, request, id=workflow_id, task_queue=self.task_queue)
        except WorkflowAlreadyStartedError:
            raise AlreadyRunning(f"{workflow_id} is running already; another id starts another fork") from None
        return Forked(handle.id, handle.first_execution_run_id or "", run.workflow_id, point.kept, point.again)

    async def _point(self, run: RunRow, at: str, bundle: str | None) -> tuple[Point, str | None]:
        """Look at what the start will ask for, so that a wrong step or bundle is told at once. Raises: BadInput."""
        async with self.database.transaction(self.tenant) as tx:
            point = await lineage.point(tx, run, at)
            hash = await bundles.named(tx, run.automation, bundle) if bundle else None
        if hash is not None:
            (await Bundles(self.database).get(self.tenant, hash)).check_input(run.input)
        return point, hash

    async def undoable(self, run: RunRow, since: str | None = None) -> list[Effect]:
        """Return what an undo would take back, newest first. Raises: BadInput for a run under way or an unknown step."""
        if run.status == "running":
            raise BadInput(f"{run.workflow_id} is under way: to cancel it and undo what it did is one word, `cancel` with `undo`")
        async with self.database.transaction(self.tenant) as tx:
            planned = [step.step for step in await steps.of_run(tx, run.lineage)]
            if since is not None and since not in planned:
                raise BadInput(f"{run.workflow_id} has no step {since[:80]!r}; it has {', '.join(planned) or 'none'}")
            return await effects.undoable(tx, run.lineage, since)

    async def undo(self, run: RunRow, word: Word, since: str | None = None) -> Operated:
        """Order that what a run did be undone, and see that somebody is at it; it does not wait for the end."""
        if not await self.undoable(run, since):
            return Operated(accepted=False, changed=False, message=f"{run.workflow_id} has nothing to undo")
        client = await self.connect()
        order = Order(run.lineage, order_name(), by=word.by, reason=word.reason, since=since)
        async with self.database.transaction(self.tenant) as tx:
            await orders.put(tx, order)
            # An undo that waits for people already takes this order up too.
            await outbox.put(tx, names.undo_id(order.lineage), Wake())
        await start_undo(client, self.task_queue, UndoStart(tenant=self.tenant, lineage=order.lineage, order=order.name))
        await self.wake(self.tenant)
        return Operated(accepted=True, message=f"what {run.workflow_id} did is being undone, newest first")

    async def _settled(self, run: RunRow, name: str, word: Word, result: Operated) -> Operated:
        """Wake the run, or put a refusal on record, or count it."""
        if result.accepted:
            await self.wake(self.tenant)
            return result
        async with self.database.transaction(self.tenant) as tx:
            body = {"event": "refused", "signal": name, "why": result.message, "channel": self.channel, **word.model_dump()}
            one = Refused(body, about=run.lineage, lineage=run.lineage)
            await refusals.add(tx, f"{self.channel} orders", {word.by: [one]})
        return result
