"""`undo --dry-run`: what it says is what the undo then does."""

from typing import Any

import pytest

import worker
from channels.cli.undo import ways
from contracts.approvals import Ruling
from ledger import approvals, effects
from tests.house import Handle, House, plan, step
from tests.integration.workflows.conftest import QUICK, HouseOf, house_of
from tests.integration.workflows.test_undo import asked, undo

__all__ = ["house_of"]
ASK = {"id": "ask-back", "when": 'tool == "probe.erase"', "outcome": "require_approval", "because": "a person vets what is erased"}
DENY = {**ASK, "id": "deny-back", "outcome": "deny", "because": "nothing is erased"}


async def foreseen(house: House, handle: Handle) -> list[str]:
    run = (await house.explained(handle)).run
    tools = worker.services(house.settings, house.database).registry.tools(run.automation)
    async with house.database.transaction("default") as tx:
        found = await effects.undoable(tx, run.lineage)
    return [way.how for way in await ways(house.database, tools, "default", run, found)]


@pytest.mark.parametrize(
    ("rules", "begins"),
    [
        ([], "probe.erase(id='"),
        ([ASK], "a person is asked first (a person vets what is erased); then probe.erase(id='"),
        ([DENY], "stays: probe.erase: nothing is erased"),
    ],
)
async def test_the_rules_have_their_say(house_of: HouseOf, rules: list[dict[str, Any]], begins: str) -> None:
    async with house_of(rules=rules) as house:
        handle = await house.start(plan(step("a", note="one")))
        await house.ended(handle)
        [how] = await foreseen(house, handle)
        assert how.startswith(begins) and await house.notes() == ["one"]


async def test_what_became_of_an_earlier_undo_is_told_and_so_is_what_a_person_said(house_of: HouseOf) -> None:
    async with house_of(tools=QUICK) as house:
        await house.put("trouble", "erase", {"fail": "failed"})
        handle = await house.start(plan(step("a", note="one")))
        await house.ended(handle)
        await undo(house, handle)
        request = await asked(house, handle)
        [how] = await foreseen(house, handle)
        assert how.startswith("a person is asked first (probe.erase failed: told to fail); then probe.erase(id='")
        # Said, and not yet heard by the undo.
        await house.client.get_workflow_handle(request.workflow_id).terminate("its worker died")
        ruling = Ruling(request=request.id, verdict="reject", by="ann", reason="I took it down by hand", happened=True)
        async with house.database.transaction("default") as tx:
            assert (await approvals.rule(tx, ruling, channel="cli", trusted=True)).ended
        assert await foreseen(house, handle) == ["noted as undone, as ann says that it is"]
