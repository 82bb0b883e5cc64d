"""Circuit breakers in whole runs: what keeps failing is left alone by all, probed by one, and `why` says so."""

import asyncio
from dataclasses import replace
from typing import Any

import pytest
from prometheus_client import REGISTRY

import worker
from activities.sweeper import Sweeper
from channels.explain import Explained
from ledger import breakers
from ledger.breakers import Breaker
from tests.house import House, plan, statuses, step
from tests.integration.workflows.conftest import HouseOf
from tests.integration.workflows.test_undo import Behind, undo
from tests.probes import IMPATIENT

DOWN = {'raise TransientError("told to be busy", retry_after=0.1)': 'raise TransientError("told to be down")'}
SOON = {"failures": 2, "open": "PT1S"}
ONE = {"failures": 1, "open": "PT1S"}
LOOK: dict[str, Any] = {"answer": {"look_ups": [{"tool": "probe.read", "arguments": {"what": "x"}}]}}


async def known(house: House) -> dict[str, Breaker]:
    async with house.database.transaction("default") as tx:
        return {breaker.name: breaker for breaker in await breakers.of_tenant(tx)}


async def opened(house: House, name: str, *, kind: str = "tool", seconds: float = 1.0) -> None:
    """Open a breaker as another worker would have done."""
    row = "('default', $1, $2, $3, 'open', 2, 1, now() + make_interval(secs => $4), 'down elsewhere')"
    async with house.database.transaction("default") as tx:
        await tx.execute(
            f"INSERT INTO breaker (tenant, kind, automation, name, state, failures, openings, opened_until, detail) VALUES {row}",  # noqa: S608
            kind, "probe" if kind == "tool" else "", name, seconds,
        )  # fmt: skip


def held(found: Explained) -> list[str]:
    return [moment.text for moment in found.timeline if moment.body.get("event") == "held"]


async def test_a_tool_that_keeps_failing_is_left_alone_and_the_probe_that_goes_well_closes_it(house_of: HouseOf) -> None:
    async with house_of(tools=DOWN, breakers=SOON) as house:
        found = await house.run(plan(step("a", note="one", fail="transient:2")))
        assert found.run.status == "completed" and await house.calls() == {f"{found.run.lineage}/a/1": 3}
        [line] = held(found)
        assert line.startswith("probe.write held: the breaker of probe.write is open until ")
        assert line.endswith(" UTC, because of 2 failures: told to be down")
        assert (await known(house))["probe.write"].state == "closed"


async def test_a_probe_that_fails_opens_it_for_longer(house_of: HouseOf) -> None:
    async with house_of(tools=DOWN, breakers=SOON) as house:
        found = await house.run(plan(step("a", note="one", fail="transient:3")))
        assert found.run.status == "completed" and len(held(found)) == 2
        assert "because of 3 failures" in held(found)[1]


async def test_a_healthy_tool_and_model_leave_no_trace_of_a_breaker(house: House) -> None:
    found = await house.run(plan(step("a", note="one")))
    assert found.run.status == "completed" and await known(house) == {}


async def test_only_one_call_tries_an_open_tool_across_runs_and_workers_and_the_others_wait_for_its_end(house_of: HouseOf) -> None:
    async with house_of() as house, replace(house, client=await worker.connect(house.settings)).worker():
        await opened(house, "probe.slow", seconds=4)
        house.model.set_script([{**plan(step("a", "probe.slow", note="one", seconds=0.5)), "times": 4}])
        handles = [await house.start() for _ in range(4)]
        assert [await house.ended(handle) for handle in handles] == ["COMPLETED"] * 4
        effects = sorted([(await house.effects(handle))[0] for handle in handles], key=lambda effect: effect.claimed_at)
        assert effects[0].ended_at is not None
        assert all(effect.claimed_at >= effects[0].ended_at for effect in effects[1:])
        assert set((await house.calls()).values()) == {1}
        for handle in handles:
            assert "down elsewhere" in held(await house.explained(handle))[0]


async def test_a_step_that_waits_for_a_breaker_says_so_while_it_waits(house_of: HouseOf) -> None:
    async with house_of() as house:
        await opened(house, "probe.write", seconds=2)
        handle = await house.start(plan(step("a", note="one")))
        found = await house.until(handle, lambda found: statuses(found).get("a") == "waiting")
        assert found.steps[0].detail.startswith("its turn: the breaker of probe.write is open until ")
        assert await house.effects(handle) == [], "nothing is claimed meanwhile"
        assert await house.ended(handle) == "COMPLETED"


async def test_a_step_whose_tool_stays_down_fails_with_its_breaker_as_the_reason(house_of: HouseOf) -> None:
    async with house_of(tools=DOWN, breakers={"failures": 1, "open": "PT10M"}, limits={**IMPATIENT["limits"], "replans": 0}) as house:
        found = await house.run(plan(step("a", note="one", fail="transient")))
        assert (found.run.status, found.steps[0].status) == ("failed", "failed")
        assert found.steps[0].detail.startswith("the breaker of probe.write is open until ")
        assert sum((await house.calls()).values()) == 1


@pytest.mark.parametrize("how", ["failed", "transient:2"])
async def test_neither_a_refusal_nor_a_wait_that_was_asked_for_is_a_failure_of_the_tool(house_of: HouseOf, how: str) -> None:
    async with house_of(breakers=ONE) as house:
        found = await house.run(plan(step("a", note="one", fail=how)), plan())
        assert held(found) == [] and await known(house) == {}


async def test_a_call_that_may_have_acted_counts(house_of: HouseOf) -> None:
    async with house_of(tools={"seconds=2)": "seconds=0.5)"}, breakers=ONE) as house:
        found = await house.run(plan(step("a", note="one", fail="lost:1")))
        assert found.run.status == "completed" and len(held(found)) == 1 and await house.notes() == ["one"]


async def test_a_model_that_keeps_failing_is_left_alone_and_asked_again_by_one(house_of: HouseOf) -> None:
    async with house_of(breakers=SOON) as house:
        found = await house.run({"fault": "500", "times": 2}, plan(step("a", note="one")))
        assert found.run.status == "completed" and house.model.count == 3 and found.reserved == 0
        [line] = held(found)
        assert "the breaker of the model scripted is open until" in line and "said 500" in line
        assert (await known(house))["scripted"].state == "closed"


async def test_a_model_that_is_busy_keeps_its_breaker_closed(house_of: HouseOf) -> None:
    async with house_of(breakers=ONE) as house:
        found = await house.run({"fault": "429", "retry_after": 0.1, "times": 2}, plan(step("a", note="one")))
        assert found.run.status == "completed" and await known(house) == {}


async def test_two_decisions_of_one_model_that_is_open_are_one_probe_and_one_that_waits(house_of: HouseOf) -> None:
    async with house_of(breakers=SOON) as house:
        await opened(house, "scripted", kind="model")
        house.model.set_script([{**plan(step("a", note="one")), "times": 2, "delay": 0.3}])
        handles = await asyncio.gather(house.start(), house.start())
        assert [await house.ended(handle) for handle in handles] == ["COMPLETED"] * 2 and house.model.count == 2


async def test_a_look_up_waits_for_its_tools_breaker_and_the_model_is_not_asked_again(house_of: HouseOf) -> None:
    async with house_of(breakers=SOON) as house:
        await opened(house, "probe.read")
        found = await house.run(LOOK, plan(step("a", note="one")))
        assert found.run.status == "completed" and house.model.count == 2
        assert list((await house.calls("reads")).values()) == [1] and "probe.read held" in held(found)[0]
        assert (await known(house))["probe.read"].state == "closed"


async def test_open_breakers_are_counted_for_the_metrics_page(house_of: HouseOf) -> None:
    async with house_of(alone=True) as house:
        await opened(house, "probe.write", seconds=60)
        await Sweeper(house.database, house.client, "default").sweep()
        labels = {"tenant": "default", "kind": "tool", "name": "probe/probe.write"}
        assert REGISTRY.get_sample_value("perdure_breakers_open", labels) == 1


async def test_a_compensation_waits_for_its_tools_breaker_and_says_so(house_of: HouseOf) -> None:
    async with house_of(limits={"replans": 0}) as house:
        await opened(house, "probe.erase", seconds=1.5)
        found = await house.run(plan(step("a", note="one"), step("b", "probe.write", "a", fail="failed")))
        assert found.run.status == "failed" and await house.notes() == []
        [line] = held(found)
        assert line.startswith("probe.erase held: the breaker of probe.erase is open until ") and line.endswith("down elsewhere")
        assert sum((await house.calls("erasures")).values()) == 1, "it was not called while it was left alone"
        assert (await known(house))["probe.erase"].state == "closed", "the compensation was the probe, and went well"
        assert found.waiting == [] and found.requests == [], "nobody was asked"


async def test_a_compensation_that_keeps_failing_opens_its_breaker_and_is_done_when_its_tool_is_well(house_of: HouseOf) -> None:
    async with house_of(tools=DOWN, breakers=SOON, limits={"replans": 0}) as house:
        await house.put("trouble", "erase", {"fail": "transient:2"})
        found = await house.run(plan(step("a", note="one"), step("b", "probe.write", "a", fail="failed")))
        assert found.run.status == "failed" and await house.notes() == [] and len(held(found)) == 1
        assert sum((await house.calls("erasures")).values()) == 3 and (await known(house))["probe.erase"].state == "closed"


async def test_an_undo_asks_no_look_up_of_a_tool_that_is_left_alone(house: House, behind: Behind) -> None:
    handle = await house.start(plan(step("a", "probe.found", note="one")))
    await house.ended(handle)
    await behind("UPDATE effect SET state = 'unknown', output = NULL, deadline = now()")
    await opened(house, "probe.found", seconds=1.5)
    assert len((await (await undo(house, handle)).result()).undone) == 1 and await house.notes() == []
    [line] = held(await house.explained(handle))
    assert line.startswith("probe.found held: the breaker of probe.found is open until ")
