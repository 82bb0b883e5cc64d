"""After Postgres was restored from a backup: what Temporal's histories know beyond it is written down."""

from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime

from temporalio.client import Client, WorkflowQueryFailedError
from temporalio.service import RPCError

from activities import history
from activities.history import Told
from activities.services import Services
from contracts import names
from contracts.approvals import Pending, Wake
from contracts.errors import BadInput
from contracts.upkeep import Finding, ReconcileRequest
from database import Database
from ledger import outbox, records, runs, upkeep
from ledger.runs import RunRow
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

    @property
    def database(self) -> Database:
        """The pool."""
        return self.services.database

    async def run(self, under_way: list[RunRow]) -> list[Finding]:
        """Catch up the runs that the ledger has under way, then those that it does not know at all."""
        for row in under_way:
            await self._catch_up(row, await history.told(self.client, row.workflow_id, row.lineage))
        async for workflow_id, lineage in self._lost():
            await self._reopen(workflow_id, lineage)
        return self.found

    async def _catch_up(self, row: RunRow, told: Told) -> None:
        tools = self.services.registry.tools(row.automation)
        for step, name in told.done.items():
            tool = tools.get(name)
            if tool is None:
                self._note(row, f"{step} was done by {name or 'a tool'}, which is not here any more", "nothing: look at it")
            elif await self._written(row, step, tool):
                self._note(row, f"{step} ({name}) was done, and the ledger did not know", "noted as done")
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

    async def _waited_for(self, row: RunRow) -> list[str]:
        """Return the requests that the workflow waits for."""
        try:
            waiting = await self.client.get_workflow_handle(row.workflow_id).query(names.PENDING, result_type=list[Pending])
        except (RPCError, WorkflowQueryFailedError):
            return []
        return [one.request for one in waiting]

    async def _lost(self) -> AsyncIterator[tuple[str, str]]:
        """Find the runs that Temporal knows and the ledger does not: workflow ID and lineage."""
        types = " OR ".join(f"WorkflowType = '{name}'" for name in sorted(names.PATTERNS.values()))
        # Another ledger may share the namespace, and has a task queue of its own.
        query = f"({types}) AND TaskQueue = '{self.task_queue}'"
        executions = {one.run_id: one.id async for one in self.client.list_workflows(query, limit=MOST)}
        async with self.database.transaction(self.request.tenant) as tx:
            strange = await upkeep.unknown(tx, list(executions))
        for run_id in sorted(strange):
            # A later execution of a run that is known has a run ID of its own.
            described = await self.client.get_workflow_handle(executions[run_id], run_id=run_id).describe()
            if (described.raw_description.workflow_execution_info.first_run_id or run_id) == run_id:
                yield executions[run_id], run_id

    async def _reopen(self, workflow_id: str, lineage: str) -> None:
        """Insert the row of a run that was opened after the backup."""
        told = await history.told(self.client, workflow_id, lineage)
        start, run = told.start, told.run
        if start is None or run is None or start.tenant != self.request.tenant or run.ref.lineage != lineage:
            return
        row = RunRow(
            lineage=lineage, workflow_id=workflow_id, automation=run.automation, pattern="orchestrator", bundle=run.ref.bundle,
            starter=start.starter, input=start.input, status="running", summary="", started_at=datetime.now(UTC), ended_at=None,
        )  # fmt: skip
        try:
            bundle = await self.services.bundles.get(self.request.tenant, run.ref.bundle)
        except BadInput as error:
            self._note(row, f"Temporal knows this run, and the ledger did not ({error})", "nothing: apply that bundle first")
            return
        if not self.request.dry_run:
            async with self.database.transaction(self.request.tenant) as tx:
                await runs.open_run(tx, row, limit_micros=bundle.settings.budget.run_micros)
                body = {
                    "event": "opened", "automation": row.automation, "bundle": row.bundle, "by": row.starter,
                    "workflow_id": workflow_id, "input": row.input, "restored": True, "build": self.services.build,
                }  # fmt: skip
                await records.append(tx, f"{lineage}/opened", "configuration", lineage, None, body)
        self._note(row, "Temporal knows this run, and the ledger did not", "its row is written again")
        await self._catch_up(row, told)

    def _note(self, row: RunRow, what: str, done: str) -> None:
        said = f"would be: {done}" if self.request.dry_run else done
        self.found.append(Finding(kind="effect" if "was done" in what else "run", run=row.workflow_id, what=what, done=said))


class _TakenBack(Exception):
    """A dry run has seen what it wanted."""
