"""Raw signals: whatever is said, the run goes on waiting, and what was refused is written down once."""

import asyncio
import json
import time
from typing import Any

import pytest
from temporalio.client import Client

from contracts import names
from contracts.effects import ActResult
from tests.fake_activities import World, gate
from tests.house import House, plan, statuses, step
from tests.integration.workflows.conftest import HouseOf
from tests.servers import until

ASKS = plan(step("a", note="one", ask=True))
GOOD = {"request": "REQUEST", "verdict": "approve", "by": "eve"}


@pytest.fixture
def house(shared_house: House) -> House:
    """The runs of this module have nothing to do with each other."""
    return shared_house


def nested(depth: int) -> Any:
    """Return a value that is so deep."""
    return json.loads("[" * depth + "]" * depth)


@pytest.mark.parametrize(
    ("name", "inputs", "said"),
    [
        (names.DECIDE, [{**GOOD, "request": "apr-none"}], "unknown request 'apr-none'"),
        (names.DECIDE, [{**GOOD, "verdict": "maybe"}], "verdict: Input should be 'approve', 'reject' or 'edit'"),
        (names.DECIDE, [], "0 inputs were given; one is right"),
        (names.DECIDE, [GOOD, GOOD], "2 inputs were given; one is right"),
        (names.DECIDE, [None], "right is {"),
        (names.DECIDE, ["approve"], "right is {"),
        (names.DECIDE, [[1, 2]], "right is {"),
        (names.DECIDE, [{**GOOD, "verdict": None, "extra": 1}], "extra: Extra inputs are not permitted"),
        (names.DECIDE, [{**GOOD, "re\0ason": "x"}], "NUL characters"),
        (names.DECIDE, [{**GOOD, "reason": "x" * 70_000}], "64000 is the most"),
        (names.DECIDE, [{**GOOD, "verdict": "edit", "arguments": {"note": nested(150)}}], "note: the value breaks `type: string`"),
        (names.DECIDE, [{**GOOD, "verdict": "edit", "arguments": {"note": nested(240)}}], "right is {"),
        (names.DECIDE, [{**GOOD, "verdict": "edit"}], "an edit needs `arguments`"),
        (names.DECIDE, [{**GOOD, "arguments": {}}], "`arguments` go with the verdict `edit` only"),
        (names.DECIDE, [{**GOOD, "digest": "0000000000"}], "the action is not the one that was seen"),
        (names.DECIDE, [{**GOOD, "verdict": "reject", "reason": " "}], "a rejection needs a reason"),
        (names.WAKE, [{"request": 5}], "request: Input should be a valid string"),
        ("approve", [GOOD], "there is no signal 'approve'"),
        ("x\0y" * 100, [GOOD], "there is no signal"),
    ],
)  # fmt: skip
async def test_what_cannot_be_followed_leaves_the_run_waiting_and_is_one_refusal(
    house: House, name: str, inputs: list[Any], said: str
) -> None:
    handle = await house.start(ASKS)
    request = (await house.waiting(handle)).waiting[0].id
    given = [
        {**value, "request": value["request"].replace("REQUEST", request)} if isinstance(value, dict) and "by" in value else value
        for value in inputs
    ]
    await handle.signal(name, args=given)
    found = await house.until(handle, lambda found: len(found.refusals) == 1)
    assert said in found.refusals[0].body["why"]
    assert len(found.waiting) == 1 and found.run.status == "running"
    await house.decide(handle, request)
    assert await house.ended(handle) == "COMPLETED"
    assert len((await house.explained(handle)).refusals) == 1


async def test_a_second_ruling_is_refused_and_names_the_first(house: House) -> None:
    handle = await house.start(plan(step("a", note="one", ask=True), step("b", note="two", ask=True)))
    first, second = [request.id for request in (await house.waiting(handle, 2)).waiting]
    await house.decide(handle, first)
    await house.decide(handle, first, "reject", by="bob")
    found = await house.until(handle, lambda found: len(found.refusals) == 1)
    assert "already decided by ann at" in found.refusals[0].body["why"]
    await house.decide(handle, second)
    assert await house.ended(handle) == "COMPLETED"
    assert statuses(await house.explained(handle)) == {"a": "done", "b": "done"}


async def test_a_request_of_another_run_is_refused_and_stays_open_there(house: House) -> None:
    mine, other = await house.start(ASKS), await house.start(ASKS)
    there = (await house.waiting(other)).waiting[0].id
    await house.waiting(mine)
    await house.decide(mine, there)
    found = await house.until(mine, lambda found: len(found.refusals) == 1)
    assert "is a request of another run" in found.refusals[0].text
    assert len((await house.explained(other)).waiting) == 1


async def test_an_unsigned_ruling_is_not_believed_where_others_share_the_machine(house_of: HouseOf) -> None:
    async with house_of(worker={"one_machine": False}) as house:
        handle = await house.start(ASKS)
        await house.decide(handle, (await house.waiting(handle)).waiting[0].id)
        found = await house.until(handle, lambda found: len(found.refusals) == 1)
        assert "signed rulings only" in found.refusals[0].text and len(found.waiting) == 1


async def test_an_unsigned_ruling_is_not_believed_where_the_automation_wants_signed_ones(house_of: HouseOf) -> None:
    async with house_of(approvals={"unsigned": False}) as house:
        handle = await house.start(ASKS)
        await house.decide(handle, (await house.waiting(handle)).waiting[0].id)
        found = await house.until(handle, lambda found: len(found.refusals) == 1)
        assert len(found.waiting) == 1


async def test_a_ruling_that_comes_before_the_gate_is_reached_is_kept(client: Client) -> None:
    async def asks(world: World, step: str, nth: int) -> ActResult:
        return ActResult(status="done") if "r1" in world.ruled else gate("r1", step, (time.time() + 86_400, "end"))

    async def asks_late(world: World, step: str, nth: int) -> ActResult:
        answer = await asks(world, step, nth)
        if nth == 1:
            await released.wait()
        return answer

    released, world = asyncio.Event(), World(on_act=asks_late)
    async with world.started(client) as handle:

        async def acting() -> bool:
            return bool(world.of(names.ACT))

        async def ruled() -> bool:
            return bool(world.of(names.RULE))

        await until(acting)
        await handle.signal(names.DECIDE, {"request": "r1", "verdict": "approve", "by": "ann"})
        await until(ruled)
        await asyncio.sleep(0.2)
        released.set()
        await asyncio.wait_for(handle.result(), 5)
    assert world.of(names.ACT) == ["a", "a"] and world.of(names.CLIMB) == []


async def test_a_false_wake_costs_a_look_and_nothing_else(house: House) -> None:
    handle = await house.start(ASKS)
    request = (await house.waiting(handle)).waiting[0].id
    await handle.signal(names.WAKE, {"request": request})
    await handle.signal(names.WAKE, {})
    await asyncio.sleep(0.5)
    found = await house.explained(handle)
    assert [waiting.id for waiting in found.waiting] == [request] and found.refusals == []
    assert [pending["request"] for pending in await handle.query(names.PENDING)] == [request]
    await house.decide(handle, request)
    assert await house.ended(handle) == "COMPLETED" and (await house.calls())[f"{found.run.lineage}/a/1"] == 1
