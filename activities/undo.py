"""Undo: what a run did is taken back, newest first."""

from temporalio import activity

from activities import breakers
from activities.breakers import Open
from activities.compensation import Compensation
from activities.services import Services
from activities.undo_consent import Left
from contracts import names
from contracts.approvals import Gate
from contracts.effects import UndoRequest, UndoResult
from contracts.errors import BadInput, PermanentError
from database import Tx
from ledger import approvals, effects, orders, runs, steps
from ledger.effects import Effect
from ledger.orders import Order
from ledger.runs import RunRow

UNDONE = 2_000
"""Keys that a result names: 100 KB, once in a run. A ledger that was restored to an earlier state learns from them what it forgot."""
LEFT, ASKED = 20, 100


class Undoing:
    """The activity that takes back what a run did."""

    def __init__(self, services: Services) -> None:
        self._services = services

    @activity.defn(name=names.UNDO)
    async def undo(self, request: UndoRequest) -> UndoResult:
        """Undo the effects of the run, newest first; one that cannot be undone is left and named.

        A run under way undoes itself, when it ends badly; one that has ended is undone by an order on record, whose workflow
        waits for people where they must say. Safe to retry: what is undone is not done any more, and a compensation has a key of its own.
        """
        tenant, lineage = request.run.tenant, request.run.lineage
        async with self._services.database.transaction(tenant) as tx:
            run = await runs.read(tx, lineage)
            if run is None:
                raise BadInput(f"there is no run {lineage!r}")
            given = await _orders(tx, run, request)
            if given and request.leave:
                await approvals.cancel_open(tx, lineage)
                await _end(tx, given)
                return UndoResult()
            if not given:
                await approvals.cancel_open(tx, lineage)
                await steps.skip_open(tx, lineage, f"not run: {request.reason}"[:400])
            found, shared = await _wanted(tx, lineage, given)
        bundle = await self._services.bundles.get(tenant, run.bundle)
        asker = activity.info().workflow_id if given else None
        since = max((order.at for order in given if order.at), default=None)
        compensation = Compensation(self._services, run, bundle, tenant, asker, since, shared)
        keeps = bool(given) and all(order.unseen for order in given)
        result = await self._undone(compensation, found, keeps=keeps)
        async with self._services.database.transaction(tenant) as tx:
            if not given and result.asks:
                # A run does not wait for what only people can settle: it ends, and an undo of its own asks them.
                await orders.put(tx, Order(lineage, names.AT_END, by="perdure", reason=request.reason[:400]))
            if not result.gates:
                await _end(tx, given)
        return result

    async def _undone(self, compensation: Compensation, found: list[Effect], *, keeps: bool) -> UndoResult:
        undone: list[str] = []
        left: list[str] = []
        gates: list[Gate] = []
        asks = 0
        for effect in found:
            outcome = await self._settled(compensation, effect, keeps=keeps)
            if outcome is None:
                undone.append(effect.key)
                continue
            left.append(_said(effect, outcome))
            asks += outcome.askable
            gates += [outcome.gate] if outcome.gate else []
        return UndoResult(undone=tuple(undone[:UNDONE]), left=tuple(left[:LEFT]), gates=tuple(gates[:ASKED]), asks=asks)

    async def _settled(self, compensation: Compensation, effect: Effect, *, keeps: bool) -> Left | None:
        try:
            return await (compensation.find_out(effect) if keeps else compensation.take_back(effect))
        except Open as error:
            # What it had begun in its transaction is gone; Temporal waits, and `why` says for what.
            async with self._services.database.transaction(compensation.tenant) as tx:
                await breakers.held(tx, error.breaker, effect.lineage, effect.step)
            raise


def _said(effect: Effect, left: Left) -> str:
    return f"{effect.key} ({effect.tool}): {left.why}"[:500]


async def _orders(tx: Tx, run: RunRow, request: UndoRequest) -> list[Order]:
    """Return the orders to carry out: none for a run under way, which undoes itself. Raises: PermanentError."""
    if not request.order:
        if run.status != "running":
            # A run that has ended undoes nothing by itself any more, whoever asks in its name.
            raise PermanentError(f"the run {run.workflow_id} is {run.status}: only a run under way is undone from within")
        return []
    if run.status == "running":
        raise PermanentError(f"the run {run.workflow_id} is under way: cancel it first (`starter.py cancel {run.workflow_id} --undo`)")
    # All that are open: one undo of a run is at work at a time, and takes up what is ordered meanwhile.
    if given := await orders.open_orders(tx, run.lineage):
        return given
    raise PermanentError(f"nobody ordered that {run.workflow_id} be undone, or it was: `starter.py undo {run.workflow_id}` orders it")


async def _wanted(tx: Tx, lineage: str, given: list[Order]) -> tuple[list[Effect], frozenset[str]]:
    """Return the effects that the orders speak of, newest first, and the keys of those that are undone although forks share them.

    Without an order: all, and none.
    """
    found = await effects.undoable(tx, lineage)
    if not given:
        return found, frozenset()
    wanted: set[str] = set()
    shared: set[str] = set()
    for order in given:
        spoken = await effects.undoable(tx, lineage, order.since)
        keys = {effect.key for effect in spoken if effect.state != "done" or not order.unseen}
        wanted |= keys
        shared |= keys if order.shared else set()
    return [effect for effect in found if effect.key in wanted], frozenset(shared)


async def _end(tx: Tx, given: list[Order]) -> None:
    for order in given:
        await orders.carried_out(tx, order)
