"""A run opens and closes: one row for each lineage, its bundle pinned, and a record of both ends."""

from datetime import UTC, datetime

from temporalio import activity

from activities import forks
from activities.remembering import remember
from activities.services import Services
from contracts import names
from contracts.errors import BadInput
from contracts.runs import CloseRunRequest, Limits, OpenRunRequest, Run, RunRef
from database import Tx
from ledger import approvals, records, runs, steps
from ledger.runs import RunRow
from policies import bundles
from policies.bundles import Bundle

MAX_INPUT = 64_000  # characters


class Opening:
    """The first and the last activity of every run."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._database = services.database

    @activity.defn(name=names.OPEN_RUN)
    async def open_run(self, request: OpenRunRequest) -> Run:
        """Insert the run's row once and return what it pins. Safe to retry or reset: the row that stands is read back.

        Raises: BadInput for an unknown automation, a wrong workflow type or an input that breaks the automation's schema.
        """
        tenant = request.tenant
        async with self._database.transaction(tenant) as tx:
            row = await runs.read(tx, request.lineage)
            original = await forks.original(tx, request, request.fork) if request.fork and row is None else None
            hash = row.bundle if row else await _pinned(tx, request, original)
        bundle = await self._services.bundles.get(tenant, hash)
        if row is None:
            if original:
                request = request.model_copy(update={"input": original.input})
            _check(request, bundle)
            async with self._database.transaction(tenant) as tx:
                row = await runs.open_run(tx, _row(request, bundle, original), limit_micros=bundle.settings.budget.run_micros)
                body = {
                    "event": "opened", "automation": row.automation, "bundle": row.bundle, "by": row.starter,
                    "workflow_id": row.workflow_id, "input": row.input, "build": self._services.build,
                }  # fmt: skip
                await records.append(tx, f"{row.lineage}/opened", "configuration", row.lineage, None, body)
                if original and request.fork:
                    await forks.take_along(tx, original, row, request.fork)
            bundle = await self._services.bundles.get(tenant, row.bundle)
        limits = Limits(**bundle.settings.limits.model_dump(), heartbeat_seconds=self._services.heartbeat_seconds)
        ref = RunRef(tenant=tenant, lineage=row.lineage, bundle=row.bundle)
        settings = bundle.settings
        quick = settings.models[settings.agents[settings.planner].route].quick
        # Said only where it is so: history carries what was said.
        given = {"quick": True} if quick else {}
        return Run(ref=ref, automation=row.automation, on_failure=settings.on_failure, limits=limits, **given)

    @activity.defn(name=names.CLOSE_RUN)
    async def close_run(self, request: CloseRunRequest) -> None:
        """End the run's row, its open requests and steps. Safe to retry: a run ends once."""
        lineage = request.run.lineage
        bundle = await self._services.bundles.get(request.run.tenant, request.run.bundle)
        async with self._database.transaction(request.run.tenant) as tx:
            if not await runs.close(tx, lineage, request.status, request.summary):
                return
            await approvals.cancel_open(tx, lineage)
            await steps.skip_open(tx, lineage, "the run ended before it")
            body = {"event": request.status, "summary": request.summary, "build": self._services.build}
            await records.append(tx, f"{lineage}/closed", "configuration", lineage, None, body)
            if bundle.settings.memory.remember and (run := await runs.read(tx, lineage)):
                await remember(tx, bundle, run)


async def _pinned(tx: Tx, request: OpenRunRequest, original: RunRow | None) -> str:
    if original is None or request.fork is None:
        return await _live(tx, request)
    return await bundles.named(tx, original.automation, request.fork.bundle) if request.fork.bundle else original.bundle


async def _live(tx: Tx, request: OpenRunRequest) -> str:
    if hash := await bundles.live(tx, request.automation):
        return hash
    known = ", ".join(await bundles.applied(tx)) or "none"
    raise BadInput(f"tenant {request.tenant} has no automation {request.automation!r}; there are: {known} (`starter.py apply` adds one)")


def _check(request: OpenRunRequest, bundle: Bundle) -> None:
    right = names.PATTERNS[bundle.settings.pattern]
    if request.workflow_type != right:
        raise BadInput(f"{request.automation} runs as workflow type {right}, not {request.workflow_type}: start it with --type {right}")
    if len(str(request.input)) > MAX_INPUT:
        raise BadInput(f"the input has more than {MAX_INPUT} characters: give a path or an id instead of the text itself")
    bundle.check_input(request.input)


def _row(request: OpenRunRequest, bundle: Bundle, original: RunRow | None) -> RunRow:
    return RunRow(
        lineage=request.lineage,
        workflow_id=request.workflow_id,
        automation=request.automation,
        pattern=bundle.settings.pattern,
        bundle=bundle.hash,
        starter=request.starter,
        input=request.input,
        status="running",
        summary="",
        started_at=datetime.now(UTC),
        ended_at=None,
        parent=original.lineage if original else None,
        parent_step=request.fork.step if request.fork else None,
        ancestors=[*original.ancestors, original.lineage] if original else [],
    )
