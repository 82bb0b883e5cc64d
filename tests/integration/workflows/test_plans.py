"""Plans as they run: order, parallelism, size, windows, and another plan for what failed."""

from tests.house import House, plan, statuses, step
from tests.integration.workflows.conftest import HouseOf

SLOW = "probe.slow"


async def test_a_plan_runs_in_order_of_need_and_outputs_flow(house: House) -> None:
    found = await house.run(plan(step("a", note="one"), step("b", "probe.write", "a", note={"$output": "a/note"}), step("c", note="two")))
    assert found.run.status == "completed" and found.run.summary == "3 done"
    assert [(row.step, row.status) for row in found.steps] == [("a", "done"), ("b", "done"), ("c", "done")]
    assert await house.notes() == ["one", "one", "two"]
    assert set((await house.calls()).values()) == {1}
    assert found.spent > 0 and found.reserved == 0


async def test_as_many_steps_run_side_by_side_as_the_limit_says_and_people_and_timers_take_no_place(house_of: HouseOf) -> None:
    async with house_of(limits={"parallel": 2}) as house:
        await house.put("slot", "later", {"at": "2999-01-01T00:00:00Z"})
        slow = [step(f"s{nth}", SLOW, note=f"{nth}", seconds=0.3) for nth in range(5)]
        handle = await house.start(
            plan(step("person", ask=True), step("person2", ask=True), step("timer", "probe.slotted", note="later"), *slow)
        )
        await house.until(handle, lambda found: list(statuses(found).values()).count("done") == 5)
        spans = [(effect.claimed_at, effect.ended_at) for effect in await house.effects(handle)]
        # Whatever overlaps most does so where one begins.
        assert max(sum(begun <= at < ended for begun, ended in spans if ended) for at, _ in spans) == 2
        assert {statuses(await house.explained(handle))[id] for id in ("person", "person2", "timer")} == {"needs_approval", "waiting"}


async def test_a_plan_of_two_hundred_steps_runs_each_of_them_once(house_of: HouseOf) -> None:
    # On a slow machine, too, no call is cut off and made again.
    async with house_of(tools={"seconds=2)": "seconds=60)"}, limits={"act_seconds": 90}) as house:
        found = await house.run(
            plan(*(step(f"s{nth}", "probe.write", *([f"s{nth - 1}"] if nth % 2 else []), note=f"{nth}") for nth in range(200)))
        )
        assert found.run.status == "completed" and found.run.summary == "200 done"
        assert len(await house.notes()) == 200 and set((await house.calls()).values()) == {1}


async def test_an_empty_plan_that_is_done_completes(house: House) -> None:
    found = await house.run(plan())
    assert (found.run.status, found.run.summary, await house.calls()) == ("completed", "no steps", {})


async def test_a_plan_that_is_not_done_is_asked_for_more_and_its_steps_keep_their_names_apart(house: House) -> None:
    found = await house.run(
        plan(step("a", note="one"), done=False),
        plan(step("a", note="two"), done=False),
        plan(step("b", "probe.read", what={"$output": "d2.a/note"})),
    )
    assert found.run.status == "completed"
    assert statuses(found) == {"a": "done", "d2.a": "done", "d3.b": "done"}
    assert house.model.count == 3


async def test_a_planner_that_never_is_done_ends_at_the_limit_of_windows(house_of: HouseOf) -> None:
    async with house_of(limits={"windows": 3}) as house:
        found = await house.run(*(plan(step("a", note=f"{nth}"), done=False) for nth in range(9)))
        assert found.run.status == "failed" and "last decision" in found.run.summary
        # Two decisions, and the third with its one repair; what the first two did is undone.
        assert house.model.count == 4 and await house.notes() == []


async def test_a_failure_in_the_last_window_has_no_other_plan(house_of: HouseOf) -> None:
    async with house_of(limits={"windows": 1}) as house:
        found = await house.run(plan(step("a", fail="failed")))
        assert found.run.status == "failed" and "limits.windows" in found.run.summary


async def test_a_failed_step_sends_the_plan_back_and_the_run_goes_on(house: House) -> None:
    found = await house.run(
        plan(step("a", note="one"), step("b", "probe.write", "a", note="two", fail="failed"), step("c", "probe.write", "b", note="never")),
        plan(step("b", note="better")),
    )
    assert found.run.status == "completed"
    assert statuses(found) == {"a": "done", "b": "failed", "c": "skipped", "d2.b": "done"}
    assert await house.notes() == ["better", "one"]
    assert "b told to fail" in house.model.calls[-1]["messages"][-1]["content"]


async def test_a_run_that_cannot_be_mended_undoes_what_it_did(house: House) -> None:
    bad = step("b", "probe.write", note="two", fail="failed")
    found = await house.run(plan(step("a", note="one"), {**bad, "needs": ["a"]}), plan(bad), plan(bad))
    assert found.run.status == "failed"
    assert await house.notes() == []
    assert any(moment.text.startswith("probe.erase undone") for moment in found.timeline)


async def test_a_failed_run_keeps_what_it_did_where_the_automation_says_so(house_of: HouseOf) -> None:
    async with house_of(on_failure="keep", limits={"replans": 0}) as house:
        found = await house.run(plan(step("a", note="one"), step("b", "probe.write", "a", fail="failed")))
        assert found.run.status == "failed"
        assert await house.notes() == ["one"] and await house.calls("erasures") == {}


async def test_undo_runs_newest_first_and_calls_an_idempotent_compensation_again_whose_answer_was_lost(house_of: HouseOf) -> None:
    async with house_of(limits={"replans": 0}, tools={"seconds=2)": "seconds=0.5)"}) as house:
        await house.put("trouble", "erase", {"fail": "unknown:1"})
        found = await house.run(
            plan(step("a", note="one"), step("b", "probe.write", "a", note="two"), step("c", "probe.write", "b", fail="failed"))
        )
        assert found.run.status == "failed" and "not undone" not in found.run.summary
        assert await house.notes() == []
        undone = [moment.body["undoes"].split("/")[1] for moment in found.timeline if moment.body.get("event") == "undone"]
        assert undone == ["b", "a"]


async def test_a_new_plan_that_repeats_a_done_effect_asks_a_person(house: House) -> None:
    handle = await house.start(
        plan(step("a", note="one"), step("b", note="two", fail="failed")), plan(step("c", note="one"), step("d", note="two"))
    )
    found = await house.waiting(handle)
    assert (found.waiting[0].step, found.waiting[0].reason) == ("d2.c", f"this run has done the same already ({found.run.lineage}/a/1)")
    await house.decide(handle, found.waiting[0].id, "reject")
    assert await house.ended(handle) == "COMPLETED"
    assert statuses(await house.explained(handle)) == {"a": "done", "b": "failed", "d2.c": "refused", "d2.d": "done"}
    assert await house.notes() == ["one", "two"]


async def test_a_new_plan_that_repeats_what_may_have_been_done_asks_a_person(house_of: HouseOf) -> None:
    async with house_of(tools={"seconds=2)": "seconds=0.5)"}) as house:
        handle = await house.start(
            plan(step("a", "probe.guarded", note="pay", fail="lost:1"), step("b", note="x", fail="failed")),
            plan(step("c", "probe.guarded", note="pay", fail="lost:1")),
        )
        request = (await house.waiting(handle)).waiting[0]
        assert request.question == "again"
        await house.decide(handle, request.id, "reject")
        found = await house.until(handle, lambda found: bool(found.waiting) and found.waiting[0].id != request.id)
        assert found.waiting[0].reason == f"this run may have done the same already ({found.run.lineage}/a/1)"
        await house.decide(handle, found.waiting[0].id, "reject")
        await house.ended(handle)
        assert sum(1 for key in await house.calls() if "/a/" in key or "/d2.c/" in key) == 1
