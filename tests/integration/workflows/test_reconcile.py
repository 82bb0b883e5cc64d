"""Reconcile: a ledger whose runs were ended behind its back, or which lost part of itself, agrees with Temporal again."""

from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from temporalio.api.workflowservice.v1 import DeleteWorkflowExecutionRequest

import worker
from activities.reconcile import Reconciling
from activities.undo_workflow import alive
from contracts import names
from contracts.upkeep import Finding, ReconcileRequest, ReconcileResult
from ledger import orders, runs
from ledger.orders import Order
from tests import operators
from tests.house import Handle, House, plan, statuses, step
from tests.integration.workflows.conftest import HouseOf
from tests.servers import until

Behind = Callable[..., Awaitable[None]]
WAITS = (step("a", note="one"), step("b", "probe.write", "a", ask=True))


async def reconcile(house: House, **given: Any) -> ReconcileResult:
    shared = worker.services(house.settings, house.database)
    work = Reconciling(shared, house.client, house.settings.task_queue)
    return await work.compare(ReconcileRequest(tenant="default", **given))


def of(result: ReconcileResult, handle: Handle) -> list[Finding]:
    return [found for found in result.findings if found.run == handle.id]


async def undone(house: House, handle: Handle) -> None:
    found = await house.explained(handle)
    house.handles.append(house.client.get_workflow_handle(names.undo_id(found.run.lineage)))

    async def over() -> bool:
        return not await alive(house.client, names.undo_id(found.run.lineage))

    await until(over)


async def delete(house: House, handle: Handle) -> None:
    described = await handle.describe()
    request = DeleteWorkflowExecutionRequest(namespace="default")
    request.workflow_execution.workflow_id, request.workflow_execution.run_id = handle.id, described.run_id
    await house.client.workflow_service.delete_workflow_execution(request)

    async def gone() -> bool:
        try:
            await handle.describe()
        except Exception:
            return True
        return False

    await until(gone)


async def test_all_is_well_where_nothing_was_touched(house: House) -> None:
    handle = await house.start(plan(*WAITS))
    await house.waiting(handle)
    assert of(await reconcile(house), handle) == []


async def test_a_terminated_run_is_closed_and_undone_and_its_request_is_cancelled(house: House) -> None:
    handle = await house.start(plan(*WAITS))
    await house.waiting(handle)
    await house.client.get_workflow_handle(handle.id).terminate("by hand")
    before = await reconcile(house, dry_run=True)
    assert [(found.kind, found.done) for found in of(before, handle)] == [
        ("run", "would be: closed as failed"),
        ("effect", "would be: an undo takes it back, or asks a person"),
    ]
    assert (await house.explained(handle)).run.status == "running" and await house.notes() == ["one"]
    await reconcile(house)
    await undone(house, handle)
    found = await house.explained(handle)
    assert (found.run.status, found.run.summary) == ("failed", "terminated in Temporal, from outside; closed by reconcile")
    assert found.waiting == [] and statuses(found) == {"a": "done", "b": "skipped"} and await house.notes() == []
    assert of(await reconcile(house), handle) == []


async def test_a_deleted_run_is_closed_while_temporal_knows_others(house: House) -> None:
    other = await house.start(plan(*WAITS))
    await house.waiting(other)
    handle = await house.start(plan(*WAITS))
    await house.waiting(handle)
    await delete(house, handle)
    house.handles.remove(handle)
    await reconcile(house)
    await undone(house, handle)
    found = await house.explained(handle)
    assert found.run.summary == "Temporal does not know it any more; closed by reconcile" and await house.notes() == ["one"]
    assert (await house.explained(other)).run.status == "running"


async def test_a_lost_temporal_database_needs_a_persons_word(house: House) -> None:
    handles = [await house.start(plan(*WAITS)) for _ in range(2)]
    for handle in handles:
        await house.waiting(handle)
    for handle in handles:
        await delete(house, handle)
        house.handles.remove(handle)
    refused = await reconcile(house)
    assert [found.kind for found in refused.findings] == ["refused"] and "say --lost" in refused.findings[0].done
    assert {(await house.explained(handle)).run.status for handle in handles} == {"running"}
    await reconcile(house, lost=True)
    for handle in handles:
        await undone(house, handle)
        assert (await house.explained(handle)).run.status == "failed"
    assert await house.notes() == []


async def test_a_workflow_id_that_was_used_again_hides_no_run(house: House) -> None:
    handle = await house.start(plan(*WAITS), id="again")
    first = (await house.waiting(handle)).run.lineage
    await house.client.get_workflow_handle("again").terminate("by hand")
    await house.ended(await house.start(plan(), id="again"))
    await reconcile(house)
    async with house.database.transaction("default") as tx:
        assert await tx.value("SELECT status FROM run WHERE tenant = 'default' AND lineage = $1", first) == "failed"


async def test_a_claim_that_an_ended_run_left_is_found_out_about(house_of: HouseOf, behind: Behind) -> None:
    async with house_of(on_failure="keep") as house:
        handle = await house.start(plan(step("a", "probe.found", note="one")))
        await house.ended(handle)
        await behind(
            "UPDATE effect SET state = 'claimed', output = NULL, ended_at = NULL, deadline = now() - interval '1 hour'",
            "UPDATE run SET ended_at = now() - interval '2 hours'",
        )
        assert [found.kind for found in of(await reconcile(house), handle)] == ["effect"]
        await undone(house, handle)
        assert [effect.state for effect in await house.effects(handle)] == ["done"], "it happened, and a completed run's effects stay"


async def test_a_model_call_that_nobody_saw_end_is_booked_at_its_worst_case(house: House, behind: Behind) -> None:
    handle = await house.start(plan())
    await house.ended(handle)
    spent = (await house.explained(handle)).spent
    await behind("UPDATE journal SET state = 'started', reserved = 700", "UPDATE budget SET reserved = 700")
    assert [found.kind for found in of(await reconcile(house), handle)] == ["reservation"]
    found = await house.explained(handle)
    assert (found.spent, found.reserved) == (spent + 700, 0)


async def test_a_word_that_the_run_did_not_hear_wakes_it(house: House, behind: Behind) -> None:
    handle = await house.start(plan(*WAITS))
    waiting = (await house.waiting(handle)).waiting[0]
    # Ruled behind everybody's back: no outbox row, no signal.
    await behind("UPDATE approval SET state = 'approved', ruled_by = 'ann', ruling = '{}', ruled_at = now() - interval '1 hour'")
    assert [(found.kind, found.what) for found in of(await reconcile(house), handle)] == [
        ("wake", f"{waiting.id} was ruled, and the run still waits")
    ]
    await house.deliver()
    await house.ended(handle)
    assert sorted(await house.notes()) == ["", "one"]


@pytest.mark.parametrize("ended", [False, True])
async def test_a_ledger_from_a_backup_learns_what_temporal_knows_beyond_it(house: House, behind: Behind, ended: bool) -> None:
    handle = await house.start(plan(step("a", note="one"), step("b", "probe.write", "a", ask=True)))
    request = (await house.waiting(handle)).waiting[0]
    if ended:
        await house.decide(handle, request.id)
        await house.ended(handle)
    # The backup was made when the plan stood and nothing of it had begun.
    await behind(
        "DELETE FROM effect",
        "DELETE FROM approval",
        "UPDATE plan_step SET status = 'planned', output = NULL, ended_at = NULL",
        "UPDATE run SET status = 'running', ended_at = NULL, summary = ''",
    )
    result = await reconcile(house, restored=True)
    done = ["a", "b"] if ended else ["a"]
    assert [found.what for found in of(result, handle) if found.kind == "effect"][: len(done)] == [
        f"{id} (probe.write) was done, and the ledger did not know" for id in done
    ]
    if not ended:
        # The request is gone with the database: the run asks anew, and the step runs once.
        await house.deliver()
        again = await house.waiting(handle)
        await house.decide(handle, again.waiting[0].id)
        await house.ended(handle)
    found = await house.explained(handle)
    assert found.run.status == "completed" and statuses(found) == {"a": "done", "b": "done"}
    assert sorted(await house.notes()) == ["", "one"] and set((await house.calls()).values()) == {1}
    assert of(await reconcile(house, restored=True), handle) == []


async def test_a_run_that_the_backup_does_not_hold_is_written_again(house: House, behind: Behind) -> None:
    handle = await house.start(plan(step("a", note="one")))
    await house.ended(handle)
    before = await house.explained(handle)
    await behind("DELETE FROM effect; DELETE FROM plan_step; DELETE FROM decision; DELETE FROM journal; DELETE FROM turn")
    await behind("DELETE FROM budget; DELETE FROM run")
    result = await reconcile(house, restored=True)
    assert [found.what for found in of(result, handle)][:2] == [
        "Temporal knows this run, and the ledger did not",
        "a (probe.write) was done, and the ledger did not know",
    ]
    found = await house.explained(handle)
    assert (found.run.lineage, found.run.bundle, found.run.status) == (before.run.lineage, before.run.bundle, "completed")
    assert [(effect.step, effect.state) for effect in await house.effects(handle)] == [("a", "done")]


async def test_a_comparison_that_breaks_off_before_the_undo_began_is_finished_by_the_next(house: House, behind: Behind) -> None:
    handle = await house.start(plan(*WAITS))
    found = await house.waiting(handle)
    await house.client.get_workflow_handle(handle.id).terminate("by hand")
    # As it stands when the process dies between the commit and the start of the undo.
    async with house.database.transaction("default") as tx:
        await runs.close(tx, found.run.lineage, "failed", "terminated")
        await orders.put(tx, Order(found.run.lineage, "lost", by="reconcile", reason="terminated"))
    await reconcile(house)
    assert await house.notes() == ["one"], "what was ordered a moment ago is left to who is at it"
    await behind("UPDATE record SET at = now() - interval '1 hour' WHERE body ->> 'event' = 'undo ordered'")
    assert "effect" in [found.kind for found in of(await reconcile(house), handle)]
    await undone(house, handle)
    assert await house.notes() == [] and of(await reconcile(house), handle) == []


async def test_what_a_person_said_of_the_end_comes_before_the_bundle(house: House, behind: Behind) -> None:
    handle = await house.start(plan(*WAITS))
    await house.waiting(handle)
    await behind("UPDATE run SET ending = 'keep'")
    await house.client.get_workflow_handle(handle.id).terminate("by hand")
    await reconcile(house)
    assert (await house.explained(handle)).run.status == "failed" and await house.notes() == ["one"]
    assert not await alive(house.client, names.undo_id((await house.explained(handle)).run.lineage))


async def test_an_effect_that_ended_after_its_run_was_closed_is_undone(house: House, behind: Behind) -> None:
    handle = await house.start(plan(*WAITS))
    found = await house.waiting(handle)
    await house.client.get_workflow_handle(handle.id).terminate("by hand")
    async with house.database.transaction("default") as tx:
        await runs.close(tx, found.run.lineage, "failed", "terminated")
    await behind("UPDATE run SET ended_at = now() - interval '1 hour'")
    assert [found.kind for found in of(await reconcile(house), handle)] == ["request", "effect"][::-1]
    await undone(house, handle)
    assert await house.notes() == []


async def test_quick_decisions_are_known_from_their_markers(house_of: HouseOf, behind: Behind) -> None:
    async with house_of(models={"planner": {"quick": True}}) as house:
        handle = await house.start(plan(step("a", note="one")))
        await house.ended(handle)
        await behind("DELETE FROM effect", "UPDATE plan_step SET status = 'planned', ended_at = NULL", "UPDATE run SET status = 'running'")
        found = of(await reconcile(house, restored=True), handle)
        assert found[0].what == "a (probe.write) was done, and the ledger did not know"


# Forks

A, B = step("a", note="one"), step("b", "probe.write", "a", note="two", ask=True)
LOST = ("effect", "approval", "plan_step", "decision", "journal", "turn", "run")


async def forked(house: House) -> tuple[Handle, Handle]:
    """Run an original to its end, fork it at `b`, and wait until the fork asks."""
    first = await house.start(plan(A, B))
    await house.decide(first, (await house.waiting(first)).waiting[0].id)
    await house.ended(first)
    fork = await operators.fork(house, first, "b")
    await house.waiting(fork)
    return first, fork


async def lose(house: House, behind: Behind, *handles: Handle) -> None:
    """Take all rows of some runs away, the newest first, as a backup has it that was made before them."""
    for handle in handles:
        run = await operators.row(house, handle)
        statements = [f"DELETE FROM {table} WHERE {'session' if table == 'turn' else 'lineage'} = '{run.lineage}'" for table in LOST]  # noqa: S608
        await behind(*statements, f"DELETE FROM budget WHERE scope = 'run:{run.lineage}'")  # noqa: S608


async def test_what_a_fork_shares_is_not_taken_for_its_own(house: House) -> None:
    _, fork = await forked(house)
    assert of(await reconcile(house, restored=True), fork) == [] and await house.effects(fork) == []


async def test_a_lost_fork_is_written_again_with_its_original_and_what_they_share(house: House, behind: Behind) -> None:
    first, fork = await forked(house)
    before = await house.explained(fork)
    await lose(house, behind, fork)
    dry = await reconcile(house, restored=True, dry_run=True)
    assert [found.done for found in of(dry, fork)][:2] == [
        "would be: its row is written again",
        "would be: its original is named again, with what they share",
    ]
    found = of(await reconcile(house, restored=True), fork)
    assert found[1].what == f"it is a fork of {first.id} at b"
    after = await house.explained(fork)
    named = ("parent", "parent_step", "ancestors", "bundle", "input", "starter")
    assert [getattr(after.run, name) for name in named] == [getattr(before.run, name) for name in named]
    assert [(row.step, row.status, row.inherited) for row in after.steps] == [
        ("a", "done", f"{before.run.parent}/a/1"),
        ("b", "planned", None),
    ]
    assert await house.effects(fork) == [] and [one.workflow_id for one in (await house.explained(first)).forks] == [fork.id]
    # It asks anew, is answered, and ends; what it shares was never called again.
    await house.deliver()
    await house.decide(fork, (await house.waiting(fork)).waiting[0].id)
    assert await house.ended(fork) == "COMPLETED" and sorted((await house.calls()).values()) == [1, 1, 1]
    assert of(await reconcile(house, restored=True), fork) == []


async def test_a_lost_fork_of_a_lost_original_names_it_and_says_what_is_left_to_a_person(house: House, behind: Behind) -> None:
    first, fork = await forked(house)
    parent = (await operators.row(house, first)).lineage
    await lose(house, behind, fork, first)
    dry = of(await reconcile(house, restored=True, dry_run=True), fork)
    assert dry[1].done == "would be: its original is named again, with what they share"
    found = of(await reconcile(house, restored=True), fork)
    assert f"it is a fork of {first.id} at b, and what they share was lost" in found[1].what
    assert found[1].done == "its original is named: what they share is a person's to look at"
    row = await operators.row(house, fork)
    assert (row.parent, row.parent_step, row.ancestors) == (parent, "b", [parent])
    assert [(effect.step, effect.state) for effect in await house.effects(first)] == [("a", "done"), ("b", "done")]
    assert await house.effects(fork) == [], "what the original did is the original's to undo"


async def test_a_lost_fork_whose_original_nobody_knows_stands_alone_and_a_person_is_told(house: House, behind: Behind) -> None:
    first, fork = await forked(house)
    parent = (await operators.row(house, first)).lineage
    await lose(house, behind, fork, first)
    await delete(house, first)
    house.handles.remove(first)
    found = of(await reconcile(house, restored=True), fork)
    assert found[1].what == f"it is a fork of {parent} at b, and neither the ledger nor Temporal knows that run any more"
    assert found[1].done == "it stands without its original: what they share is a person's to look at"
    row = await operators.row(house, fork)
    assert (row.parent, row.parent_step, row.ancestors) == (None, None, []) and await house.effects(fork) == []


async def test_a_fork_of_a_fork_is_written_again_after_what_it_was_forked_from(house: House, behind: Behind) -> None:
    first, middle = await forked(house)
    await house.decide(middle, (await house.waiting(middle)).waiting[0].id)
    await house.ended(middle)
    last = await operators.fork(house, middle, "b")
    await house.waiting(last)
    before = await operators.row(house, last)
    await lose(house, behind, last, middle)
    await reconcile(house, restored=True)
    after = await operators.row(house, last)
    assert (after.parent, after.ancestors) == (before.parent, before.ancestors)
    keys = {row.step: row.inherited for row in (await house.explained(last)).steps if row.inherited}
    assert keys == {"a": f"{(await operators.row(house, first)).lineage}/a/1"}
