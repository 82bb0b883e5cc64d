"""Histories of runs that somebody was forgotten in: they cannot be changed, only deleted."""

from collections.abc import AsyncGenerator

from temporalio.api.common.v1 import WorkflowExecution
from temporalio.api.workflowservice.v1 import DeleteWorkflowExecutionRequest
from temporalio.client import Client, WorkflowExecutionStatus
from temporalio.service import RPCError, RPCStatusCode

from contracts import names


async def delete(client: Client, workflow_id: str, lineage: str) -> int:
    """Delete every execution of a run and of its undo that has ended, and return how many; the server does it soon after.

    Raises: RPCError.
    """
    deleted = 0
    for id in (workflow_id, names.undo_id(lineage)):
        async for run_id, first in _closed(client, id):
            if id == workflow_id and first != lineage:
                continue
            execution = WorkflowExecution(workflow_id=id, run_id=run_id)
            request = DeleteWorkflowExecutionRequest(namespace=client.namespace, workflow_execution=execution)
            await client.workflow_service.delete_workflow_execution(request)
            deleted += 1
    return deleted


async def _closed(client: Client, workflow_id: str) -> AsyncGenerator[tuple[str, str]]:
    """Return run id and first run id of every execution of a workflow ID that has ended; a reset one is among them."""
    quote = '"' if "'" in workflow_id else "'"
    async for listed in client.list_workflows(f"WorkflowId = {quote}{workflow_id}{quote}"):
        if listed.status == WorkflowExecutionStatus.RUNNING:
            continue
        try:
            found = await client.get_workflow_handle(workflow_id, run_id=listed.run_id).describe()
        except RPCError as error:
            # Deleted by another in between.
            if error.status == RPCStatusCode.NOT_FOUND:
                continue
            raise
        yield listed.run_id, found.raw_description.workflow_execution_info.first_run_id
