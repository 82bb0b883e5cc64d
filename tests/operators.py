"""What people do to runs, as `starter.py` does it: on the row, with the wake-up sent at once."""

import secrets
from typing import Any

from activities.operations import at_once
from activities.sweeper import sender
from contracts import names
from contracts.operations import Operated, StepWord, Word
from contracts.runs import Fork, StartRequest
from ledger import operations, outbox, runs
from ledger.runs import RunRow
from tests.house import Handle, House

ANN = Word(by="ann", reason="so")


async def row(house: House, handle: Handle) -> RunRow:
    """Return the run's row."""
    async with house.database.transaction(house.tenant) as tx:
        found = await runs.find(tx, handle.id)
    assert found is not None
    return found


async def pause(house: House, handle: Handle, *, wake: bool = True) -> Operated:
    """Pause a run. wake: False loses the wake-up."""
    run = await row(house, handle)
    async with house.database.transaction(house.tenant) as tx:
        result = await operations.pause(tx, run.lineage, ANN, channel="test")
        if not wake:
            await tx.execute("UPDATE outbox SET sent_at = now() WHERE tenant = $1", house.tenant)
    await deliver(house)
    return result


async def resume(house: House, handle: Handle) -> Operated:
    """Let a run go on."""
    run = await row(house, handle)
    async with house.database.transaction(house.tenant) as tx:
        result = await operations.resume(tx, run.lineage, ANN, channel="test")
    await deliver(house)
    return result


async def retry(house: House, handle: Handle, step: str) -> Operated:
    """Try a step again."""
    run, word, claim = await row(house, handle), StepWord(by="ann", step=step), secrets.token_hex(4)
    async with house.database.transaction(house.tenant) as tx:
        result = await operations.retry(tx, run.lineage, word, channel="test", claim=claim)
    if result.open:
        result = await at_once(house.database, house.client, house.tenant, run, word, result, channel="test", claim=claim)
    await deliver(house)
    return result


async def cancel(house: House, handle: Handle, ending: str | None = None) -> Operated:
    """End a run."""
    run = await row(house, handle)
    async with house.database.transaction(house.tenant) as tx:
        result = await operations.cancel(tx, run.lineage, ANN, channel="test", ending=ending)
    await house.client.get_workflow_handle(handle.id, first_execution_run_id=run.lineage).cancel()
    return result


async def fork(house: House, handle: Handle, at: str, *script: Any, **given: Any) -> Handle:
    """Fork a run. given: fields of the start or of its `fork`."""
    if script:
        house.model.set_script(script)
    run = await row(house, handle)
    wanted = Fork.model_validate({"lineage": run.lineage, "step": at, **{name: given.pop(name) for name in ("bundle",) if name in given}})
    request = StartRequest.model_validate(
        {"automation": house.automation, "tenant": house.tenant, "starter": "ann", "fork": wanted, **given}
    )
    made = await house.client.start_workflow(
        names.ORCHESTRATOR, request, id=f"{handle.id}-fork-{secrets.token_hex(3)}", task_queue=house.settings.task_queue
    )
    house.handles.append(made)
    return made


async def deliver(house: House) -> None:
    """Send what waits in the outbox."""
    await outbox.deliver(house.database, house.tenant, sender(house.client))
