"""Postgres restored to an earlier time: what was undone since is not undone again, and what may have happened is asked about."""

import pytest

from tests.house import plan, step
from tests.integration.workflows.conftest import QUICK, HouseOf
from tests.integration.workflows.test_reconcile import Behind, of, reconcile
from tests.integration.workflows.test_undo import asked, undo

ONCE = '@tool("probe.erase", effect="write", guarantee='
GUARDED = {f'{ONCE}"idempotent", key_ttl=KEPT': f'{ONCE}"guarded"'}
"""A compensation that nobody dedupes: called twice, it is done twice."""


@pytest.mark.parametrize("by_order", [False, True])
async def test_what_was_undone_after_the_backup_is_not_undone_twice(house_of: HouseOf, behind: Behind, by_order: bool) -> None:
    async with house_of(limits={"replans": 0}, tools=GUARDED) as house:
        bad = [] if by_order else [step("b", "probe.write", "a", fail="failed")]
        handle = await house.start(plan(step("a", note="one"), *bad))
        await house.ended(handle)
        if by_order:
            await (await undo(house, handle)).result()
        # The backup knows what was done, and nothing of the undo, nor of the end where the run itself undid it.
        await behind("DELETE FROM effect WHERE undoes IS NOT NULL OR state = 'failed'", "UPDATE effect SET state = 'done'")
        await behind("DELETE FROM record WHERE body ->> 'event' IN ('undone', 'undo ordered', 'undo ended')")
        if not by_order:
            await behind("UPDATE run SET status = 'running', ended_at = NULL", "UPDATE plan_step SET status = 'planned' WHERE step = 'b'")
        dry = of(await reconcile(house, restored=True, dry_run=True), handle)
        assert "would be: noted as undone" in [found.done for found in dry]
        assert {effect.state for effect in await house.effects(handle)} == {"done"}
        found = of(await reconcile(house, restored=True), handle)
        assert "a (probe.write) was undone, and the ledger did not know" in [one.what for one in found if one.kind == "effect"]
        assert (await (await undo(house, handle)).result()).undone == ()
        assert [effect.state for effect in await house.effects(handle)] == ["compensated"]
        assert list((await house.calls("erasures")).values()) == [1]
        assert of(await reconcile(house, restored=True), handle) == []


async def test_what_a_person_was_asked_to_repeat_when_the_ledger_was_lost_is_asked_again_and_not_repeated(
    house_of: HouseOf, behind: Behind
) -> None:
    async with house_of(limits={"replans": 0, "act_seconds": 2, "patience_seconds": 20}, tools=QUICK) as house:
        handle = await house.start(plan(step("a", "probe.guarded", note="pay", fail="lost:1")))
        before = await asked(house, handle)
        assert of(await reconcile(house, restored=True), handle) == [], "nothing was lost"
        await behind("DELETE FROM effect", "DELETE FROM approval", "UPDATE plan_step SET status = 'planned', detail = ''")
        dry = of(await reconcile(house, restored=True, dry_run=True), handle)
        assert [found.done for found in dry] == ["would be: a person is asked"] and await house.effects(handle) == []
        await reconcile(house, restored=True)
        await house.deliver()
        question = await asked(house, handle)
        assert (before.question, question.question) == ("again", "again") and list((await house.calls()).values()) == [1]
        await house.decide(handle, question.id, "reject", happened=True, output={"id": "x", "note": "pay"})
        assert await house.ended(handle) == "COMPLETED" and list((await house.calls()).values()) == [1]


async def test_what_waits_for_its_first_approval_is_no_claim_when_the_ledger_was_lost(house_of: HouseOf, behind: Behind) -> None:
    async with house_of() as house:
        handle = await house.start(plan(step("a", "probe.guarded", note="pay", ask=True)))
        await asked(house, handle)
        await behind("DELETE FROM approval", "UPDATE plan_step SET status = 'planned', detail = ''")
        assert of(await reconcile(house, restored=True), handle) == [] and await house.effects(handle) == []
        await house.deliver()
        assert (await asked(house, handle)).question == "run"
