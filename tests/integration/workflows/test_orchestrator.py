"""The orchestrator on real parts: order, parallelism, refusals, re-plans, undo, and what the ledger says of each."""

from tests.house import House, plan, step


async def test_a_plan_runs_in_order_of_need_and_outputs_flow(house: House) -> None:
    found = await house.run(
        plan(step("a", note="one"), step("b", "probe.write", "a", note={"$output": "a/note"}), step("c", note="two"))
    )
    assert found.run.status == "completed" and found.run.summary == "3 done"
    assert [(row.step, row.status) for row in found.steps] == [("a", "done"), ("b", "done"), ("c", "done")]
    assert await house.notes() == ["one", "one", "two"]
    assert set((await house.calls()).values()) == {1}
    assert found.spent > 0 and found.reserved == 0


async def test_a_failed_step_sends_the_plan_back_and_the_run_goes_on(house: House) -> None:
    found = await house.run(
        plan(step("a", note="one"), step("b", "probe.write", "a", note="two", fail="failed"), step("c", "probe.write", "b", note="never")),
        plan(step("b", note="better")),
    )
    assert found.run.status == "completed"
    assert {row.step: row.status for row in found.steps} == {"a": "done", "b": "failed", "c": "skipped", "d2.b": "done"}
    assert await house.notes() == ["better", "one"]


async def test_a_run_that_cannot_be_mended_undoes_what_it_did(house: House) -> None:
    bad = step("b", "probe.write", note="two", fail="failed")
    found = await house.run(plan(step("a", note="one"), {**bad, "needs": ["a"]}), plan(bad), plan(bad))
    assert found.run.status == "failed"
    assert await house.notes() == []
    assert any(moment.text.startswith("probe.erase undone") for moment in found.timeline)


async def test_an_approval_is_asked_waited_for_and_used_once(house: House) -> None:
    handle = await house.start(plan(step("a", note="one", ask=True)))
    found = await house.waiting(handle)
    assert await house.notes() == []
    await house.decide(handle, found.waiting[0].id)
    assert await house.ended(handle) == "COMPLETED"
    found = await house.explained(handle)
    assert await house.notes() == ["one"] and found.requests[0].state == "consumed" and found.requests[0].ruled_by == "ann"
