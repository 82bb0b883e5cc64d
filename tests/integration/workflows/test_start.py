"""Starts: a wrong one fails at once, names what is wrong, and leaves no run behind."""

import secrets
from typing import Any

import pytest
from temporalio.client import WorkflowFailureError

from contracts import names
from ledger import runs
from tests.house import House, plan, step
from tests.integration.workflows.conftest import HouseOf


@pytest.fixture
def house(shared_house: House) -> House:
    """The runs of this module have nothing to do with each other."""
    return shared_house


async def refused(house: House, *inputs: Any, kind: str = names.ORCHESTRATOR) -> str:
    """Start a run as any client could, and return why it failed."""
    handle = await house.client.start_workflow(kind, args=inputs, id=f"test-{secrets.token_hex(6)}", task_queue=house.settings.task_queue)
    house.handles.append(handle)
    with pytest.raises(WorkflowFailureError) as failure:
        await handle.result()
    async with house.database.transaction("default") as tx:
        assert await runs.find(tx, handle.id) is None
    return str(failure.value.cause)


@pytest.mark.parametrize("kind", [names.ORCHESTRATOR, "Nonsense"])
@pytest.mark.parametrize(
    ("start", "field"),
    [
        ({"automation": 5}, "automation"),
        ({"input": {}}, "automation"),
        ({"automation": "probe", "tennant": "x"}, "tennant"),
        ({"automation": "probe", "input": []}, "input"),
        ({"automation": "probe", "tenant": "No Such"}, "tenant"),
        ("probe", "StartRequest does not fit: the input: "),
        (None, "no input was given; right is {"),
    ],
)
async def test_a_bad_start_input_fails_at_once_with_its_field_named(house: House, kind: str, start: Any, field: str) -> None:
    assert field in await refused(house, start, kind=kind)


@pytest.mark.parametrize("kind", [names.ORCHESTRATOR, "Nonsense"])
@pytest.mark.parametrize(("inputs", "said"), [([], "no input was given"), ([{"automation": "probe"}] * 2, "2 inputs were given")])
async def test_a_start_with_no_input_or_with_two_fails_at_once(house: House, kind: str, inputs: list[Any], said: str) -> None:
    assert said in await refused(house, *inputs, kind=kind)


async def test_an_unknown_automation_fails_and_the_known_ones_are_named(house: House) -> None:
    said = await refused(house, {"automation": "prob"})
    assert "no automation 'prob'; there are: probe" in said


async def test_an_input_that_breaks_the_automations_schema_fails_with_its_field_named(house_of: HouseOf) -> None:
    async with house_of(input={"type": "object", "properties": {"say": {"type": "string"}}, "required": ["say"]}) as house:
        assert "input.say: 5 is not of type 'string'" in await refused(house, {"automation": "probe", "input": {"say": 5}})
        assert "'say' is a required property" in await refused(house, {"automation": "probe"})


@pytest.mark.parametrize("kind", ["CoordinatorWorkflow", "Nonsense"])
async def test_a_wrong_workflow_type_fails_at_once_and_names_the_right_one(house: House, kind: str) -> None:
    said = await refused(house, {"automation": "probe"}, kind=kind)
    assert f"probe runs as workflow type {names.ORCHESTRATOR}, not {kind}" in said


async def test_nobody_can_start_in_the_middle_of_another_run(house: House) -> None:
    first = await house.run(plan(step("a", note="one")))
    run = {"ref": {"tenant": "default", "lineage": first.run.lineage, "bundle": first.run.bundle}, "automation": "probe"}
    handle = await house.client.start_workflow(
        names.ORCHESTRATOR, {"automation": "probe", "carried": {"run": run, "window": 0, "seq": 0}},
        id=f"test-{secrets.token_hex(6)}", task_queue=house.settings.task_queue,
    )  # fmt: skip
    house.handles.append(handle)
    with pytest.raises(WorkflowFailureError) as failure:
        await handle.result()
    assert "`carried`" in str(failure.value.cause) and house.model.count == 1
