"""Decisions whose answers come in pieces: seen while they come, never in history, and paid for like any other."""

from collections.abc import AsyncGenerator
from typing import Any

import pytest

from ledger import said_so_far
from ledger.said_so_far import Saying
from tests.house import Handle, House, plan, step
from tests.integration.workflows.conftest import HouseOf
from tests.servers import until

MARK = "zanzibar"
GOOD = plan({**step("a", note="one"), "why": f"{MARK} " * 40})


@pytest.fixture
async def patient(house_of: HouseOf) -> AsyncGenerator[House]:
    """A house whose decisions may take as long as a test looks at them."""
    async with house_of(limits={"propose_seconds": 200}, worker={"model_timeout": 200}) as house:
        yield house


async def said(house: House, handle: Handle) -> list[Saying]:
    async with house.database.transaction("default") as tx:
        return await said_so_far.shown(tx, [handle.first_execution_run_id or ""])


async def until_said(house: House, handle: Handle) -> Saying:
    async def there() -> bool:
        return bool(await said(house, handle))

    await until(there)
    return (await said(house, handle))[0]


async def rows_left(house: House) -> int:
    async with house.database.transaction("default") as tx:
        return await tx.value("SELECT count(*) FROM said_so_far WHERE tenant = 'default'")


async def test_a_decision_is_seen_while_it_is_made_and_its_words_never_enter_history(patient: House) -> None:
    house = patient
    handle = await house.start({**GOOD, "hold": 240})
    call = await until_said(house, handle)
    assert (call.step, call.fence, call.state) == ("d1", 1, "saying") and MARK in call.text
    house.model.go_on()
    assert await house.ended(handle) == "COMPLETED" and await house.notes() == ["one"]
    assert await rows_left(house) == 0
    history = await house.client.get_workflow_handle(handle.id).fetch_history()
    assert MARK not in history.to_json()


async def test_a_call_that_broke_off_is_superseded_by_the_next_attempt(patient: House) -> None:
    house = patient
    handle = await house.start({**GOOD, "fault": "cut"}, {**GOOD, "hold": 240})

    async def both() -> bool:
        return [(call.fence, call.state) for call in await said(house, handle)] == [(1, "superseded"), (2, "saying")]

    await until(both)
    house.model.go_on()
    assert await house.ended(handle) == "COMPLETED"
    assert await rows_left(house) == 0


@pytest.mark.parametrize("fault", ["cut", "unfinished", "error_chunk", "broken_chunk"])
async def test_a_lost_answer_is_spent_at_its_worst_case_as_where_nothing_streams(house_of: HouseOf, fault: str) -> None:
    async with house_of() as house:
        found = await house.run({**GOOD, "fault": fault}, GOOD)
        assert found.run.status == "completed" and found.reserved == 0 and house.model.count == 2
        async with house.database.transaction("default") as tx:
            calls = await tx.fetch("SELECT state, cost, reserved FROM journal WHERE tenant = 'default' ORDER BY fence")
        assert [call["state"] for call in calls] == ["failed", "done"] and calls[0]["cost"] == calls[0]["reserved"] > calls[1]["cost"]
        assert found.spent == sum(call["cost"] for call in calls)


@pytest.mark.parametrize("stream", [True, False])
async def test_what_streams_costs_what_it_costs_in_one_piece(house_of: HouseOf, stream: bool) -> None:
    async with house_of(models={"planner": {"stream": stream}}) as house:
        found = await house.run({**GOOD, "usage": {"prompt_tokens": 100, "completion_tokens": 50}})
        assert found.run.status == "completed" and ("stream" in house.model.calls[0]) == stream
        assert (found.spent, found.reserved) == (100 * 1 + 50 * 2, 0)


async def test_a_quick_route_does_not_stream(house_of: HouseOf) -> None:
    quick: dict[str, Any] = {"models": {"planner": {"quick": True}}}
    async with house_of(**quick) as house:
        found = await house.run(GOOD)
        assert found.run.status == "completed" and "stream" not in house.model.calls[0]
