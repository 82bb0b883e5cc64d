"""A reset re-walks what was decided and done; it makes nothing anew."""

import secrets

from temporalio.api.common.v1 import WorkflowExecution
from temporalio.api.workflowservice.v1 import ResetWorkflowExecutionRequest

from tests.house import Handle, House, plan, statuses, step


async def reset(house: House, handle: Handle) -> None:
    """Reset a run to its first workflow task."""
    history = await handle.fetch_history()
    first = next(event.event_id for event in history.events if event.HasField("workflow_task_completed_event_attributes"))
    await house.client.workflow_service.reset_workflow_execution(
        ResetWorkflowExecutionRequest(
            namespace=house.client.namespace,
            workflow_execution=WorkflowExecution(workflow_id=handle.id, run_id=handle.first_execution_run_id or ""),
            workflow_task_finish_event_id=first,
            reason="a test",
            request_id=secrets.token_hex(8),
        )
    )


async def test_a_reset_of_an_ended_run_decides_and_does_nothing_again(house: House) -> None:
    handle = await house.start(plan(step("a", note="one"), step("b", "probe.write", "a", note="two", ask=True)))
    await house.decide(handle, (await house.waiting(handle)).waiting[0].id)
    assert await house.ended(handle) == "COMPLETED"
    before = await house.explained(handle)
    await reset(house, handle)
    again = await house.client.get_workflow_handle(handle.id).result()
    after = await house.explained(handle)
    assert again["lineage"] == before.run.lineage == after.run.lineage and again["statuses"] == {"done": 2}
    assert house.model.count == 1 and list((await house.calls()).values()) == [1, 1]
    assert len(after.timeline) == len(before.timeline) and after.spent == before.spent


async def test_a_reset_of_a_waiting_run_waits_for_the_same_request(house: House) -> None:
    handle = await house.start(plan(step("a", note="one"), step("b", "probe.write", "a", note="two", ask=True)))
    request = (await house.waiting(handle)).waiting[0].id
    await reset(house, handle)
    await house.decide(handle, request)
    assert await house.ended(handle) == "COMPLETED"
    found = await house.explained(handle)
    assert statuses(found) == {"a": "done", "b": "done"} and len(found.requests) == 1
    assert house.model.count == 1 and list((await house.calls()).values()) == [1, 1]


async def test_a_workflow_id_that_is_used_again_is_another_run(house: House) -> None:
    first = await house.run(plan(step("a", note="one")), id="again")
    second = await house.run(plan(step("a", note="one")), id="again")
    assert first.run.lineage != second.run.lineage and await house.notes() == ["one", "one"]
