"""Undo: what a run did is taken back newest first, found out about where nobody saw it end, and asked about where nobody can tell."""

import secrets
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from temporalio.client import WorkflowFailureError
from temporalio.exceptions import ApplicationError

import worker
from activities.reconcile import Reconciling
from activities.undo_workflow import start_undo
from contracts import names
from contracts.effects import UndoCarried, UndoResult, UndoStart
from contracts.errors import BadInput
from contracts.upkeep import ReconcileRequest
from ledger import orders, runs
from ledger.approvals import Request
from ledger.orders import Order
from tests.house import Handle, House, plan, step
from tests.integration.workflows.conftest import QUICK, HouseOf
from tests.servers import until

Behind = Callable[..., Awaitable[None]]
NO_MORE = {"replans": 0}


async def lineage(house: House, handle: Handle) -> str:
    async with house.database.transaction("default") as tx:
        found = await runs.find(tx, handle.id)
    assert found is not None
    return found.lineage


async def undo(house: House, handle: Handle, since: str | None = None, *, shared: bool = False) -> Any:
    """Order an undo, start it, and return its handle."""
    order = Order(await lineage(house, handle), secrets.token_hex(4), by="ann", reason="a mistake", since=since, shared=shared)
    async with house.database.transaction("default") as tx:
        await orders.put(tx, order)
    id = await start_undo(house.client, house.settings.task_queue, UndoStart(tenant="default", lineage=order.lineage, order=order.name))
    made = house.client.get_workflow_handle(id, result_type=UndoResult)
    house.handles.append(made)
    return made


async def asked(house: House, handle: Handle, count: int = 1) -> Request:
    """Wait until an undo asks, and return the newest question."""
    found = await house.until(handle, lambda found: len(found.waiting) == count)
    return found.waiting[-1]


async def states(house: House, handle: Handle) -> dict[str, str]:
    return {effect.step: effect.state for effect in await house.effects(handle) if not effect.undoes}


async def test_a_finished_run_is_undone_newest_first(house: House) -> None:
    handle = await house.start(plan(step("a", note="one"), step("b", "probe.write", "a", note="two")))
    await house.ended(handle)
    result = await (await undo(house, handle)).result()
    assert [key.split("/")[1] for key in result.undone] == ["b", "a"] and result.left == ()
    found = await house.explained(handle)
    assert await house.notes() == [] and found.run.status == "completed"
    assert any(moment.text == "ann ordered that it be undone: a mistake" for moment in found.timeline)


async def test_what_was_done_before_the_step_stays(house: House) -> None:
    handle = await house.start(
        plan(step("a", note="one"), step("b", "probe.write", "a", note="two"), step("c", "probe.write", "b", note="3"))
    )
    await house.ended(handle)
    await (await undo(house, handle, since="b")).result()
    assert await house.notes() == ["one"]
    # Again, from the beginning: what is undone is not undone twice.
    assert len((await (await undo(house, handle)).result()).undone) == 1 and await house.notes() == []
    assert set((await house.calls("erasures")).values()) == {1}


async def test_an_irreversible_effect_is_left_and_named(house: House) -> None:
    handle = await house.start(plan(step("a", "probe.final", note="one")))
    found = await house.until(handle, lambda found: bool(found.waiting) or found.run.status != "running")
    if found.waiting:
        await house.decide(handle, found.waiting[0].id)
    await house.ended(handle)
    result = await (await undo(house, handle)).result()
    assert result.undone == () and "it cannot be undone" in result.left[0] and await house.notes() == ["one"]


@pytest.mark.parametrize("tool", ["probe.found", "probe.write"])
async def test_an_effect_whose_end_nobody_saw_is_found_out_about_before_it_is_undone(house: House, behind: Behind, tool: str) -> None:
    handle = await house.start(plan(step("a", tool, note="one")))
    await house.ended(handle)
    await behind("UPDATE effect SET state = 'unknown', output = NULL, deadline = now()")
    result = await (await undo(house, handle)).result()
    assert len(result.undone) == 1 and await house.notes() == []
    # A look-up tells; without one the same key is called again, which gives its answer and no second effect.
    assert list((await house.calls()).values()) == [1 if tool == "probe.found" else 2]


async def test_a_failed_undo_asks_a_person_who_may_have_it_tried_again(house_of: HouseOf) -> None:
    async with house_of(limits=NO_MORE, tools=QUICK) as house:
        await house.put("trouble", "erase", {"fail": "failed:1"})
        handle = await house.start(plan(step("a", note="one"), step("b", "probe.write", "a", fail="failed")))
        assert await house.ended(handle) == "FAILED"
        request = await asked(house, handle)
        found = await house.explained(handle)
        assert "not undone" in found.run.summary and found.run.status == "failed"
        assert request.question == "undo" and "probe.erase failed: told to fail" in request.reason
        assert request.workflow_id == names.undo_id(found.run.lineage)
        await decide(house, request)
        await closed(house, request)
        assert await house.notes() == [] and await states(house, handle) == {"a": "compensated", "b": "failed"}


async def test_a_person_may_leave_what_could_not_be_undone(house_of: HouseOf) -> None:
    async with house_of(limits=NO_MORE, tools=QUICK) as house:
        await house.put("trouble", "erase", {"fail": "failed"})
        handle = await house.start(plan(step("a", note="one"), step("b", "probe.write", "a", fail="failed")))
        await house.ended(handle)
        request = await asked(house, handle)
        await decide(house, request, "reject", reason="I took it down by hand")
        result = await closed(house, request)
        assert "left as it is (ann: I took it down by hand)" in result.left[0] and await house.notes() == ["one"]
        assert (await house.explained(handle)).waiting == []


async def test_a_person_may_say_what_was_done_so_that_it_can_be_undone(house_of: HouseOf) -> None:
    async with house_of(limits={**NO_MORE, "act_seconds": 2, "patience_seconds": 1}, tools=QUICK) as house:
        handle = await house.start(plan(step("a", "probe.guarded", note="one", fail="lost")))
        request = await asked(house, handle)
        if request.question == "again":
            await house.decide(handle, request.id, "reject", reason="look first")
        assert await house.ended(handle) == "FAILED"
        request = await asked(house, handle)
        assert request.question == "undo" and "may have happened" in request.reason and request.arguments == {}
        # Approved as it is, it lacks what only the lost answer had: the next question says so.
        await decide(house, request)
        again = await house.until(handle, lambda found: bool(found.waiting) and found.waiting[-1].id != request.id)
        assert "`id`: Field required" in again.waiting[-1].reason
        key = (await house.effects(handle))[0].key
        await decide(house, again.waiting[-1], "edit", arguments={"id": key})
        await closed(house, request)
        assert await house.notes() == [] and await states(house, handle) == {"a": "compensated"}


async def test_an_undo_that_nobody_ordered_is_refused(house: House) -> None:
    handle = await house.start(plan(step("a", note="one")))
    await house.ended(handle)
    start = UndoStart(tenant="default", lineage=await lineage(house, handle), order="mine")
    made = await house.client.start_workflow(names.UNDO_RUN, start, id=f"forged-{handle.id}", task_queue=house.settings.task_queue)
    with pytest.raises(Exception, match="failed") as caught:
        await made.result()
    assert "nobody ordered that" in str(caught.value.__cause__.__cause__) and await house.notes() == ["one"]


async def test_a_run_under_way_is_not_undone_from_outside(house: House) -> None:
    handle = await house.start(plan(step("a", note="one"), step("b", "probe.write", "a", ask=True)))
    await house.waiting(handle)
    made = await undo(house, handle)
    with pytest.raises(Exception, match="failed") as caught:
        await made.result()
    assert "is under way: cancel it first" in str(caught.value.__cause__.__cause__) and await house.notes() == ["one"]


async def test_an_undo_that_is_cancelled_leaves_no_request_open(house_of: HouseOf) -> None:
    async with house_of(limits=NO_MORE, tools=QUICK) as house:
        await house.put("trouble", "erase", {"fail": "failed"})
        handle = await house.start(plan(step("a", note="one"), step("b", "probe.write", "a", fail="failed")))
        await house.ended(handle)
        request = await asked(house, handle)
        await house.client.get_workflow_handle(request.workflow_id).cancel()
        await house.until(handle, lambda found: not found.waiting)
        assert (await house.explained(handle)).requests[-1].state == "cancelled"


async def decide(house: House, request: Request, verdict: str = "approve", **more: Any) -> None:
    ruling = {"request": request.id, "verdict": verdict, "by": "ann", "reason": "because", **more}
    await house.client.get_workflow_handle(request.workflow_id).signal(names.DECIDE, ruling)


async def closed(house: House, request: Request) -> UndoResult:
    handle = house.client.get_workflow_handle(request.workflow_id, result_type=UndoResult)

    async def ended() -> bool:
        return (await handle.describe()).close_time is not None

    await until(ended)
    return await handle.result()


async def test_an_order_that_comes_while_another_waits_is_carried_out_too(house_of: HouseOf) -> None:
    async with house_of(tools=QUICK) as house:
        handle = await house.start(plan(step("a", note="one"), step("b", "probe.write", "a", note="two")))
        await house.ended(handle)
        await house.put("trouble", "erase", {"fail": "failed:1"})
        await undo(house, handle, since="b")
        request = await asked(house, handle)
        again = await undo(house, handle)
        await house.client.get_workflow_handle(request.workflow_id).signal(names.WAKE, {})
        # The first try of each step's compensation fails, so the second order asks too.
        await decide(house, request)
        found = await house.until(handle, lambda found: bool(found.waiting) and found.waiting[-1].id != request.id)
        await decide(house, found.waiting[-1])
        await again.result()
        assert await house.notes() == [] and set((await states(house, handle)).values()) == {"compensated"}


async def test_a_question_that_was_not_answered_is_asked_anew_by_a_new_order(house_of: HouseOf) -> None:
    async with house_of(limits=NO_MORE, tools=QUICK) as house:
        await house.put("trouble", "erase", {"fail": "failed:1"})
        handle = await house.start(plan(step("a", note="one"), step("b", "probe.write", "a", fail="failed")))
        await house.ended(handle)
        first = await asked(house, handle)
        await house.client.get_workflow_handle(first.workflow_id).cancel()
        await house.until(handle, lambda found: not found.waiting)
        await house.ended(house.client.get_workflow_handle(first.workflow_id))
        made = await undo(house, handle)
        second = await asked(house, handle)
        assert second.id != first.id
        await decide(house, second)
        await made.result()
        assert await house.notes() == []


async def test_an_edited_undo_that_the_rules_deny_is_refused_at_once(house_of: HouseOf) -> None:
    deny = {"id": "never", "when": 'tool == "probe.erase" && arguments.id == "x"', "outcome": "deny", "because": "not that one"}
    async with house_of(limits=NO_MORE, tools=QUICK, rules=[deny]) as house:
        await house.put("trouble", "erase", {"fail": "failed:1"})
        handle = await house.start(plan(step("a", note="one"), step("b", "probe.write", "a", fail="failed")))
        await house.ended(handle)
        request = await asked(house, handle)
        await decide(house, request, "edit", arguments={"id": "x"})
        found = await house.until(handle, lambda found: bool(found.refusals))
        assert "the rules deny that: not that one" in found.refusals[0].text and len(found.waiting) == 1
        await decide(house, request, "reject", reason="leave it")
        result = await closed(house, request)
        assert "left as it is (ann: leave it)" in result.left[0] and await house.notes() == ["one"]


async def test_an_edited_undo_that_takes_two_people_is_asked_anew(house_of: HouseOf) -> None:
    async with house_of(limits=NO_MORE, tools=QUICK, approvals={"quorum": 2}) as house:
        await house.put("trouble", "erase", {"fail": "failed:1"})
        handle = await house.start(plan(step("a", note="one"), step("b", "probe.write", "a", fail="failed")))
        await house.ended(handle)
        first = await asked(house, handle)
        await decide(house, first, "edit", arguments={"id": "another"})
        found = await house.until(handle, lambda found: bool(found.waiting) and found.waiting[0].id != first.id)
        second = found.waiting[0]
        assert (second.editor, second.supersedes) == ("ann", first.id) and await house.notes() == ["one"]
        await decide(house, second)
        await decide(house, second, by="bob")
        await closed(house, second)
        found = await house.explained(handle)
        assert [request.state for request in found.requests if request.id == second.id] == ["consumed"]


async def test_a_forged_continuation_is_refused(house: House) -> None:
    handle = await house.start(plan(step("a", note="one")))
    await house.ended(handle)
    carried = UndoCarried(gates=(), claims=(), claimed=0)
    start = UndoStart(tenant="default", lineage=await lineage(house, handle), order="x", carried=carried)
    made = await house.client.start_workflow(names.UNDO_RUN, start, id=f"forged-{handle.id}", task_queue=house.settings.task_queue)
    with pytest.raises(Exception, match="failed") as caught:
        await made.result()
    assert "`carried` is what one execution gives the next" in str(caught.value.__cause__)


async def test_from_a_step_without_an_effect_means_what_came_after_it(house: House) -> None:
    handle = await house.start(plan(step("r", "probe.read", what="x"), step("b", "probe.write", "r", note="two")))
    await house.ended(handle)
    assert len((await (await undo(house, handle, since="r")).result()).undone) == 1 and await house.notes() == []


async def test_an_attempt_that_a_person_had_repeated_is_asked_about_too(house_of: HouseOf) -> None:
    async with house_of(limits={**NO_MORE, "act_seconds": 2, "patience_seconds": 20}, tools=QUICK) as house:
        handle = await house.start(
            plan(step("a", "probe.guarded", note="pay", fail="lost:1"), step("b", "probe.write", "a", fail="failed"))
        )
        request = await asked(house, handle)
        assert request.question == "again"
        await house.decide(handle, request.id)
        assert await house.ended(handle) == "FAILED"
        await asked(house, handle)
        first, second = [effect for effect in await house.effects(handle) if effect.tool == "probe.guarded"]
        assert (first.state, second.state) == ("unknown", "compensated")


async def foreign(house: House, handle: Handle) -> Handle:
    """Start a workflow of another type under the ID of a run's undo."""
    made = await house.client.start_workflow("Foreign", id=names.undo_id(await lineage(house, handle)), task_queue="of-somebody-else")
    house.handles.append(made)
    return made


async def test_a_workflow_of_another_type_under_the_undos_id_keeps_no_run_from_its_end(house_of: HouseOf, behind: Behind) -> None:
    async with house_of(limits=NO_MORE, tools=QUICK) as house:
        await house.put("trouble", "erase", {"fail": "failed:1"})
        handle = await house.start(plan(step("a", note="one"), step("b", "probe.write", "a", ask=True, fail="failed")))
        request = await asked(house, handle)
        taken = await foreign(house, handle)
        await house.decide(handle, request.id)
        with pytest.raises(WorkflowFailureError) as caught:
            await handle.result()
        assert isinstance(caught.value.cause, ApplicationError) and caught.value.cause.type == "RunFailed", "its own end, not the ID's"
        found = await house.explained(handle)
        assert found.run.status == "failed" and "not undone" in found.run.summary
        async with house.database.transaction("default") as tx:
            assert [order.name for order in await orders.open_orders(tx, found.run.lineage)] == [names.AT_END]
        await behind("UPDATE record SET at = now() - interval '1 hour' WHERE body ->> 'event' = 'undo ordered'")
        work = Reconciling(worker.services(house.settings, house.database), house.client, house.settings.task_queue)
        refused = (await work.compare(ReconcileRequest(tenant="default"))).findings
        assert [one.kind for one in refused] == ["refused"] and "a workflow of type Foreign holds the ID undo-" in refused[0].done
        # It has no worker, so nobody but a person ends it; then the order is carried out.
        await taken.terminate("not ours")
        await work.compare(ReconcileRequest(tenant="default"))
        question = await asked(house, handle)
        await decide(house, question)
        await closed(house, question)
        assert await house.notes() == []


async def test_whoever_orders_an_undo_is_told_that_its_id_is_taken_and_the_order_stays(house: House) -> None:
    handle = await house.start(plan(step("a", note="one")))
    await house.ended(handle)
    taken = await foreign(house, handle)
    with pytest.raises(BadInput, match="a workflow of type Foreign holds the ID undo-"):
        await undo(house, handle)
    await taken.terminate("not ours")
    assert len((await (await undo(house, handle)).result()).undone) == 1 and await house.notes() == []


async def test_a_compensation_that_was_given_back_when_its_undo_died_is_taken_up_under_its_key(house: House) -> None:
    handle = await house.start(plan(step("a", note="one")))
    await house.ended(handle)
    await house.put("trouble", "erase", {"fail": "transient"})
    died = await undo(house, handle)

    async def given_back() -> bool:
        return any(effect.undoes and effect.released for effect in await house.effects(handle))

    await until(given_back)
    await died.terminate("its worker died")
    await house.put("trouble", "erase", {"fail": ""})
    await undo(house, handle)

    async def settled() -> bool:
        return await states(house, handle) == {"a": "compensated"} or bool((await house.explained(handle)).requests)

    await until(settled)
    [effect, back] = await house.effects(handle)
    assert (effect.state, back.state, back.key) == ("compensated", "done", f"{effect.key}/undo") and await house.notes() == []
    assert (await house.explained(handle)).requests == [], "it surely did nothing, so nobody was asked"


async def test_a_compensation_whose_undo_died_before_it_was_recorded_is_called_again_with_its_key(house: House, behind: Behind) -> None:
    handle = await house.start(plan(step("a", note="one")))
    await house.ended(handle)
    await (await undo(house, handle)).result()
    await behind(
        "UPDATE effect SET state = 'claimed', output = NULL, ended_at = NULL, deadline = now() WHERE undoes IS NOT NULL",
        "UPDATE effect SET state = 'done' WHERE undoes IS NULL",
    )
    await (await undo(house, handle)).result()
    [effect, back] = await house.effects(handle)
    assert (effect.state, back.state, back.attempts) == ("compensated", "done", 2)
    assert list((await house.calls("erasures")).values()) == [2] and (await house.explained(handle)).requests == []
