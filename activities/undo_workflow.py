"""The workflow that undoes a run which has ended, seen from outside: its start, whether it runs, and the names of its orders."""

from datetime import UTC, datetime

from temporalio.client import Client
from temporalio.common import WorkflowIDConflictPolicy, WorkflowIDReusePolicy
from temporalio.service import RPCError, RPCStatusCode

from contracts import names
from contracts.effects import UndoStart
from contracts.errors import BadInput


async def alive(client: Client, workflow_id: str) -> bool:
    """Return whether an undo of this ID runs: whoever may start workflows could have given the ID to another type."""
    try:
        found = await client.get_workflow_handle(workflow_id).describe()
        return found.close_time is None and found.workflow_type == names.UNDO_RUN
    except RPCError as error:
        if error.status not in (RPCStatusCode.NOT_FOUND, RPCStatusCode.INVALID_ARGUMENT):
            raise
        return False


async def start_undo(client: Client, task_queue: str, start: UndoStart) -> str:
    """Start the undo of an ended run, or leave the one that runs to it; return its workflow ID.

    Raises: BadInput where another type of workflow holds that ID: the order stays on record.
    """
    handle = await client.start_workflow(
        names.UNDO_RUN,
        start,
        id=names.undo_id(start.lineage),
        task_queue=task_queue,
        id_reuse_policy=WorkflowIDReusePolicy.ALLOW_DUPLICATE,
        id_conflict_policy=WorkflowIDConflictPolicy.USE_EXISTING,
    )
    if (kind := (await handle.describe()).workflow_type) != names.UNDO_RUN:
        raise BadInput(
            f"a workflow of type {kind} holds the ID {handle.id}: end it (`temporal workflow terminate --workflow-id {handle.id}`), "
            "then `starter.py reconcile` begins the undo that was ordered"
        )
    return handle.id


def order_name() -> str:
    """Return a name for an order that is given now."""
    return f"{datetime.now(UTC):%Y%m%dT%H%M%S%f}"
