"""Questions about an undo: each is heard, a word that ran out is asked for anew, and what another question replaced is withdrawn."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import worker
from activities.undo_consent import Consent, Left
from contracts import names
from contracts.approvals import Ruling
from ledger import approvals
from ledger.approvals import Request
from tests.house import House, plan, step
from tests.integration.workflows.conftest import QUICK, HouseOf
from tests.integration.workflows.test_undo import Behind, asked, closed, decide, states, undo
from tests.integration.workflows.test_undone_already import failed
from tests.servers import until

QUICK_END: dict[str, Any] = {"limits": {"replans": 0, "act_seconds": 2, "patience_seconds": 20}, "tools": QUICK}


async def rule(house: House, request: Request, **said: Any) -> None:
    """Rule behind the undo's back: it is not there to hear it."""
    async with house.database.transaction("default") as tx:
        ruling = Ruling.model_validate({"request": request.id, "verdict": "approve", "by": "ann", "reason": "because", **said})
        assert (await approvals.rule(tx, ruling, channel="cli", trusted=True)).accepted


async def test_either_of_two_questions_about_one_step_is_heard_while_the_other_waits(house_of: HouseOf) -> None:
    async with house_of(**QUICK_END) as house:
        await house.put("trouble", "erase", {"fail": "failed:3"})
        handle = await house.start(
            plan(step("a", "probe.guarded", note="pay", fail="lost:1"), step("b", "probe.write", "a", fail="failed"))
        )
        await house.decide(handle, (await asked(house, handle)).id)
        await house.ended(handle)
        first, second = (await house.until(handle, lambda found: len(found.waiting) == 2)).waiting
        asking = house.client.get_workflow_handle(first.workflow_id)

        async def both_heard() -> bool:
            return {one["request"] for one in await asking.query(names.PENDING)} == {first.id, second.id}

        # The ledger knows of both a moment before the workflow does.
        await until(both_heard)
        await decide(house, first, "reject", happened=True)

        async def compensated() -> bool:
            return [one.n for one in await house.effects(handle) if one.state == "compensated"] == [first.n]

        await until(compensated)
        assert [one.id for one in (await house.explained(handle)).waiting] == [second.id]
        await decide(house, second, "reject", happened=True)
        await closed(house, second)
        assert [one.n for one in await house.effects(handle) if one.state == "compensated"] == [1, 2]


async def test_a_word_on_an_undo_that_ran_out_is_asked_for_anew_by_the_next_order(house_of: HouseOf, behind: Behind) -> None:
    async with house_of(**QUICK_END) as house:
        await house.put("trouble", "erase", {"fail": "failed:1"})
        handle = await house.start(plan(step("a", note="one"), step("b", "probe.write", "a", fail="failed")))
        await house.ended(handle)
        request = await asked(house, handle)
        await house.client.get_workflow_handle(request.workflow_id).terminate("its worker was away for days")
        await rule(house, request)
        await behind("UPDATE approval SET expires_at = now() - interval '1 minute', created_at = now() - interval '4 days'")
        await undo(house, handle)
        again = await asked(house, handle)
        assert again.id != request.id
        await decide(house, again)
        await closed(house, again)
        assert (await states(house, handle))["a"] == "compensated" and await house.notes() == []


async def test_an_edit_that_the_second_person_refused_is_asked_anew_by_the_next_order(house_of: HouseOf) -> None:
    async with house_of(**QUICK_END, approvals={"quorum": 2}) as house:
        handle, first = await failed(house, "failed:1")
        await decide(house, first, "edit", arguments={"id": "another"})
        second = (await house.until(handle, lambda found: bool(found.waiting) and found.waiting[0].id != first.id)).waiting[0]
        await decide(house, second, "reject", by="bob")
        await closed(house, second)
        await undo(house, handle)
        third = await asked(house, handle)
        assert third.id not in (first.id, second.id) and third.supersedes == first.id
        await decide(house, third)
        await decide(house, third, by="bob")
        await closed(house, third)
        assert [one.state for one in (await house.explained(handle)).requests if one.id == third.id] == ["consumed"]


async def test_two_orders_within_one_second_are_two_questions(house_of: HouseOf, behind: Behind) -> None:
    async with house_of(**QUICK_END) as house:
        handle, request = await failed(house)
        await decide(house, request, "reject", reason="not yet")
        await closed(house, request)
        made = worker.services(house.settings, house.database)
        run, [effect, *_] = (await house.explained(handle)).run, await house.effects(handle)
        bundle, second = await made.bundles.get("default", run.bundle), datetime.now(UTC).replace(microsecond=0) + timedelta(seconds=1)
        asked_about: list[str] = []
        for microseconds in (100_000, 600_000):
            consent = Consent(made, run, bundle, "default", "undo-1", second + timedelta(microseconds=microseconds))
            async with house.database.transaction("default") as tx:
                left = await consent.given(tx, effect, made.registry.tools("probe")["probe.erase"], {"id": effect.key}, 2, "told to fail")
            assert isinstance(left, Left) and left.gate
            asked_about.append(left.gate.request)
            await behind("UPDATE approval SET state = 'rejected' WHERE state = 'pending'")
        assert len({request.id, *asked_about}) == 3


async def test_another_version_of_the_tool_withdraws_what_was_asked_before(house_of: HouseOf, tmp_path: Path) -> None:
    async with house_of(**QUICK_END) as house:
        handle, request = await failed(house)
        code = tmp_path / "automations" / "probe" / "tools.py"
        code.write_text(code.read_text() + "\n# another version\n")
        await undo(house, handle)
        await house.client.get_workflow_handle(request.workflow_id).signal(names.WAKE, {})
        found = await house.until(handle, lambda found: bool(found.waiting) and found.waiting[0].id != request.id)
        assert len(found.waiting) == 1
        await decide(house, found.waiting[0], "reject", happened=True)
        await closed(house, found.waiting[0])
        assert (await states(house, handle))["a"] == "compensated"
