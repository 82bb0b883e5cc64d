"""What an original and its forks share: an undo of the original leaves it, unless somebody says otherwise; forks and undos take turns."""

import asyncio
from dataclasses import replace
from typing import Any

from contracts.effects import UndoResult
from ledger import lineage, runs
from tests import operators
from tests.house import Handle, House, plan, step
from tests.integration.workflows.test_undo import asked, states, undo
from tests.servers import until

A, B = step("a", note="one"), step("b", "probe.write", "a", note="two")


async def original(house: House, *steps: dict[str, Any]) -> Handle:
    handle = await house.start(plan(*(steps or (A, B))))
    await house.ended(handle)
    return handle


async def left(handle: Any) -> list[str]:
    result: UndoResult = await handle.result()
    return list(result.left)


async def test_what_a_fork_under_way_shares_is_left_and_the_fork_is_named(house: House) -> None:
    first = await original(house)
    fork = await operators.fork(house, first, "b")
    request = await asked(house, fork)
    [said] = await left(await undo(house, first))
    key = f"{(await operators.row(house, first)).lineage}/a/1"
    assert said == (
        f"{key} (probe.write): it is shared with the fork {fork.id}, which is under way: only an undo with `--shared` takes it back"
    )
    assert await states(house, first) == {"a": "done", "b": "compensated"} and await house.notes() == ["one"]
    await house.decide(fork, request.id)
    assert await house.ended(fork) == "COMPLETED"
    assert "which is completed" in (await left(await undo(house, first)))[0]


async def test_whoever_says_so_takes_back_what_is_shared_too(house: House) -> None:
    first = await original(house)
    fork = await operators.fork(house, first, "b")
    await asked(house, fork)
    assert await left(await undo(house, first, shared=True)) == [] and await house.notes() == []
    assert await states(house, first) == {"a": "compensated", "b": "compensated"}
    found = await house.explained(first)
    assert any(moment.text == "ann ordered that it be undone, with what forks share: a mistake" for moment in found.timeline)


async def test_a_fork_that_was_cancelled_counts_on_nothing_any_more(house: House) -> None:
    first = await original(house)
    fork = await operators.fork(house, first, "b")
    await asked(house, fork)
    await operators.cancel(house, fork, "undo")
    await house.ended(fork)
    assert await left(await undo(house, first)) == [] and await house.notes() == []


async def test_a_fork_of_a_fork_shares_with_the_first_original(house: House) -> None:
    first = await original(house)
    middle = await operators.fork(house, first, "b")
    await house.decide(middle, (await asked(house, middle)).id)
    await house.ended(middle)
    last = await operators.fork(house, middle, "b")
    await house.decide(last, (await asked(house, last)).id)
    await house.ended(last)
    # The middle one is undone and closed as failed: the last still shares what the first did.
    assert await left(await undo(house, middle)) == []
    async with house.database.transaction("default") as tx:
        await tx.execute("UPDATE run SET status = 'failed' WHERE tenant = 'default' AND workflow_id = $1", middle.id)
    [said] = await left(await undo(house, first))
    assert f"it is shared with the fork {last.id}, which is completed" in said


async def test_a_fork_that_begins_in_the_middle_of_an_undo_shares_nothing_that_is_being_undone(house: House) -> None:
    first = await original(house, A, B, step("side", "probe.read", what="side"))
    await house.put("trouble", "erase", {"fail": "transient"})
    undoing = await undo(house, first)

    async def begun() -> bool:
        return any(effect.undoes for effect in await house.effects(first))

    await until(begun)
    fork = await operators.fork(house, first, "side")
    found = await house.until(fork, lambda found: bool(found.steps))
    assert {row.step: row.inherited is not None for row in found.steps} == {"a": True, "b": False, "side": False}
    await house.put("trouble", "erase", {"fail": ""})
    # What was begun comes to its end; what the fork shares since stays.
    [said] = await left(undoing)
    assert "/a/1 (probe.write): it is shared with the fork" in said
    assert await states(house, first) == {"a": "done", "b": "compensated"}
    await operators.cancel(house, fork, "keep")


async def test_an_undo_and_a_fork_of_one_family_take_turns(house: House) -> None:
    first = await original(house)
    run = await operators.row(house, first)
    found, forked = asyncio.Event(), asyncio.Event()

    async def fork() -> None:
        async with house.database.transaction("default") as tx:
            at = await lineage.point(tx, run, "b")
            found.set()
            await forked.wait()
            await runs.open_run(tx, replace(run, lineage="fork", workflow_id="fork", parent=run.lineage, parent_step="b"), limit_micros=0)
            await lineage.take_along(tx, run.lineage, "fork", at)

    forking = asyncio.create_task(fork())
    await found.wait()
    undoing = await undo(house, first)
    await until(lambda: waits_for_its_turn(house))
    assert await house.notes() == ["one", "two"]
    forked.set()
    await forking
    [said] = await left(undoing)
    assert "it is shared with the fork fork, which is under way" in said and await house.notes() == ["one"]


async def waits_for_its_turn(house: House) -> bool:
    async with house.database.transaction("default") as tx:
        return await tx.value("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted") > 0
