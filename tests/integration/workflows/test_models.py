"""Decisions under a model that fails, costs too much, or wants to look things up first."""

from typing import Any

import pytest

from tests.house import House, plan, statuses, step
from tests.integration.workflows.conftest import HouseOf
from tests.probes import IMPATIENT

GOOD = plan(step("a", note="one"))
LOOK: dict[str, Any] = {
    "answer": {"look_ups": [{"tool": "probe.read", "arguments": {"what": "x"}}, {"tool": "probe.read", "arguments": {"what": "y"}}]}
}


@pytest.mark.parametrize(
    "fault",
    [
        {"fault": "429", "retry_after": 0.2, "times": 2},
        {"fault": "500"},
        {"fault": "timeout"},
        {"fault": "cut", **GOOD},
        {"fault": "malformed", **GOOD},
        {"fault": "wrong_tool", **GOOD},
    ],
    ids=lambda fault: fault["fault"],
)
async def test_a_model_that_fails_at_first_is_asked_again(house_of: HouseOf, fault: dict[str, Any]) -> None:
    async with house_of(worker={"model_timeout": 2}) as house:
        found = await house.run(fault, GOOD)
        assert found.run.status == "completed" and await house.notes() == ["one"]
        assert house.model.count == 1 + fault.get("times", 1) and found.reserved == 0


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        ({"fault": "429", "times": 99}, "429"),
        ({"fault": "500", "times": 99}, "500"),
        ({"fault": "timeout", "times": 99}, "the model did not answer in time"),
        ({"fault": "malformed", "times": 99, **GOOD}, "is not JSON"),
        ({"fault": "wrong_tool", "times": 99, **GOOD}, "there is no tool 'no_such_tool'"),
    ],
    ids=lambda value: value["fault"] if isinstance(value, dict) else "",
)
async def test_a_model_that_stays_down_fails_the_run_with_its_reason_and_nothing_is_done(
    house_of: HouseOf, fault: dict[str, Any], said: str
) -> None:
    # An attempt has time on a slow machine too; what is short is how long there are attempts.
    async with house_of(
        worker={"model_timeout": 0.5}, limits={**IMPATIENT["limits"], "propose_seconds": 20, "patience_seconds": 4}
    ) as house:
        found = await house.run(fault)
        assert found.run.status == "failed" and said in found.run.summary
        assert found.steps == [] and await house.calls() == {}
        # An attempt that Temporal has given up settles its call a moment later.
        await house.until(house.handles[0], lambda found: found.reserved == 0)


async def test_a_budget_that_cannot_hold_one_call_asks_no_model(house_of: HouseOf) -> None:
    async with house_of(budget={"run_micros": 10}) as house:
        found = await house.run(GOOD)
        assert found.run.status == "failed" and "more than this run's budget has left: raise budget.run_micros" in found.run.summary
        assert house.model.count == 0 and found.spent == found.reserved == 0


async def test_what_the_model_looks_up_is_journaled_one_by_one_and_shown_to_it(house: House) -> None:
    found = await house.run(LOOK, GOOD)
    assert found.run.status == "completed"
    async with house.database.transaction("default") as tx:
        rows = await tx.fetch("SELECT idx, kind, state FROM journal WHERE tenant = 'default' ORDER BY idx")
    assert [tuple(row) for row in rows] == [(0, "model", "done"), (1, "lookup", "done"), (2, "lookup", "done"), (3, "model", "done")]
    assert "x!" in house.model.calls[-1]["messages"][-1]["content"]
    [decided] = [moment for moment in found.timeline if moment.kind == "decision"]
    assert [read["by"] for read in decided.body["reads"]] == ["model", "model"]


async def test_look_ups_are_made_once_though_the_attempt_that_made_them_fails(house: House) -> None:
    found = await house.run(LOOK, {"fault": "500"}, GOOD)
    assert found.run.status == "completed"
    assert list((await house.calls("reads")).values()) == [1, 1]
    assert house.model.count == 3, "the first call is journaled too"
    [decided] = [moment for moment in found.timeline if moment.kind == "decision"]
    assert decided.body["attempt"] == 2 and len(decided.body["reads"]) == 2


async def test_a_look_up_that_fails_is_told_to_the_model(house: House) -> None:
    found = await house.run({"answer": {"look_ups": [{"tool": "probe.read", "arguments": {"fail": True}}]}}, GOOD)
    assert found.run.status == "completed"
    assert "there is nothing to read" in house.model.calls[-1]["messages"][-1]["content"]


async def test_a_model_that_only_looks_things_up_is_stopped(house: House) -> None:
    found = await house.run(*[{**LOOK, "times": 99}])
    assert found.run.status == "failed" and "look-ups are the most" in found.run.summary and statuses(found) == {}
