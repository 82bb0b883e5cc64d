"""What people want of a whole run: read for its workflow, and taken from raw signals."""

from typing import Any, Literal

from temporalio import activity
from temporalio.api.common.v1 import WorkflowExecution
from temporalio.api.enums.v1 import EventType, PendingActivityState
from temporalio.api.workflowservice.v1 import ResetActivityRequest
from temporalio.client import Client
from temporalio.service import RPCError, RPCStatusCode

from activities.services import Services
from contracts import names
from contracts.approvals import RuleRequest
from contracts.converter import DATA_CONVERTER
from contracts.operations import LookRequest, Operated, Standing, StepWord, Word
from database import Database, Tx
from ledger import operations, runs
from ledger.runs import RunRow

CHANNEL = "signal"
Hastened = Literal["hastened", "at work", "nothing"]


class Operating:
    """The activity that reads a run's row for its workflow."""

    def __init__(self, services: Services) -> None:
        self._database = services.database

    @activity.defn(name=names.LOOK)
    async def look(self, request: LookRequest) -> Standing:
        """Return what people want of the run."""
        async with self._database.transaction(request.tenant) as tx:
            return await operations.standing(tx, request.lineage)


async def heard(services: Services, tx: Tx, request: RuleRequest, word: Word) -> Operated:
    """Do what a raw signal asks of its own run, if unsigned words are believed there."""
    row = await runs.read(tx, request.lineage)
    bundle = await services.bundles.get(request.tenant, row.bundle) if row else None
    if not (services.one_machine and bundle and bundle.settings.approvals.unsigned):
        return Operated(accepted=False, message="not proved who is speaking: this installation believes `starter.py` only")
    if isinstance(word, StepWord):
        return await operations.retry(tx, request.lineage, word, channel=CHANNEL, claim=f"claim-{request.nth}")
    change = operations.pause if request.claim.signal == names.PAUSE else operations.resume
    return await change(tx, request.lineage, word, channel=CHANNEL)


async def at_once(
    database: Database, client: Client, tenant: str, run: RunRow, word: StepWord, result: Operated, *, channel: str, claim: str
) -> Operated:
    """Try a step's call again at once where its next attempt is waited for, and put that on record; say why not where it is not.

    result: what `retry` said of a step that has not ended.
    """
    did = "nothing" if run.paused_at else await hasten(client, run.workflow_id, run.lineage, word.step)
    if did == "hastened":
        async with database.transaction(tenant) as tx:
            await operations.hastened(tx, run.lineage, word, channel=channel, claim=claim)
        return Operated(accepted=True, message=f"{word.step} is tried again at once")
    why = f"{word.step} is being tried at this moment" if did == "at work" else result.message
    return Operated(accepted=False, changed=False, message=why)


async def hasten(client: Client, workflow_id: str, lineage: str, step: str) -> Hastened:
    """Have the next attempt of a step's (or a decision's) call begin now, where it is waited for."""
    handle = client.get_workflow_handle(workflow_id)
    found = (await handle.describe()).raw_description
    if (found.workflow_execution_info.first_run_id or found.workflow_execution_info.execution.run_id) != lineage:
        return "nothing"
    ids = await _activities(handle, step)
    for pending in found.pending_activities:
        if pending.activity_id not in ids:
            continue
        if pending.state != PendingActivityState.PENDING_ACTIVITY_STATE_SCHEDULED or pending.attempt == 1:
            return "at work"
        return await _reset(client, found.workflow_execution_info.execution, pending.activity_id)
    return "nothing"


async def _reset(client: Client, execution: WorkflowExecution, id: str) -> Hastened:
    request = ResetActivityRequest(namespace=client.namespace, execution=execution, identity=client.identity, id=id)
    try:
        await client.workflow_service.reset_activity(request)
    except RPCError as error:
        if error.status == RPCStatusCode.NOT_FOUND:
            return "nothing"  # It has ended since.
        raise
    return "hastened"


async def _activities(handle: Any, step: str) -> set[str]:
    """Return the ids of the activities that work for a step, as their summaries name it."""
    ids = set[str]()
    async for event in handle.fetch_history_events():
        if event.event_type == EventType.EVENT_TYPE_ACTIVITY_TASK_SCHEDULED and event.user_metadata.HasField("summary"):
            (summary,) = await DATA_CONVERTER.decode([event.user_metadata.summary], [str])
            ids |= {event.activity_task_scheduled_event_attributes.activity_id} if summary == step else set()
    return ids
