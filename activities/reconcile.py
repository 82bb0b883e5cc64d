"""`reconcile`: the ledger is compared with Temporal, and what nobody works on any more is closed, undone or asked about."""

import asyncio
from dataclasses import dataclass, field

from temporalio import activity
from temporalio.client import Client, WorkflowExecutionStatus
from temporalio.service import RPCError, RPCStatusCode

from activities.restore import Restoring
from activities.services import Services
from activities.undo_workflow import alive, order_name, start_undo
from contracts import names
from contracts.approvals import Wake
from contracts.effects import UndoStart
from contracts.errors import BadInput
from contracts.upkeep import Finding, ReconcileRequest, ReconcileResult
from database import Database
from ledger import approvals, effects, orders, outbox, records, runs, steps, upkeep
from ledger.orders import Order
from ledger.runs import RunRow

AT_ONCE = 20
SHOWN = 100
GRACE = 60.0
"""Seconds for which a run that has just ended, or a word that was just given, is left to those who are at it."""
ENDS = {
    WorkflowExecutionStatus.COMPLETED: "completed",
    WorkflowExecutionStatus.CANCELED: "cancelled",
}
"""How Temporal shows an end -> the run's status; every other end is a failure."""


@dataclass(frozen=True, slots=True)
class Standing:
    """How Temporal knows a run: alive, or ended in its words; neither where it does not know it at all."""

    alive: bool = False
    ended: WorkflowExecutionStatus | None = None

    @property
    def known(self) -> bool:
        """Whether Temporal knows the run."""
        return self.alive or self.ended is not None


class Reconciling:
    """Compares and settles, for one tenant."""

    def __init__(self, services: Services, client: Client, task_queue: str) -> None:
        self._services = services
        self._client = client
        self._task_queue = task_queue

    @activity.defn(name=names.RECONCILE)
    async def reconcile(self, request: ReconcileRequest) -> ReconcileResult:
        """Compare, and settle what does not agree. Safe to retry: each finding is settled in a transaction of its own, once."""
        return await self.compare(request)

    async def compare(self, request: ReconcileRequest) -> ReconcileResult:
        """Compare, and settle what does not agree, whoever asks."""
        work = Comparison(self._services, self._client, self._task_queue, request)
        return await work.run()


@dataclass
class Comparison:
    """One comparison. ``found`` is what did not agree so far."""

    services: Services
    client: Client
    task_queue: str
    request: ReconcileRequest
    found: list[Finding] = field(default_factory=list[Finding])

    @property
    def database(self) -> Database:
        """The pool."""
        return self.services.database

    @property
    def tenant(self) -> str:
        """Whose ledger it is."""
        return self.request.tenant

    async def run(self) -> ReconcileResult:
        """Compare everything, and return what was found."""
        async with self.database.transaction(self.tenant) as tx:
            under_way = await upkeep.running(tx)
        if self.request.restored:
            self.found += await Restoring(self.services, self.client, self.request, self.task_queue).run(under_way)
            async with self.database.transaction(self.tenant) as tx:
                under_way = await upkeep.running(tx)
        standings = await self._standings(under_way)
        gone = [row for row in under_way if not standings[row.lineage].known]
        if gone and not self.request.lost and not await self._knows_any():
            self._note(
                "refused", gone[0], f"Temporal knows none of the {len(gone)} runs under way, nor any earlier one",
                "nothing: if its database was lost say --lost; else it is another server or namespace than theirs",
            )  # fmt: skip
        else:
            for row in under_way:
                if not (standing := standings[row.lineage]).alive:
                    await self._close(row, standing)
        await self._effects()
        await self._reservations()
        await self._requests()
        await self._wakes()
        return ReconcileResult(runs=len(under_way), count=len(self.found), findings=tuple(self.found[:SHOWN]))

    async def _standings(self, rows: list[RunRow]) -> dict[str, Standing]:
        gate = asyncio.Semaphore(AT_ONCE)

        async def one(row: RunRow) -> Standing:
            async with gate:
                return await standing(self.client, row)

        return dict(zip([row.lineage for row in rows], await asyncio.gather(*(one(row) for row in rows)), strict=True))

    async def _knows_any(self) -> bool:
        async with self.database.transaction(self.tenant) as tx:
            rows = await upkeep.recent(tx)
        return any(found.known for found in (await self._standings(rows)).values())

    async def _close(self, row: RunRow, standing: Standing) -> None:
        """End the row of a run that Temporal has ended, or does not know, and undo what it did where its bundle says so."""
        status = ENDS.get(standing.ended, "failed") if standing.ended else "failed"
        how = f"{standing.ended.name.lower()} in Temporal, from outside" if standing.ended else "Temporal does not know it any more"
        order = None
        if status != "completed":
            order = await self._left(row, f"{how}; found by reconcile")
        if not self.request.dry_run:
            async with self.database.transaction(self.tenant) as tx:
                if not await runs.close(tx, row.lineage, status, f"{how}; closed by reconcile"):
                    return
                await approvals.cancel_open(tx, row.lineage)
                await steps.skip_open(tx, row.lineage, "the run was ended from outside")
                await upkeep.lose(tx, row.lineage)
                body = {"event": status, "summary": how, "by": "reconcile", "build": self.services.build}
                await records.append(tx, f"{row.lineage}/closed", "configuration", row.lineage, None, body)
                if order:
                    # With the end itself: what breaks off between here and its undo is found by the next comparison.
                    await orders.put(tx, order)
        self._note("run", row, how, f"closed as {status}")
        if order:
            await self._begin(row, order)

    async def _left(self, row: RunRow, why: str) -> Order | None:
        """Return the order that what an ended run left behind calls for, by what a person said, else by its bundle."""
        bundle = await self.services.bundles.get(self.tenant, row.bundle)
        keeps = (row.ending or bundle.settings.on_failure) != "undo" or row.status == "completed"
        async with self.database.transaction(self.tenant) as tx:
            found = await effects.undoable(tx, row.lineage)
        about = [effect for effect in found if effect.state != "done" or not keeps]
        return Order(row.lineage, order_name(), by="reconcile", reason=why, unseen=keeps) if about else None

    async def _begin(self, row: RunRow, order: Order) -> None:
        done = "looked up, and left as it is" if order.unseen else "an undo takes it back, or asks a person"
        if not self.request.dry_run:
            start = UndoStart(tenant=self.tenant, lineage=row.lineage, order=order.name)
            try:
                await start_undo(self.client, self.task_queue, start)
            except BadInput as error:
                self._note("refused", row, "effects were left behind, and their undo could not be started", str(error))
                return
        self._note("effect", row, "effects were left behind", done)

    async def _effects(self) -> None:
        """Order what ended runs left behind to be settled, and begin again with orders that nobody carries out."""
        async with self.database.transaction(self.tenant) as tx:
            behind = [await runs.read(tx, lineage) for lineage in await upkeep.left_behind(tx, GRACE)]
            forgotten = [await runs.read(tx, lineage) for lineage in await orders.forgotten(tx, GRACE)]
        for row in behind:
            if row and (order := await self._left(row, "left behind; found by reconcile")):
                if not self.request.dry_run:
                    async with self.database.transaction(self.tenant) as tx:
                        await orders.put(tx, order)
                await self._begin(row, order)
        for row in forgotten:
            if row and not await alive(self.client, names.undo_id(row.lineage)):
                async with self.database.transaction(self.tenant) as tx:
                    given = await orders.open_orders(tx, row.lineage)
                for order in given[:1]:
                    await self._begin(row, order)

    async def _reservations(self) -> None:
        async with self.database.transaction(self.tenant) as tx:
            for lineage in await upkeep.left_started(tx):
                if row := await runs.read(tx, lineage):
                    self._note("reservation", row, "a model call was begun, and nobody saw it end", "booked as lost, at its worst case")
                    if not self.request.dry_run:
                        await upkeep.lose(tx, lineage)

    async def _requests(self) -> None:
        """Cancel the open requests of ended runs for which no undo waits."""
        async with self.database.transaction(self.tenant) as tx:
            left = await upkeep.left_open(tx)
        for request in left:
            if request["question"] == "undo" and await alive(self.client, request["workflow_id"]):
                continue
            async with self.database.transaction(self.tenant) as tx:
                row = await runs.read(tx, request["lineage"])
                if row is None:
                    continue
                again = f"; `starter.py undo {row.workflow_id}` asks again" if request["question"] == "undo" else ""
                self._note("request", row, f"{request['id']} is open, and nobody waits for it", f"cancelled{again}")
                if not self.request.dry_run:
                    await upkeep.cancel(tx, request["id"])

    async def _wakes(self) -> None:
        """Wake the runs that did not hear a word."""
        async with self.database.transaction(self.tenant) as tx:
            for waiting in await upkeep.unwoken(tx, GRACE):
                if row := await runs.read(tx, waiting["lineage"]):
                    self._note("wake", row, f"{waiting['id']} was ruled, and the run still waits", "woken")
                    if not self.request.dry_run:
                        await outbox.put(tx, waiting["workflow_id"], Wake(request=waiting["id"]))

    def _note(self, kind: str, row: RunRow, what: str, done: str) -> None:
        said = f"would be: {done}" if self.request.dry_run and kind != "refused" else done
        self.found.append(Finding.model_validate({"kind": kind, "run": row.workflow_id, "what": what, "done": said}))


async def standing(client: Client, row: RunRow) -> Standing:
    """Ask Temporal how a run stands: the chain of executions whose first is the run's lineage."""
    try:
        newest = await client.get_workflow_handle(row.workflow_id).describe()
        if (newest.raw_description.workflow_execution_info.first_run_id or newest.run_id) != row.lineage:
            # The workflow ID was used again, so this run has ended: only its own first execution can tell how.
            newest = await client.get_workflow_handle(row.workflow_id, run_id=row.lineage).describe()
    except RPCError as error:
        if error.status not in (RPCStatusCode.NOT_FOUND, RPCStatusCode.INVALID_ARGUMENT):
            raise
        return Standing()
    return Standing(alive=newest.close_time is None, ended=newest.status if newest.close_time else None)
