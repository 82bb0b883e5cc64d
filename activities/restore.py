"""After Postgres was restored from a backup: what Temporal's histories know beyond it is written down."""

from collections.abc import AsyncIterator, Collection, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime

from temporalio.client import Client, WorkflowQueryFailedError
from temporalio.service import RPCError

from activities import doubt, forks, history
from activities.history import Told
from activities.services import Services
from contracts import names
from contracts.approvals import Pending, Wake
from contracts.errors import BadInput
from contracts.runs import Carried, Fork
from contracts.upkeep import Finding, ReconcileRequest
from database import Database, Tx
from ledger import approvals, effects, lineage, outbox, records, runs, upkeep, views
from ledger.lineage import Point
from ledger.runs import RunRow
from memory import revisions
from policies.bundles import Bundle
from tools.contract import Tool

KNOWN_BY = "Temporal's history says so; its arguments and its output were lost with the database"
MOST = 10_000


@dataclass
class Restoring:
    """Catches a tenant's ledger up with Temporal."""

    services: Services
    client: Client
    request: ReconcileRequest
    task_queue: str
    found: list[Finding] = field(default_factory=list[Finding])
    lost: dict[str, Told] = field(default_factory=dict[str, Told])
    """What Temporal tells of the runs that the ledger does not know, by their lineages."""

    @property
    def database(self) -> Database:
        """The pool."""
        return self.services.database

    async def run(self, under_way: list[RunRow]) -> list[Finding]:
        """Catch up the runs that the ledger has under way, then those that it does not know at all."""
        for row in under_way:
            await self._catch_up(row, await history.told(self.client, row.workflow_id, row.lineage))
        self.lost = {name: await history.told(self.client, id, name) async for id, name in self._strange()}
        for name in _originals_first(self.lost):
            await self._reopen(name, self.lost[name])
        # Undos of their own take back what runs did that had ended before the backup, too.
        for id, execution in await self._executions(names.UNDO_RUN):
            await self._note_undone((await history.told(self.client, id, execution)).undone)
        return self.found

    async def _catch_up(self, row: RunRow, told: Told) -> None:
        tools = self.services.registry.tools(row.automation)
        for step, name in told.done.items():
            tool = tools.get(name)
            if tool is None:
                self._note(row, f"{step} was done by {name or 'a tool'}, which is not here any more", "nothing: look at it")
            elif await self._written(row, step, tool):
                self._note(row, f"{step} ({name}) was done, and the ledger did not know", "noted as done")
        await self._note_undone(told.undone)
        for step, request in sorted(told.doubtful.items()):
            await self._claim_again(row, step, request)
        if not self.request.dry_run:
            async with self.database.transaction(self.request.tenant) as tx:
                # What waits for a request that the backup does not hold asks anew when it is woken.
                for request in await self._waited_for(row):
                    await outbox.put(tx, row.workflow_id, Wake(request=request))

    async def _written(self, row: RunRow, step: str, tool: Tool) -> bool:
        """Write down that a step was done; return whether the ledger did not know."""
        behind = False
        with suppress(_TakenBack):
            async with self.database.transaction(self.request.tenant) as tx:
                behind = await upkeep.step_done(tx, row.lineage, step, KNOWN_BY)
                if tool.effect != "read":
                    behind |= await upkeep.effect_done(tx, row.lineage, step, tool.name, tool.guarantee, tool.compensate_with, KNOWN_BY)
                if behind:
                    body = {"event": "found done", "tool": tool.name, "detail": KNOWN_BY, "by": "reconcile"}
                    await records.append(tx, f"{row.lineage}/{step}/restored", "effect", row.lineage, step, body)
                if self.request.dry_run:
                    raise _TakenBack
        return behind

    async def _claim_again(self, row: RunRow, step: str, request: str) -> None:
        """Claim what may have happened, so that a person is asked before it is done again.

        request: by which one was asked; where the ledger has it, it lost nothing of this step.
        """
        async with self.database.transaction(self.request.tenant) as tx:
            view = await views.action(tx, row.lineage, step)
            if view is None or view.effect is not None or view.step.ended_at is not None or await approvals.read(tx, request):
                return
            if (claim := doubt.claim(self.services.registry, row.automation, view)) is None:
                return
            self._note(row, f"{step} ({claim.tool}) may have happened, and the ledger did not know", "a person is asked")
            if not self.request.dry_run:
                await effects.claim(tx, claim)

    async def _note_undone(self, keys: Collection[str]) -> None:
        """Note what was taken back: who closes its run now, or orders an undo, would else take it back twice."""
        for key in sorted(keys):
            async with self.database.transaction(self.request.tenant) as tx:
                effect = await effects.read(tx, key)
                row = await runs.read(tx, effect.lineage) if effect else None
                if effect is None or row is None or effect.undoes or effect.state in ("compensated", "failed"):
                    continue
                self._note(row, f"{effect.step} ({effect.tool}) was undone, and the ledger did not know", "noted as undone")
                if self.request.dry_run:
                    continue
                await effects.resolve(tx, key, "done", output=effect.output, detail=KNOWN_BY)
                await effects.compensated(tx, key)
                await revisions.withdraw(tx, effect.lineage, effect.step)
                body = {"event": "undone", "tool": effect.tool, "undoes": key, "detail": KNOWN_BY, "by": "reconcile"}
                await records.append(tx, f"{key}/undone/restored", "effect", effect.lineage, effect.step, body)

    async def _waited_for(self, row: RunRow) -> list[str]:
        """Return the requests that the workflow waits for."""
        try:
            waiting = await self.client.get_workflow_handle(row.workflow_id).query(names.PENDING, result_type=list[Pending])
        except (RPCError, WorkflowQueryFailedError):
            return []
        return [one.request for one in waiting]

    async def _strange(self) -> AsyncIterator[tuple[str, str]]:
        """Find the runs that Temporal knows and the ledger does not: workflow ID and lineage."""
        executions = {execution: id for id, execution in await self._executions(*sorted(names.PATTERNS.values()))}
        async with self.database.transaction(self.request.tenant) as tx:
            strange = await upkeep.unknown(tx, list(executions))
        for run_id in sorted(strange):
            # A later execution of a run that is known has a run ID of its own.
            described = await self.client.get_workflow_handle(executions[run_id], run_id=run_id).describe()
            if (described.raw_description.workflow_execution_info.first_run_id or run_id) == run_id:
                yield executions[run_id], run_id

    async def _executions(self, *types: str) -> list[tuple[str, str]]:
        """List the executions of some types of workflow: workflow ID and run ID."""
        wanted = " OR ".join(f"WorkflowType = '{name}'" for name in types)
        # Another ledger may share the namespace, and has a task queue of its own.
        query = f"({wanted}) AND TaskQueue = '{self.task_queue}'"
        return [(one.id, one.run_id) async for one in self.client.list_workflows(query, limit=MOST)]

    async def _reopen(self, name: str, told: Told) -> None:
        """Insert the row of a run that was opened after the backup."""
        start, run = told.start, told.run
        if start is None or run is None or start.tenant != self.request.tenant or run.ref.lineage != name:
            return
        async with self.database.transaction(self.request.tenant) as tx:
            parent = await runs.read(tx, start.fork.lineage) if start.fork else None
        row = RunRow(
            lineage=name, workflow_id=told.workflow_id, automation=run.automation, pattern="orchestrator", bundle=run.ref.bundle,
            starter=start.starter, input=parent.input if parent else start.input, status="running", summary="",
            started_at=datetime.now(UTC), ended_at=None, parent=parent.lineage if parent else None,
            parent_step=start.fork.step if start.fork and parent else None,
            ancestors=[*parent.ancestors, parent.lineage] if parent else [],
        )  # fmt: skip
        try:
            bundle = await self.services.bundles.get(self.request.tenant, run.ref.bundle)
        except BadInput as error:
            self._note(row, f"Temporal knows this run, and the ledger did not ({error})", "nothing: apply that bundle first")
            return
        lost = ""
        async with self.database.transaction(self.request.tenant) as tx:
            if not self.request.dry_run:
                await self._insert(tx, row, bundle)
            if start.fork and parent:
                lost = await self._share(tx, row, start.fork, parent, told.began)
        self._note(row, "Temporal knows this run, and the ledger did not", "its row is written again")
        if start.fork:
            self._note_fork(row, start.fork, parent, lost)
        await self._catch_up(row, told)

    async def _insert(self, tx: Tx, row: RunRow, bundle: Bundle) -> None:
        await runs.open_run(tx, row, limit_micros=bundle.settings.budget.run_micros)
        body = {
            "event": "opened", "automation": row.automation, "bundle": row.bundle, "by": row.starter,
            "workflow_id": row.workflow_id, "input": row.input, "restored": True, "build": self.services.build,
        }  # fmt: skip
        await records.append(tx, f"{row.lineage}/opened", "configuration", row.lineage, None, body)

    async def _share(self, tx: Tx, row: RunRow, fork: Fork, parent: RunRow, began: Carried | None) -> str:
        """Write down again what a fork shares with its original; return why that cannot be, or nothing."""
        try:
            async with tx.savepoint():
                at = await self._point(tx, parent, fork, began)
                if not self.request.dry_run:
                    await forks.take_along(tx, parent, row, fork, at)
        except BadInput as error:
            return str(error)
        return ""

    def _note_fork(self, row: RunRow, fork: Fork, parent: RunRow | None, lost: str) -> None:
        what = f"it is a fork of {parent.workflow_id if parent else fork.lineage} at {fork.step}"
        # In a dry run the original, which would be written before it, is not there.
        known = parent is not None or (self.request.dry_run and fork.lineage in self.lost)
        if not known:
            what += ", and neither the ledger nor Temporal knows that run any more"
            self._note(row, what, "it stands without its original: what they share is a person's to look at")
        elif lost:
            what += f", and what they share was lost ({lost})"
            self._note(row, what, "its original is named: what they share is a person's to look at")
        else:
            self._note(row, what, "its original is named again, with what they share")

    async def _point(self, tx: Tx, parent: RunRow, fork: Fork, began: Carried | None) -> Point:
        """Return where a fork left its original, by the original's rows and by what the fork's history says of them."""
        # A run that was forked had ended, whatever the backup says.
        at = await lineage.point(tx, replace(parent, status="completed"), fork.step)
        if began is None:
            return at
        done = {step for step, status in began.statuses.items() if status == "done"}
        again = {*at.again, *(ref.id for ref in began.plan if ref.id not in began.statuses)} - done
        if missing := done - {*at.kept, *at.again}:
            raise BadInput(f"the ledger does not know {', '.join(sorted(missing))}")
        return replace(at, kept=tuple(step for step in (*at.kept, *at.again) if step not in again), again=tuple(sorted(again)))

    def _note(self, row: RunRow, what: str, done: str) -> None:
        said = f"would be: {done}" if self.request.dry_run else done
        of_effect = any(words in what for words in ("was done", "was undone", "may have happened"))
        self.found.append(Finding(kind="effect" if of_effect else "run", run=row.workflow_id, what=what, done=said))


def _originals_first(lost: Mapping[str, Told]) -> Iterator[str]:
    """Go through lost runs so that each fork comes after what it was forked from."""
    waiting = dict(lost)
    while waiting:
        forked = {name: told.start.fork.lineage for name, told in waiting.items() if told.start and told.start.fork}
        ready = [name for name in waiting if forked.get(name) not in waiting] or list(waiting)
        for name in ready:
            del waiting[name]
        yield from ready


class _TakenBack(Exception):
    """A dry run has seen what it wanted."""
