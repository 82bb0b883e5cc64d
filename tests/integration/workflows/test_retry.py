"""A retry: at once where the next attempt is waited for, anew where a step ended badly; never of what was done."""

from contracts import names
from tests import operators
from tests.house import House, plan, statuses, step
from tests.integration.workflows.conftest import QUICK, HouseOf
from tests.integration.workflows.test_reset import reset
from tests.servers import until

FAILS_ONCE = plan(step("a", note="one", fail="failed:1"), step("b", "probe.write", "a", note="two"))
NO_REPLANS = {"limits": {"replans": 0}}
LONG_WAIT = {'raise TransientError("told to be busy", retry_after=0.1)': 'raise TransientError("told to be busy", retry_after=600)'}


async def test_a_failed_step_of_a_paused_run_is_run_again_under_a_new_key_and_what_was_skipped_follows(house_of: HouseOf) -> None:
    async with house_of(**NO_REPLANS) as house:
        slow = step("slow", "probe.slow", note="slow", seconds=1.5)
        handle = await house.start(plan(*FAILS_ONCE["answer"]["steps"], slow))
        await house.until(handle, lambda found: statuses(found).get("a") == "failed")
        await operators.pause(house, handle)
        found = await house.until(handle, lambda found: statuses(found)["slow"] == "done")
        result = await operators.retry(house, handle, "a")
        assert result.accepted and "a is open again and begins as soon as the run is resumed" in result.message
        await operators.resume(house, handle)
        assert await house.ended(handle) == "COMPLETED"
        assert await house.notes() == ["one", "slow", "two"]
        lineage = found.run.lineage
        states = {effect.key.removeprefix(lineage): effect.state for effect in await house.effects(handle)}
        assert states == {"/a/1": "failed", "/a/2": "done", "/b/1": "done", "/slow/1": "done"}
        told = [moment.text for moment in (await house.explained(handle)).timeline]
        assert "ann opened the step again, which had failed: told to fail over test" in told
        assert set((await house.calls()).values()) == {1}


async def test_a_failed_step_is_run_again_while_others_are_at_work(house_of: HouseOf) -> None:
    async with house_of(**NO_REPLANS, worker={"max_cached_workflows": 0}) as house:
        slow = step("slow", "probe.slow", note="slow", seconds=2)
        handle = await house.start(plan(*FAILS_ONCE["answer"]["steps"], slow))
        await house.until(handle, lambda found: statuses(found).get("a") == "failed")
        await handle.signal(names.RETRY, {"by": "ann", "step": "a"})
        assert await house.ended(handle) == "COMPLETED"
        assert statuses(await house.explained(handle)) == {"a": "done", "b": "done", "slow": "done"}


async def test_a_step_that_backs_off_is_tried_at_once(house_of: HouseOf) -> None:
    # The wait that a tool asks for is clipped, and still longer than this test.
    async with house_of(tools=LONG_WAIT, limits={"patience_seconds": 3600}) as house:
        handle = await house.start(plan(step("a", note="one", fail="transient:2")))

        async def backs_off(attempt: int) -> bool:
            raw = (await house.client.get_workflow_handle(handle.id).describe()).raw_description
            return [(item.attempt, item.state) for item in raw.pending_activities] == [(attempt, 1)]

        await until(lambda: backs_off(2))
        assert (await operators.retry(house, handle, "a")).message == "a is tried again at once"
        # Its attempts are counted anew, so the second is once more the one that is waited for.
        await until(lambda: _tries(house, 2))
        await until(lambda: backs_off(2))
        await handle.signal(names.RETRY, {"by": "ben", "step": "a", "reason": "it is back"})
        assert await house.ended(handle) == "COMPLETED"
        told = [moment.text for moment in (await house.explained(handle)).timeline]
        assert "ben had the step tried again at once over signal: it is back" in told and await house.notes() == ["one"]


async def _tries(house: House, count: int) -> bool:
    return count in (await house.calls("tries")).values()


async def test_an_unknown_effect_is_asked_about_again_and_is_never_repeated_unasked(house_of: HouseOf) -> None:
    async with house_of(tools=QUICK, **NO_REPLANS) as house:
        lost = step("a", "probe.guarded", note="one", fail="lost:1")
        handle = await house.start(plan(lost, step("b", "probe.write", "a", note="two"), step("c", "probe.write", note="c", ask=True)))
        found = await house.waiting(handle, 2)
        first = next(request for request in found.waiting if request.step == "a")
        assert first.question == "again"
        await house.decide(handle, first.id, "reject", reason="let me look")
        await house.until(handle, lambda found: statuses(found)["a"] == "unknown")
        assert (await operators.retry(house, handle, "a")).accepted
        second = next(request for request in (await house.waiting(handle, 2)).waiting if request.step == "a")
        assert second.id != first.id and sum((await house.calls()).values()) == 1
        await house.decide(handle, second.id)
        await house.decide(handle, next(request.id for request in found.waiting if request.step == "c"))
        assert await house.ended(handle) == "COMPLETED"
        keys = {effect.key.rpartition("/a/")[2] for effect in await house.effects(handle) if effect.step == "a"}
        assert keys == {"1", "2"}


async def test_what_cannot_be_retried_is_told_with_the_reason(house_of: HouseOf) -> None:
    async with house_of(**NO_REPLANS) as house:
        steps = [step("done", note="done"), step("no", note="no", ask=True), step("wait", note="wait", ask=True)]
        bad = [step("bad", note="bad", fail="failed"), step("after", "probe.write", "bad")]
        handle = await house.start(plan(*steps, *bad))
        requests = {request.step: request.id for request in (await house.waiting(handle, 2)).waiting}
        await house.decide(handle, requests["no"], "reject", reason="never")
        ended = {"done": "done", "no": "refused", "bad": "failed"}
        await house.until(handle, lambda found: ended.items() <= statuses(found).items())
        for name, said in {
            "done": "done is done; a done step is never run again",
            "no": "no was refused (ann: never); a person's no is not retried",
            "wait": "wait waits for a person: there is nothing to retry",
            "zz": "has no step 'zz'; there are: done, no, wait, bad, after",
            "after": "after needs bad, which is failed: retry that",
        }.items():
            result = await operators.retry(house, handle, name)
            assert not result.accepted and said in result.message, result
        await operators.cancel(house, handle)
        await house.ended(handle)
        result = await operators.retry(house, handle, "bad")
        assert "is cancelled since" in result.message and f"`starter.py fork {handle.id} --from bad`" in result.message
        assert sum((await house.calls()).values()) == 2


async def test_a_step_whose_plan_was_replaced_is_not_retried(house: House) -> None:
    handle = await house.start(plan(step("a", note="one", fail="failed")), plan(step("b", note="two", ask=True)))
    await house.waiting(handle)
    result = await operators.retry(house, handle, "a")
    assert not result.accepted and "a belongs to d1, and d2 took its place" in result.message


async def test_a_reset_after_a_retry_finds_the_step_done(house_of: HouseOf) -> None:
    async with house_of(**NO_REPLANS) as house:
        handle = await house.start(plan(*FAILS_ONCE["answer"]["steps"], step("c", "probe.write", "b", note="three", ask=True),
                                        step("d", note="four", ask=True)))  # fmt: skip
        await house.until(handle, lambda found: statuses(found).get("a") == "failed")
        await operators.retry(house, handle, "a")
        await house.waiting(handle, 2)
        before = await house.calls()
        await reset(house, handle)
        for request in (await house.waiting(handle, 2)).waiting:
            await house.decide(handle, request.id)
        assert await house.ended(handle) == "COMPLETED"
        assert {key: count for key, count in (await house.calls()).items() if key in before} == before
