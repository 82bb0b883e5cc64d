"""Continue-as-new: over many executions nothing is lost, nothing is done twice, and no time is counted anew."""

import asyncio
import time
from collections import Counter
from typing import Any

from temporalio.client import Client

from contracts import names
from contracts.effects import ActResult
from contracts.runs import Limits
from ledger import records
from tests.fake_activities import World, gate
from tests.house import Handle, House, plan, statuses, step
from tests.integration.workflows.conftest import HouseOf
from tests.servers import until

SMALL: dict[str, Any] = {"limits": {"history_events": 50}}


async def executions(client: Client, id: str) -> list[str]:
    """Return the run ids of a chain, newest first."""
    found, run_id = list[str](), (await client.get_workflow_handle(id).describe()).run_id
    while run_id:
        found.append(run_id)
        events = client.get_workflow_handle(id, run_id=run_id).fetch_history_events(page_size=1)
        run_id = (await anext(events)).workflow_execution_started_event_attributes.continued_execution_run_id
    return found


async def _said(house: House, handle: Handle, open_requests: list[str]) -> int:
    """Send 50 signals, the valid ones among them twice; return how many of them must be refused."""
    ruling = {"verdict": "approve", "by": "ann"}
    wrong: list[tuple[str, list[Any]]] = [
        (names.DECIDE, [{**ruling, "request": "apr-none"}]),
        (names.DECIDE, [{**ruling, "verdict": "maybe", "request": open_requests[0]}]),
        (names.DECIDE, []),
        (names.DECIDE, [None]),
        ("nonsense", [ruling]),
    ]
    said = [wrong[nth % len(wrong)] for nth in range(44)]
    # The last two requests are ruled at the end only, so that most of the executions wait for them.
    for place, request in zip((5, 6, 38, 39, 48, 49), [request for request in open_requests for _ in range(2)], strict=True):
        said.insert(place, (names.DECIDE, [{**ruling, "request": request}]))
    assert len(said) == 50
    for nth, (name, inputs) in enumerate(said, 1):
        await house.client.get_workflow_handle(handle.id).signal(name, args=inputs)
        if nth % 2 == 0:
            # All at once, they would be answered within one execution or two.
            await house.until(handle, lambda found, nth=nth: len(found.refusals) >= nth - len(open_requests))
    return 47


async def test_open_requests_running_steps_and_fifty_signals_pass_five_executions_and_none_is_lost_or_doubled(house_of: HouseOf) -> None:
    async with house_of(**SMALL) as house:
        asks = [step(f"ask{nth}", note=f"ask{nth}", ask=True) for nth in range(3)]
        slow = [step(f"slow{nth}", "probe.slow", note=f"slow{nth}", seconds=0.7) for nth in range(2)]
        handle = await house.start(plan(*asks, *slow))
        requests = [request.id for request in (await house.waiting(handle, 3)).waiting]
        refused = await _said(house, handle, requests)
        assert await house.ended(handle) == "COMPLETED"
        chain = await executions(house.client, handle.id)
        found = await house.explained(handle)
        assert len(chain) > 5 and chain[-1] == found.run.lineage == handle.first_execution_run_id
        assert set(statuses(found).values()) == {"done"} and len(found.steps) == 5
        assert Counter(effect.state for effect in await house.effects(handle)) == {"done": 5}
        assert list((await house.calls()).values()) == [1] * 5 and house.model.count == 1
        assert [request.state for request in found.requests] == ["consumed"] * 3
        async with house.database.transaction("default") as tx:
            kept = await records.of_run(tx, found.run.lineage)
        rulings = [record["body"]["claim"] for record in kept if record["kind"] == "ruling" and "claim" in record["body"]]
        claims = [record["id"].removeprefix(f"{found.run.lineage}/claim/") for record in kept if record["kind"] == "access"]
        assert (len(rulings), len(claims)) == (3, refused)
        answered = sorted([int(claim) for claim in claims] + [int(claim.rpartition("/")[2]) for claim in rulings])
        assert answered == list(range(50))


async def test_steps_of_many_executions_are_counted_once(house_of: HouseOf) -> None:
    async with house_of(**SMALL) as house:
        chained = [step(f"s{nth}", "probe.write", *([f"s{nth - 1}"] if nth else []), note=f"{nth}") for nth in range(12)]
        handle = await house.start(plan(*chained, done=False), plan(step("last", note="last")))
        result = await house.client.get_workflow_handle(handle.id).result()
        assert result["statuses"] == {"done": 13} and result["decisions"] == 2
        chain = await executions(house.client, handle.id)
        assert len(chain) >= 2 and result["lineage"] == chain[-1] and set((await house.calls()).values()) == {1}


async def test_a_failure_in_a_later_execution_undoes_what_earlier_ones_did(house_of: HouseOf) -> None:
    async with house_of(limits={"history_events": 50, "replans": 0}) as house:
        chained = [step(f"s{nth}", "probe.write", *([f"s{nth - 1}"] if nth else []), note=f"{nth}") for nth in range(12)]
        found = await house.run(plan(*chained, step("bad", "probe.write", "s11", fail="failed")))
        assert found.run.status == "failed" and await house.notes() == []
        assert len(await executions(house.client, house.handles[0].id)) >= 2


async def test_a_slot_is_waited_for_over_an_execution_and_can_still_be_moved(house_of: HouseOf) -> None:
    async with house_of(**SMALL) as house:
        await house.put("slot", "page", {"at": "2999-01-01T00:00:00Z"})
        chained = [step(f"s{nth}", "probe.write", *([f"s{nth - 1}"] if nth else []), note=f"{nth}") for nth in range(12)]
        handle = await house.start(plan(step("slot", "probe.slotted", note="page"), *chained))
        await house.until(handle, lambda found: list(statuses(found).values()).count("done") == 12)
        assert len(await executions(house.client, handle.id)) >= 2
        await house.put("slot", "page", {"at": "2000-01-01T00:00:00Z"})
        await house.client.get_workflow_handle(handle.id).signal(names.WAKE, {})
        assert await house.ended(handle) == "COMPLETED"


async def test_a_ruling_that_is_answered_while_the_run_leaves_is_not_waited_for_again(client: Client) -> None:
    """The claim is handed over when the history is full: the next execution must not wait for the request's next rung."""

    async def acts(world: World, step: str, nth: int) -> ActResult:
        if step == "ask" and "r1" not in world.ruled:
            return gate("r1", step, (time.time() + 86_400, "end"))
        return ActResult(status="done")

    others = tuple(f"s{nth}" for nth in range(20))
    world = World(steps=("ask", *others), on_act=acts, limits=Limits(history_events=50, parallel=1), hold={names.RULE: asyncio.Event()})
    async with world.started(client) as handle:

        async def gated() -> bool:
            return "ask" in world.of(names.ACT)

        await until(gated)
        await handle.signal(names.DECIDE, {"request": "r1", "verdict": "approve", "by": "ann"})

        async def full() -> bool:
            length = (await client.get_workflow_handle(handle.id).describe()).history_length
            return length >= 55

        await until(full, 10)
        world.hold[names.RULE].set()
        await asyncio.wait_for(client.get_workflow_handle(handle.id).result(), 10)
        assert len(await executions(client, handle.id)) >= 2
    assert world.of(names.RULE) == [0] and world.of(names.CLIMB) == []


async def test_a_claim_of_any_length_that_the_server_takes_does_not_stop_the_run(house_of: HouseOf) -> None:
    async with house_of(**SMALL) as house:
        handle = await house.start(plan(step("a", note="one", ask=True)))
        request = (await house.waiting(handle)).waiting[0].id
        edit = {"request": request, "verdict": "edit", "by": "ann", "arguments": {"note": "x" * 1_900_000}}
        await handle.signal(names.DECIDE, edit)
        wide = {"request": "apr-none", "verdict": "approve", "by": "ann", "arguments": {"note": "x" * 60_000}}
        for _ in range(40):
            await house.client.get_workflow_handle(handle.id).signal(names.DECIDE, wide)
        found = await house.until(handle, lambda found: len(found.refusals) == 41)
        assert "64000 is the most" in found.refusals[0].body["why"] and len(found.waiting) == 1
        await house.decide(handle, request)
        assert await house.ended(handle) == "COMPLETED"
