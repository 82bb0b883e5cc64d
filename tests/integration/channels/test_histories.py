"""A run that somebody was forgotten in: neither a row nor a history names them afterwards, and other runs keep theirs."""

import pytest
from temporalio.service import RPCError, RPCStatusCode

from channels import histories
from memory import erasure
from tests.house import Handle, House, plan, step
from tests.integration.memory.test_erasure import NAME, grep
from tests.servers import until


@pytest.fixture(autouse=True)
def _key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PERDURE_SECRET_MEMORY_KEY", "a key of the tests")


async def history(house: House, handle: Handle) -> bytes:
    """Return a run's history with its payloads as they are; empty once there is none."""
    try:
        found = await house.client.get_workflow_handle(handle.id).fetch_history()
    except RPCError as error:
        if error.status == RPCStatusCode.NOT_FOUND:
            return b""
        raise
    return b"".join(event.SerializeToString() for event in found.events)


async def test_whoever_is_forgotten_is_in_no_row_and_no_history_of_a_run(house: House, owner_database_url: str) -> None:
    written = plan(step("s1", note=f"a letter to {NAME}"))
    named = await house.start(written, input={"for": NAME})
    await house.ended(named)
    other = await house.start(plan(step("s1", note="a letter to Bob")), input={"for": "Bob"})
    await house.ended(other)
    assert NAME.encode() in await history(house, named)
    assert await grep(owner_database_url)

    async with house.database.transaction(house.tenant) as tx:
        erased = await erasure.forget(tx, NAME, "", "ann")
    assert [run.workflow_id for run in erased.runs] == [named.id] and erased.complete
    for run in erased.runs:
        assert await histories.delete(house.client, run.workflow_id, run.lineage) >= 1

    async def gone() -> bool:
        return await history(house, named) == b""

    await until(gone)
    assert await grep(owner_database_url) == []
    assert b"Bob" in await history(house, other)
    # Its history is gone, so there is nothing to replay when the house closes.
    house.handles.remove(named)
