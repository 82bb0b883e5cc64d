"""A fork: what lies before its point is shared and never done again, what comes after is its own, and the original stays as it was."""

from typing import Any

import pytest

from channels.cli import automations
from ledger.approvals import Request
from policies import bundles
from tests import operators
from tests.house import Handle, House, plan, statuses, step
from tests.integration.workflows.conftest import HouseOf
from tests.integration.workflows.test_forgery import failure
from tests.integration.workflows.test_reset import reset
from tests.probes import copied

A, B, C = step("a", note="one"), step("b", "probe.write", "a", note="two"), step("c", "probe.write", "b", note="three")
SIDE = step("side", "probe.read", what="side")


async def whole(house: House, handle: Handle) -> dict[str, list[tuple[Any, ...]]]:
    """Return every row that belongs to a run, to see that a fork changes none."""
    run, found = await operators.row(house, handle), {}
    async with house.database.transaction(house.tenant) as tx:
        for table in ("run", "plan_step", "effect", "approval", "decision", "record"):
            rows = await tx.fetch(f"SELECT * FROM {table} WHERE lineage = $1 ORDER BY 1, 2, 3", run.lineage)  # noqa: S608
            found[table] = [tuple(row) for row in rows]
        found["budget"] = [tuple(row) for row in await tx.fetch("SELECT * FROM budget WHERE scope = $1", f"run:{run.lineage}")]
        found["turn"] = [tuple(row) for row in await tx.fetch("SELECT * FROM turn WHERE session = $1 ORDER BY seq", run.lineage)]
    return found


async def asked(house: House, handle: Handle, step: str) -> Request:
    """Wait until a person is asked about a step, and return the request."""
    found = await house.until(handle, lambda found: any(request.step == step for request in found.waiting))
    return next(request for request in found.waiting if request.step == step)


async def completed(house: House, *script: Any, approve: bool = False) -> Handle:
    """Run to the end."""
    handle = await house.start(*script)
    if approve:
        await house.decide(handle, (await house.waiting(handle)).waiting[0].id)
    assert await house.ended(handle) == "COMPLETED"
    return handle


async def test_what_lies_before_the_step_is_shared_and_what_was_done_after_it_passes_a_person(house: House) -> None:
    original = await completed(house, plan(A, B, C, SIDE))
    before = await whole(house, original)
    made = await operators.fork(house, original, "b")
    lineage = (await operators.row(house, original)).lineage
    for name in ("b", "c"):
        request = await asked(house, made, name)
        assert (request.question, request.reason) == ("run", f"done already in {original.id} ({lineage}/{name}/1)")
        await house.decide(made, request.id)
    assert await house.ended(made) == "COMPLETED"
    found = await house.explained(made)
    assert statuses(found) == {"a": "done", "b": "done", "c": "done", "side": "done"}
    assert {row.step: row.inherited for row in found.steps if row.inherited} == {
        "a": f"{lineage}/a/1",
        "side": f"{lineage}/side/1",
    }
    assert sorted(await house.notes()) == ["one", "three", "three", "two", "two"] and house.model.count == 1
    assert [effect.step for effect in await house.effects(made)] == ["b", "c"]
    assert await whole(house, original) == before
    result = await house.client.get_workflow_handle(made.id).result()
    assert result["statuses"] == {"done": 4}
    told = [moment for moment in found.timeline if moment.body.get("event") == "forked"]
    assert told[0].text == f"ann forked this run from {original.id} at b"
    assert told[0].notes[0] == f"a is inherited as done and is not run again: {lineage}/a/1"
    assert [fork.workflow_id for fork in (await house.explained(original)).forks] == [made.id]


async def test_an_undo_in_the_fork_touches_its_own_effects_only(house: House) -> None:
    original = await completed(house, plan(A, B, step("c", "probe.write", "b", note="three", ask=True)), approve=True)
    before = await whole(house, original)
    made = await operators.fork(house, original, "b")
    await house.decide(made, (await asked(house, made, "b")).id)
    reason = (await asked(house, made, "c")).reason
    assert reason.startswith("the probe was told to ask; done already in ")
    await operators.cancel(house, made, "undo")
    assert await house.ended(made) == "CANCELED"
    assert [effect.step for effect in await house.effects(made) if effect.undoes] == ["b"]
    assert await house.notes() == ["one", "three", "two"] and await whole(house, original) == before


async def test_a_failed_run_is_forked_at_the_step_that_failed_and_what_was_undone_is_done_again(house_of: HouseOf) -> None:
    async with house_of(limits={"replans": 0}, tools={'f"{context.lineage}/{context.step}"': "context.step"}) as house:
        failing = step("b", "probe.write", "a", note="two", fail="failed:1")
        original = await house.start(plan(SIDE, A, failing, C))
        assert await house.ended(original) == "FAILED" and await house.notes() == []
        before = await whole(house, original)
        made = await operators.fork(house, original, "b")
        assert await house.ended(made) == "COMPLETED"
        found = await house.explained(made)
        assert [row.step for row in found.steps if row.inherited] == ["side"] and found.requests == []
        assert await house.notes() == ["one", "three", "two"] and await whole(house, original) == before


async def test_a_fork_at_a_decision_decides_anew_with_the_turns_before_it(house: House) -> None:
    original = await completed(house, plan(A, done=False), plan(step("x", note="x"), done=False), plan(step("y", note="y")))
    assert sorted(await house.notes()) == ["one", "x", "y"] and house.model.count == 3
    before = await whole(house, original)
    made = await operators.fork(house, original, "d2", plan(step("z", "probe.write", "a", note="z")))
    assert await house.ended(made) == "COMPLETED"
    found = await house.explained(made)
    assert statuses(found) == {"a": "done", "d2.z": "done"} and sorted(await house.notes()) == ["one", "x", "y", "z"]
    assert len(before["turn"]) == 6 and len((await whole(house, made))["turn"]) == 4
    assert (await house.client.get_workflow_handle(made.id).result())["decisions"] == 2
    assert await whole(house, original) == before


async def test_a_decision_that_failed_is_made_anew_in_a_fork(house: House) -> None:
    original = await house.start(plan(A, done=False), {"answer": "nonsense", "times": 2})
    await house.ended(original)
    made = await operators.fork(house, original, "d2", plan(step("z", note="z")))
    assert await house.ended(made) == "COMPLETED"
    # The original had failed and undone its `a`, so the fork did it again before it decided.
    assert await house.notes() == ["one", "z"] and statuses(await house.explained(made)) == {"a": "done", "d2.z": "done"}


async def test_a_fork_of_a_fork_inherits_from_the_first_original_and_asks_about_the_whole_family(house: House) -> None:
    original = await completed(house, plan(A, B, C))
    first = await operators.fork(house, original, "c")
    await house.decide(first, (await house.waiting(first)).waiting[0].id)
    assert await house.ended(first) == "COMPLETED"
    second = await operators.fork(house, first, "b")
    request = await asked(house, second, "b")
    lineage = (await operators.row(house, original)).lineage
    assert request.reason == f"done already in {original.id} ({lineage}/b/1)"
    await house.decide(second, request.id)
    await house.decide(second, (await asked(house, second, "c")).id)
    assert await house.ended(second) == "COMPLETED"
    found = await house.explained(second)
    assert {row.step: row.inherited for row in found.steps} == {"a": f"{lineage}/a/1", "b": None, "c": None}
    assert found.original and found.original.workflow_id == first.id


@pytest.mark.parametrize("cached", [1000, 0])
async def test_a_reset_of_a_fork_begins_where_it_began(house_of: HouseOf, cached: int) -> None:
    async with house_of(worker={"max_cached_workflows": cached}) as house:
        original = await completed(house, plan(A, B))
        made = await operators.fork(house, original, "b")
        await house.decide(made, (await house.waiting(made)).waiting[0].id)
        await house.ended(made)
        before = await house.calls()
        await reset(house, made)
        result = await house.client.get_workflow_handle(made.id).result()
        assert result["statuses"] == {"done": 2} and await house.calls() == before and house.model.count == 1


async def test_a_fork_under_another_bundle_is_pinned_to_it(house_of: HouseOf, tmp_path: Any) -> None:
    async with house_of() as house:
        original = await completed(house, plan(A, B))
        other = automations.load(copied(tmp_path / "other", goal="Something else") / "probe")
        async with house.database.transaction("default") as tx:
            await bundles.apply(tx, other, "tester")
        kept = await operators.fork(house, original, "b")
        moved = await operators.fork(house, original, "b", bundle=other.hash)
        for handle, hash in ((kept, (await operators.row(house, original)).bundle), (moved, other.hash)):
            await house.waiting(handle)
            assert (await operators.row(house, handle)).bundle == hash
            await operators.cancel(house, handle)


async def test_the_named_bundle_alone_judges_a_fork_from_its_point_on_and_else_the_originals(house_of: HouseOf, tmp_path: Any) -> None:
    no_two = {"id": "no-two", "when": '"note" in arguments && arguments.note == "two"', "outcome": "deny", "because": "two is too many"}
    strict = copied(tmp_path / "other", rules=[no_two], approvals={"groups": ["board"]}, budget={"run_micros": 7_000_000}) / "probe"
    prompt = strict / "prompts" / "plan.md"
    prompt.write_text(f"{prompt.read_text()}\nSecond edition.\n")
    async with house_of() as house:
        original = await completed(house, plan(A, B, done=False), plan(step("c", note="three")))
        async with house.database.transaction("default") as tx:
            await bundles.apply(tx, other := automations.load(strict), "tester")
        # The stricter one is live by now, and the fork keeps what its original had.
        kept = await operators.fork(house, original, "b", plan(step("y", "probe.read", what="y")))
        request = await asked(house, kept, "b")
        assert (list(request.groups), (await house.explained(kept)).limit) == (["owner"], 5_000_000)
        await house.decide(kept, request.id)
        assert await house.ended(kept) == "COMPLETED"
        moved = await operators.fork(house, original, "b", plan(step("x", note="four", ask=True)), bundle=other.hash)
        request = await asked(house, moved, "d2.x")
        found = await house.explained(moved)
        assert (list(request.groups), found.limit) == (["board"], 7_000_000)
        assert (statuses(found)["a"], statuses(found)["b"]) == ("done", "denied")
        assert "two is too many" in next(row.detail for row in found.steps if row.step == "b")
        assert "Second edition." in str(house.model.calls[-1])
        await operators.cancel(house, moved)


async def test_a_fork_that_may_not_begin_is_refused_with_the_reason_and_leaves_nothing(house: House) -> None:
    original = await completed(house, plan(A, B))
    under_way = await house.start(plan(step("a", note="w", ask=True)))
    await house.waiting(under_way)
    lineage, running = (await operators.row(house, original)).lineage, (await operators.row(house, under_way)).lineage
    async with house.database.transaction("other") as tx:
        await tx.execute("INSERT INTO tenant (tenant) VALUES ('other')")
    start = {"automation": "probe", "tenant": "default", "starter": "eve"}
    forged: list[tuple[dict[str, Any], str]] = [
        ({"fork": {"lineage": "nobody", "step": "a"}}, "tenant default has no run 'nobody' to fork"),
        ({"tenant": "other", "fork": {"lineage": lineage, "step": "a"}}, f"tenant other has no run '{lineage}' to fork"),
        ({"fork": {"lineage": lineage, "step": "zz"}}, "has no step 'zz'; steps: a, b; decisions: d1"),
        ({"fork": {"lineage": lineage, "step": "d2"}}, "has no step 'd2'"),
        ({"fork": {"lineage": running, "step": "a"}}, "is under way and may still undo what a fork would share"),
        ({"fork": {"lineage": lineage, "step": "a", "bundle": "0" * 64}}, "probe has no bundle whose hash is, or begins"),
        ({"automation": "other", "fork": {"lineage": lineage, "step": "a"}}, "is a run of probe"),
        ({"input": {"say": "x"}, "fork": {"lineage": lineage, "step": "a"}}, "a fork has the input of its original"),
        ({"fork": {"lineage": lineage, "step": "a", "window": 3}}, "fork.window: Extra inputs are not permitted"),
    ]
    for changes, said in forged:
        assert said in await failure(house, {**start, **changes})
    async with house.database.transaction("default") as tx:
        assert await tx.value("SELECT count(*) FROM run WHERE parent IS NOT NULL") == 0
